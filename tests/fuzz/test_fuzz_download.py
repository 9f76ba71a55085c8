"""Damaged archives, and damaged notes of a download: known files, or one refusal."""

import json
import random
import tarfile

import pytest
from msd_tar import layout, noise, write_tar
from mutating import cut, damaged, flip, fuzz, overwrite
from server import serve

from mscf.data import http_ranges
from mscf.data.download import LocalFile, download
from mscf.data.part_file import fetch_whole
from mscf.data.tar_index import BLOCK, LAYOUT, index

COUNTS = [50, pytest.param(1000, marks=(pytest.mark.slow, pytest.mark.timeout(3600)))]
# Offset and length of a header's name, mode, size, checksum, type, link, magic, prefix.
FIELDS = [
    (0, 100),
    (100, 8),
    (124, 12),
    (148, 8),
    (156, 1),
    (157, 100),
    (257, 8),
    (345, 155),
]
SIZES = [
    b"0" * 11,
    b"7" * 11,
    b"-1",
    b"",
    b"9" * 11,
    b"\x80" + b"\xff" * 11,
    b"\xff" * 12,
]
NAMES = [
    b"",
    b"/",
    b"..",
    b"Task03_Liver/imagesTr/\xff.nii.gz",
    b"a" * 100,
    b"./",
    b"\n",
]


def other_header(content: bytes, places: list[int], rng: random.Random) -> bytes:
    """One header changed: a field set or a few bytes, mostly with a right checksum."""
    changed = bytearray(content)
    at = rng.choice(places)
    header = changed[at : at + BLOCK]
    how = rng.choice(["size", "name", "type", "bytes", "flip", "swap", "record"])
    if how == "size":
        header[124:136] = rng.choice(SIZES).ljust(12, b"\0")
    elif how == "name":
        header[0:100] = rng.choice(NAMES).ljust(100, b"\0")
    elif how == "type":
        header[156] = rng.randrange(256)
    elif how == "flip":
        header = bytearray(flip(bytes(header), rng))
    elif how == "swap":
        header = changed[(other := rng.choice(places)) : other + BLOCK]
    elif how == "record":  # what follows: a file's data, or an extended header's
        changed[at + BLOCK : at + BLOCK + 60] = rng.randbytes(60)
    else:
        start, length = rng.choice(FIELDS)
        header[start : start + length] = rng.randbytes(length)
    if rng.random() < 0.8:
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
    changed[at : at + BLOCK] = header
    return bytes(changed)


@pytest.mark.claim("security", "a damaged archive ends in known files or in one line")
@pytest.mark.parametrize("n", COUNTS)
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_a_damaged_archive_is_a_list_of_known_files_or_refused(
    n, form, tmp_path, shows
) -> None:
    files = layout(3, 1, make=noise)
    files.append((f"imagesTr/{'long' * 40}.nii.gz", b"x" * 9000))
    path = write_tar(tmp_path / "fuzzed.tar", files, mac=True, form=form)
    content = path.read_bytes()
    with tarfile.open(path) as tar:
        members = tar.getmembers()
    blocks = range(0, len(content), BLOCK)
    places = [at for at in blocks if content[at + 257 : at + 262] == b"ustar"]
    assert len(places) > len(members)  # the extended headers too

    def damage(content: bytes, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.1:
            return rng.choice([cut, overwrite])(content, rng)
        return other_header(content, places, rng)

    def read():
        source = LocalFile(path)
        return [m for m in index(source.read, source.total, "fuzzed.tar") if m]

    def well_formed(found) -> bool:
        names = [member.path.lower() for member in found]
        inside = all(
            m.size >= 0 and m.header + BLOCK + m.size <= path.stat().st_size
            for m in found
        )
        known = all(LAYOUT.fullmatch(member.path) for member in found)
        alone = len(names) == len(set(names))
        return inside and known and alone

    ends = fuzz(path, damage, range(n), read, well_formed)
    assert ends["refused"] > n / 4
    shows(tried=n)


@pytest.fixture
def served(tmp_path, monkeypatch):
    monkeypatch.setattr(http_ranges, "sleep", lambda _: None)
    server, served = serve(write_tar(tmp_path / "site.tar", layout(4)))
    yield served
    server.shutdown()
    server.server_close()


NOTES = pytest.mark.claim(
    "security", "damaged notes of a download end in the same files or in one line"
)
TIMES = [
    pytest.param(20, marks=pytest.mark.check),
    pytest.param(500, marks=(pytest.mark.slow, pytest.mark.timeout(3600))),
]


@NOTES
@pytest.mark.parametrize("n", TIMES)
@pytest.mark.parametrize("name", ["tar_index.json", "download.json"])
def test_damaged_notes_end_in_the_same_files(name, n, served, tmp_path, shows) -> None:
    out = tmp_path / "out"
    download(out, 2, served.address)
    good = {p: p.read_bytes() for p in out.glob("*Tr/*")}

    def read():
        (out / "labelsTr/liver_1.nii.gz").unlink(missing_ok=True)
        download(out, 2, served.address)
        return {p: p.read_bytes() for p in out.glob("*Tr/*")}

    def damage(content: bytes, seed: int) -> bytes:
        return damaged(content, out / name, seed)

    ends = fuzz(out / name, damage, range(n), read, lambda files: files == good)
    assert ends["equal"] > n / 2
    shows(tried=n)


@NOTES
@pytest.mark.parametrize("n", TIMES)
def test_a_damaged_note_of_a_part_ends_in_the_same_file(
    n, served, tmp_path, shows
) -> None:
    note, target = tmp_path / "x.tar.part.json", tmp_path / "x.tar"
    content = served.path.read_bytes()
    etag = '"one"'
    state = {"address": served.address, "etag": etag, "total": len(content)}
    note.write_text(json.dumps(state))

    def damage(content: bytes, seed: int) -> bytes:
        return damaged(content, note, seed)

    def read() -> bytes:
        target.unlink(missing_ok=True)
        target.with_name("x.tar.part").write_bytes(content[:30_000])
        fetch_whole(served.address, target, served.md5)
        return target.read_bytes()

    ends = fuzz(note, damage, range(n), read, lambda found: found == content)
    assert ends["equal"] > n / 2
    shows(tried=n)
