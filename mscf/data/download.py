"""MSD's Task03_Liver, the paper's CT: whole, or a few cases out of its tar.

The whole tar is 27 GB. Since a tar is not compressed, its headers say where each file
lies, and ``cases=3`` asks the server for those bytes only. Either way the folder ends
as one that ``find_cases`` reads, with its licence beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from mscf.data.cases import PERSONS
from mscf.data.download_record import Record, open_record
from mscf.data.http_ranges import FileChanged, NoRanges, RemoteFile
from mscf.data.lits import check_lits, is_lits
from mscf.data.part_file import check_room, fetch_whole, progress
from mscf.data.sealed import read_sealed, write_sealed
from mscf.data.streamed_volume import StreamedVolume
from mscf.data.tar_index import BLOCK, LAYOUT, Member, index, parsed, refused
from mscf.data.volume_files import lits_files, natural
from mscf.errors import (
    DownloadError,
    SettingsError,
    StorageError,
    cannot_write,
    warn,
)
from mscf.replacing import replacing, write_text

# The public bucket that MONAI's DecathlonDataset reads, and the digest it expects.
ADDRESS = "https://msd-for-monai.s3-us-west-2.amazonaws.com/Task03_Liver.tar"
MD5 = "a90ec6c4aa7f6a3d087205e23d4e6397"
ALL = 1 << 30  # cases; more than any archive has
LARGEST_TABLE = 10 << 20  # bytes of dataset.json

# Cases of one person, seen by comparing their slices; not all pairs were compared.
SAME_PERSON = ((0, 1), (6, 7), (8, 9, 10))

LICENCE = """\
Task03_Liver of the Medical Segmentation Decathlon (MSD): abdominal CT with labels
0 background, 1 liver, 2 tumour. It is the training data of the Liver Tumor
Segmentation Challenge (LiTS).

Licence: Creative Commons Attribution-ShareAlike 4.0 International (CC BY-SA 4.0),
https://creativecommons.org/licenses/by-sa/4.0/
Whoever passes the data on, changed or not, names the sources below and uses the
same licence. Cases 28 to 47 come from 3D-IRCADb-01, which its own publisher gives
out under CC BY-NC-ND.

Cite:
  Bilic et al., The Liver Tumor Segmentation Benchmark (LiTS), Medical Image
    Analysis 84, 2023, doi:10.1016/j.media.2022.102680
  Antonelli et al., The Medical Segmentation Decathlon, Nature Communications 13,
    2022, doi:10.1038/s41467-022-30695-9

From: {address}
Here: {here}.
The image and label files are unchanged. dataset.json names the cases that are here.
patients.csv was added: which cases are of one person, as far as that is known.
"""


class Source(Protocol):
    """An archive to read from: on a server, or on the disk."""

    name: str
    etag: str | None
    total: int | None

    def read(self, start: int, n: int) -> bytes:
        """Some bytes."""

    def chunks(self, start: int, end: int) -> Iterator[bytes]:
        """The same, piece by piece."""


class LocalFile:
    """A tar on the disk."""

    def __init__(self, path: Path) -> None:
        self.path, self.name, self.etag = path, str(path), None
        self.total = path.stat().st_size

    def read(self, start: int, n: int) -> bytes:
        """Some bytes."""
        return b"".join(self.chunks(start, start + n))

    def chunks(self, start: int, end: int) -> Iterator[bytes]:
        """The same, piece by piece."""
        with self.path.open("rb") as file:
            file.seek(start)
            while start < end and (chunk := file.read(min(1 << 20, end - start))):
                start += len(chunk)
                yield chunk


def download(
    out: Path, cases: int | None = None, address: str = ADDRESS, md5: str = MD5
) -> str:
    """Fills ``out`` with MSD's Task03_Liver; what it did, in a sentence.

    Args:
        out: a new folder, or one that an earlier call has begun; or LiTS's own files
            downloaded by hand, which are checked and get a ``patients.csv``.
        cases: the first so many labelled ones by number; None: all, by the whole tar.
        address: of the tar; https.
        md5: of the whole tar.

    Raises:
        SettingsError: fewer than one case, or more than there are.
        DownloadError: not to be had, damaged, or an archive that is an attack.
        StorageError: no room; not a folder of ours.
        InputError: LiTS's own files, damaged or half there.
    """
    if cases is not None and cases < 1:
        raise SettingsError("--cases", "must be at least 1", cases, "cases")
    if is_lits(out):
        volumes, _ = lits_files(out)
        if volumes and not (out / PERSONS).exists():
            write_text(out / PERSONS, patients([*volumes], "volume-"))
        n = len(check_lits(out))
        return f"{out} holds LiTS's own files: {n} cases, each read to its end"
    new = not out.exists()
    record = open_record(out)
    try:
        return complete(out, record, cases, address, md5)
    finally:
        if new:
            with suppress(OSError):  # it holds something: to go on with
                out.rmdir()


def complete(
    out: Path, record: Record, cases: int | None, address: str, md5: str
) -> str:
    """Fills ``out`` with what is missing, by whichever way moves less."""
    if record.complete and (cases or ALL) <= (record.cases or ALL):
        cases = record.cases  # more is here already: it stays
    if record.cases == cases and record.whole:
        return f"{out} is complete and unchanged: {contents(record)}"
    tar = out / "Task03_Liver.tar"
    mending = record.complete and record.cases is None and not tar.exists()
    if cases is None and not mending:
        fetch_whole(address, tar, md5)
        fill(out, LocalFile(tar), record, None, address)
        return f"{contents(record)}; {tar} is no longer needed"
    remote = fetch_parts(out, record, cases, address)
    moved = f"{remote.moved / 1e6:,.1f} MB in {remote.requests} requests"
    return f"{contents(record)}; {moved}"


def fetch_parts(
    out: Path, record: Record, cases: int | None, address: str
) -> RemoteFile:
    """Fills ``out`` by asking for the parts of the tar that it needs."""
    for last in (False, True):
        remote = RemoteFile(address)
        try:
            fill(out, remote, record, cases, address)
        except FileChanged as error:
            if last:
                raise
            warn(error.finding)
            (out / "tar_index.json").unlink(missing_ok=True)
            record.files, record.etag = {}, None  # of the other file
        except NoRanges as error:
            raise DownloadError(
                remote.name, "must send parts of the file for --cases",
                "a server that sends the whole file only", "no-ranges",
                "take another address, or the whole tar: without --cases",
            ) from error  # fmt: skip
        else:
            break
        finally:
            remote.close()
    return remote


def fill(
    out: Path, source: Source, record: Record, cases: int | None, address: str
) -> None:
    """Writes the chosen members and what describes them; ``download.json`` last."""
    members = read_index(source, out)
    chosen = choose(members, cases, source.name)
    table = dataset_json(source, members, chosen, cases)
    if record.etag and source.etag and record.etag != source.etag:
        raise FileChanged(
            source.name, "must be the file that was begun", "another ETag",
            "file-changed", "starting anew",
        )  # fmt: skip
    record.etag, record.address = source.etag, RemoteFile(address).name
    record.complete &= record.cases == cases
    record.cases = cases
    try:
        for folder in {member.path.split("/")[0] for member in chosen}:
            plain_folder(out / folder)
        record.write()
        missing = [member for member in chosen if not record.holds(member.path)]
        check_room(out, sum(member.size for member in missing))
        with progress("files", sum(member.size for member in missing)) as bar:
            for member in missing:
                bar.set_description(member.path)
                record.files[member.path] = extract(source, member, out, bar)
                record.write()
        paths = {member.path for member in chosen}
        record.files = {p: d for p, d in record.files.items() if p in paths}
        write_text(out / "dataset.json", table)
        if not (out / PERSONS).exists():  # it may have been corrected by hand
            write_text(out / PERSONS, patients(labelled(members)))
        text = LICENCE.format(address=record.address, here=contents(record))
        write_text(out / "README.txt", text)
    except OSError as error:
        raise cannot_write(out, error) from error
    record.files["dataset.json"] = hashlib.sha256(table.encode()).hexdigest()
    record.complete = True
    record.write()


def extract(source: Source, member: Member, out: Path, bar: tqdm) -> str:
    """One file of the archive, written only when header and gzip are sound; SHA-256."""
    check = StreamedVolume(member.path)
    digest = hashlib.sha256()
    pieces = source.chunks(member.header, member.header + BLOCK + member.size)
    header, left = b"", member.size
    with replacing(out / member.path, text=False, size=member.size) as file:
        for piece in pieces:
            if len(header) < BLOCK:
                cut = BLOCK - len(header)
                header, piece = header + piece[:cut], piece[cut:]
                if len(header) == BLOCK:
                    check_header(header, member, source.name)
            check.see(piece)
            file.write(piece)
            digest.update(piece)
            left -= len(piece)
            bar.update(len(piece))
        if left:
            raise refused(
                source.name, "must be whole", f"{member.path} is cut", "archive-damaged"
            )
        check.finish()
    return digest.hexdigest()


def check_header(block: bytes, member: Member, archive: str) -> None:
    """Refuses where the archive has something else than its index says."""
    try:
        info = parsed(block, member.header, archive)
        same = info is not None and info.chksum == member.checksum
    except DownloadError:
        same = False
    if not same:
        raise FileChanged(
            archive, "must be the archive that was indexed",
            f"another header at {member.header:,}", "file-changed", "run again",
        )  # fmt: skip


def read_index(source: Source, out: Path) -> list[Member]:
    """The files of the archive, from an earlier look where it was at the same one."""
    cache = out / "tar_index.json"
    if isinstance(source, RemoteFile):
        first = source.read(0, BLOCK)  # tells ETag and length
        parsed(first, 0, source.name)
        if members := known_index(cache, source):
            return members
    members = []
    headers = index(source.read, source.total, source.name)
    with tqdm(desc="headers", unit="", leave=False, disable=None) as bar:
        for member in headers:
            bar.update()
            if member is not None:
                members.append(member)
    if isinstance(source, RemoteFile):
        listed = [list(vars(member).values()) for member in members]
        of = {"address": source.name, "etag": source.etag, "total": source.total}
        write_sealed(cache, {**of, "members": listed})
    return members


def known_index(cache: Path, source: RemoteFile) -> list[Member]:
    """The index of an earlier call; none if it is of another file or not as written."""
    try:
        known = read_sealed(cache)
        members = [Member(*row) for row in known["members"]]
        same = [known["address"], known["etag"], known["total"]]
        good = same == [source.name, source.etag, source.total] and all(
            LAYOUT.fullmatch(m.path)
            and all(type(n) is int and n >= 0 for n in (m.header, m.size, m.checksum))
            and m.header + m.size < (source.total or 0)
            for m in members
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []
    return members if good else []


def choose(members: list[Member], cases: int | None, archive: str) -> list[Member]:
    """The files wanted: all, or images and labels of the first labelled cases."""
    if cases is None:
        return [member for member in members if member.path != "dataset.json"]
    by_path = {member.path: member for member in members}
    names = labelled(members)
    if cases > len(names):
        raise SettingsError(
            "--cases", f"must be at most {len(names)}, which {archive} holds", cases,
            "cases", "leave it out for all",
        )  # fmt: skip
    return [
        by_path[f"{folder}/{name}"]
        for name in names[:cases]
        for folder in ("imagesTr", "labelsTr")
    ]


def labelled(members: list[Member]) -> list[str]:
    """File names that have an image and labels, in the order of their numbers."""
    images, labels = (
        {m.path.split("/")[1] for m in members if m.path.startswith(f"{folder}/")}
        for folder in ("imagesTr", "labelsTr")
    )
    return sorted(images & labels, key=natural)


def dataset_json(
    source: Source, members: list[Member], chosen: list[Member], cases: int | None
) -> str:
    """The archive's own table, cut down to the chosen cases and saying so."""
    tables = [member for member in members if member.path == "dataset.json"]
    if not tables or tables[0].size > LARGEST_TABLE:
        raise refused(
            source.name, "must hold a dataset.json", "none of its size", "dataset-json"
        )
    member = tables[0]
    content = source.read(member.header, BLOCK + member.size)
    check_header(content[:BLOCK], member, source.name)
    try:
        table = json.loads(content[BLOCK:].decode())
        pairs = {Path(e["image"]).name: e for e in table["training"]}
        names = labelled(chosen)
        table["training"] = [pairs[name] for name in names]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise refused(
            source.name, "its dataset.json must list each case",
            f"{type(error).__name__}: {error}", "dataset-json",
        ) from error  # fmt: skip
    if cases is not None:
        of = len(labelled(members))
        table |= {"numTraining": len(names), "test": [], "numTest": 0}
        table["subset"] = f"{len(names)} of {of} labelled cases, the first by number"
    return json.dumps(table, indent=1) + "\n"


def patients(names: list[str], prefix: str = "liver_") -> str:
    """``patients.csv`` of all cases, so that it fits whichever are fetched later.

    A case that shows the person of another one carries that one's name. ``prefix`` is
    what stands before the number, which MSD and LiTS share.
    """
    first = {f"{prefix}{n}": f"{prefix}{same[0]}" for same in SAME_PERSON for n in same}
    cases = [name.removesuffix(".nii.gz") for name in names]
    rows = [f"{case},{first.get(case, case)},true\n" for case in cases]
    return "case,patient,spacing_known\n" + "".join(rows)


def contents(record: Record) -> str:
    """Which cases a download holds."""
    names = [Path(p).name for p in record.files if p.startswith("labelsTr/")]
    names = [n.removesuffix(".nii.gz") for n in sorted(names, key=natural)]
    if record.cases is None:
        return f"all {len(names)} labelled cases"
    return f"the first {len(names)} labelled cases ({', '.join(names)}), no others"


def plain_folder(path: Path) -> None:
    """Makes a folder; a link in its place would lead the files elsewhere."""
    if path.is_symlink():
        raise StorageError(
            path, "must be a folder", "a link", "folder-link", "remove it"
        )
    path.mkdir(exist_ok=True)
