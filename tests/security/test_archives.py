"""Hostile archives: each is refused before a byte of it is unpacked."""

import gzip
import tarfile
import time
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from msd_tar import TOP, add, layout, volume
from server import serve

from mscf.data import http_ranges
from mscf.data.download import download
from mscf.errors import DownloadError

ATTACKS = pytest.mark.claim(
    "downloads", "a hostile archive is refused, and nothing of it"
)
NIFTI = volume(0)
GOOD = f"{TOP}/imagesTr/liver_0.nii.gz"


def absolute(tar) -> None:
    add(tar, "/tmp/escaped.nii.gz", NIFTI)


def absolute_drive(tar) -> None:
    add(tar, "C:/escaped.nii.gz", NIFTI)


def absolute_double(tar) -> None:
    add(tar, f"//{GOOD}", NIFTI)


def absolute_by_pax(tar) -> None:
    add(tar, GOOD, NIFTI, pax_headers={"path": "/tmp/escaped.nii.gz"})


def upward(tar) -> None:
    add(tar, f"{TOP}/../../escaped.nii.gz", NIFTI)


def upward_folder(tar) -> None:
    add(tar, f"{TOP}/imagesTr/../../..", type=tarfile.DIRTYPE)


def upward_hidden(tar) -> None:
    add(tar, f"{TOP}/imagesTr/../../._escaped", b"x")


def upward_backslash(tar) -> None:
    add(tar, f"{TOP}\\..\\escaped.nii.gz", NIFTI)


def link(tar) -> None:
    add(tar, f"{TOP}/imagesTr/out", type=tarfile.SYMTYPE, linkname="../../..")
    add(tar, f"{TOP}/imagesTr/out/escaped.nii.gz", NIFTI)


def link_as_folder(tar) -> None:
    add(tar, f"{TOP}/labelsTr", type=tarfile.SYMTYPE, linkname="/tmp")


def link_as_file(tar) -> None:
    add(
        tar,
        f"{TOP}/imagesTr/liver_77.nii.gz",
        type=tarfile.SYMTYPE,
        linkname="/etc/passwd",
    )


def link_chain(tar) -> None:
    """Longer than PATH_MAX: escapes ``filter="data"`` of Python 3.11.7."""
    part, way = "d" * 200, TOP
    for name in "abcdefghijklmnop":
        add(tar, f"{way}/{part}", type=tarfile.DIRTYPE)
        add(tar, f"{way}/{name}", type=tarfile.SYMTYPE, linkname=part)
        way += f"/{part}"
    chain = "/".join("abcdefghijklmnop")
    add(tar, f"{TOP}/{chain}/l", type=tarfile.SYMTYPE, linkname="../" * 18)
    add(tar, f"{TOP}/escape", type=tarfile.SYMTYPE, linkname=f"{chain}/l/../../..")
    add(tar, f"{TOP}/escape/escaped.nii.gz", NIFTI)


def hard_link(tar) -> None:
    add(
        tar,
        f"{TOP}/imagesTr/liver_77.nii.gz",
        type=tarfile.LNKTYPE,
        linkname="/etc/passwd",
    )


def device(tar) -> None:
    add(tar, f"{TOP}/imagesTr/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3)


def block_device(tar) -> None:
    add(tar, f"{TOP}/imagesTr/disk", type=tarfile.BLKTYPE, devmajor=8)


def pipe(tar) -> None:
    add(tar, f"{TOP}/imagesTr/liver_77.nii.gz", type=tarfile.FIFOTYPE)


def unknown(tar) -> None:
    add(tar, f"{TOP}/imagesTr/liver_77.nii.gz", NIFTI, type=b"V")


def holes_of_gnu(tar) -> None:
    """A sparse file of 50 GB in a few kB."""
    info = tarfile.TarInfo(f"{TOP}/imagesTr/liver_77.nii.gz")
    info.type = tarfile.GNUTYPE_SPARSE
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[483:495] = b"%011o\0" % 50_000_000_000
    block[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(block))[0]
    tar.fileobj.write(block)
    tar.offset += 512


def holes_of_pax(tar) -> None:
    headers = {
        "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": GOOD,
        "GNU.sparse.realsize": "50000000000",
    }  # fmt: skip
    add(
        tar,
        f"{TOP}/imagesTr/liver_77.nii.gz",
        b"0\n".ljust(512, b"\0"),
        pax_headers=headers,
    )


def eight_gigabytes(tar) -> None:
    info = tarfile.TarInfo(f"{TOP}/imagesTr/liver_77.nii.gz")
    info.size = 8_000_000_000
    tar.addfile(info)


def eight_gigabytes_by_pax(tar) -> None:
    headers = {"size": "8000000000"}
    add(tar, f"{TOP}/imagesTr/liver_77.nii.gz", NIFTI, pax_headers=headers)


def below_nothing(tar) -> None:
    """Python 3.11.7's tarfile goes back by it, and on for ever."""
    info = tarfile.TarInfo(f"{TOP}/imagesTr/liver_77.nii.gz")
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = b"\xff" * 10 + b"\xfc\x00"  # -1024
    block[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(block))[0]
    tar.fileobj.write(block)
    tar.offset += 512


def long_record(tar) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 8_000_000_000
    tar.fileobj.write(info.tobuf(tarfile.GNU_FORMAT))
    tar.offset += 512


def packed_zeros(header_slices: int, slices: int) -> bytes:
    """2,048 x 2,048 zeros a slice, a thousand to one."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((2048, 2048, header_slices))
    header["magic"], header["vox_offset"] = b"n+1", 352
    zeros = bytes(2 * 2048 * 2048)
    return gzip.compress(header.binaryblock + bytes(4) + zeros * slices, 9)


def bomb_beyond_its_header(tar) -> None:
    add(tar, GOOD, packed_zeros(1, 3))


def bomb_by_its_header(tar) -> None:
    add(tar, GOOD, packed_zeros(1000, 3))


def twice(tar) -> None:
    add(tar, f"{TOP}/imagesTr/liver_1.nii.gz", NIFTI)
    add(tar, f"{TOP}/imagesTr/liver_1.nii.gz", NIFTI)


def odd(name: str):
    def attack(tar) -> None:
        add(tar, f"{TOP}/imagesTr/{name}", NIFTI)

    attack.__name__ = f"odd_{name.encode('unicode_escape').decode()}"
    return attack


def other_case(tar) -> None:
    add(tar, f"{TOP}/imagesTr/liver_1.nii.gz", NIFTI)
    add(tar, f"{TOP}/imagesTr/LIVER_1.nii.gz", NIFTI)


ODD = (
    "li\u0308ver.nii.gz", "l\u00efver.nii.gz", "a\nb.nii.gz", "a\x1b[2J.nii.gz",
    "con.nii.gz", "liver_1.nii.gz.", "liver_1.nii.gz ", "a:b.nii.gz",
)  # fmt: skip
ALL = {  # the eight kinds, and by which check each must be refused
    "archive-escape": [
        absolute, absolute_drive, absolute_double, absolute_by_pax,
        upward, upward_folder, upward_hidden, upward_backslash,
    ],
    "archive-kind": [
        link, link_as_folder, link_as_file, link_chain, hard_link,
        device, block_device, pipe, unknown, holes_of_gnu, holes_of_pax,
    ],
    "archive-size": [
        eight_gigabytes, eight_gigabytes_by_pax, below_nothing, long_record,
    ],
    "file-long": [bomb_beyond_its_header],
    "dims-bomb": [bomb_by_its_header],
    "archive-twice": [twice, other_case],
    "archive-name": [*map(odd, ODD)],
}  # fmt: skip


def hostile(path, attack):
    """Four sound cases with the attack in their midst; a name it takes is its own."""
    files = layout(4)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files[:3]:
            add(tar, f"{TOP}/{name}", content)
        attack(tar)
        taken = {member.name for member in tar.members[3:]}
        for name, content in files[3:]:
            if f"{TOP}/{name}" not in taken:
                add(tar, f"{TOP}/{name}", content)
    return path


@ATTACKS
@pytest.mark.parametrize("cases", [3, None])
@pytest.mark.parametrize(
    ("attack", "check"),
    [(attack, check) for check, attacks in ALL.items() for attack in attacks],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_hostile_archive_is_refused(
    attack, check, cases, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(http_ranges, "sleep", lambda _: None)
    place = tmp_path / "a/b/c"
    place.mkdir(parents=True)
    server, served = serve(hostile(tmp_path / "site.tar", attack))
    before = tree(tmp_path, place / "out")
    tracemalloc.start()
    start = time.monotonic()
    try:
        with pytest.raises(DownloadError) as caught:
            download(place / "out", cases, served.address, served.md5)
    finally:
        seconds = time.monotonic() - start
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        server.shutdown()
        server.server_close()
    assert caught.value.exit_code == 9
    assert str(caught.value).isprintable()
    assert caught.value.finding.check == check
    assert tree(tmp_path, place / "out") == before
    assert not Path("/tmp/escaped.nii.gz").exists()
    kept = {p.name for p in (place / "out").rglob("*") if p.is_file()}
    sound = {"liver_0.nii.gz", "liver_1.nii.gz", "liver_2.nii.gz", "liver_3.nii.gz"}
    bomb = attack in (bomb_beyond_its_header, bomb_by_its_header)
    assert kept <= {"tar_index.json", "Task03_Liver.tar", "download.json"} | (
        sound if bomb else set()
    )
    assert not (place / "out/imagesTr/liver_0.nii.gz").exists()
    assert seconds < 2
    assert peak < 60e6


def tree(folder, but) -> set[tuple]:
    """All that is there but what lies in one folder."""
    return {
        (str(p), p.lstat().st_size, p.lstat().st_mtime_ns)
        for p in folder.rglob("*")
        if but != p and but not in p.parents and p.is_file()
    }


@ATTACKS
def test_the_same_archive_without_an_attack_is_taken(tmp_path) -> None:
    server, served = serve(hostile(tmp_path / "site.tar", lambda _: None))
    try:
        for cases in (3, None):
            download(tmp_path / f"out-{cases}", cases, served.address, served.md5)
    finally:
        server.shutdown()
        server.server_close()
    assert len(list((tmp_path / "out-None").glob("imagesTr/*.nii.gz"))) == 4


def test_a_link_in_the_place_of_a_folder_is_not_followed(tmp_path) -> None:
    from mscf.errors import StorageError

    server, served = serve(hostile(tmp_path / "site.tar", lambda _: None))
    try:
        download(tmp_path / "out", 1, served.address)
        (tmp_path / "elsewhere").mkdir()
        for path in (tmp_path / "out/imagesTr").iterdir():
            path.unlink()
        (tmp_path / "out/imagesTr").rmdir()
        (tmp_path / "out/imagesTr").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(StorageError, match="folder-link"):
            download(tmp_path / "out", 2, served.address)
    finally:
        server.shutdown()
        server.server_close()
    assert list((tmp_path / "elsewhere").iterdir()) == []
