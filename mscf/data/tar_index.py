"""Which files of MSD's layout a tar holds and where they lie; nothing is unpacked.

A tar is not compressed: a header of 512 bytes before each file says how long it is, so
the next header's place is known without reading the file. Read over a network, that
is a few hundred small reads instead of 27 GB.

Whatever an archive could do beyond plain files of the known layout is refused here,
before a byte is written: absolute names and ``..``, links, devices, holes, sizes beyond
the archive's end, names twice, names that are equal on some file systems.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mscf.errors import DownloadError, Finding, warn

BLOCK = 512  # bytes, of a tar
NEAR = 16 * BLOCK  # headers so close are asked for together
MOST_MEMBERS = 10_000  # MSD's largest task has some thousands
LONGEST_RECORD = 1 << 20  # bytes of an extended header; macOS puts attributes there
FOLDER = "Task03_Liver"
LAYOUT = re.compile(r"(imagesTr|labelsTr|imagesTs)/\w[\w.-]*\.nii\.gz|dataset\.json")
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # Windows
EXTENDED = (b"x", b"X", b"g", b"L", b"K")  # headers that speak of the next one
FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)

Read = Callable[[int, int], bytes]  # (start, n): n bytes from there


@dataclass(frozen=True)
class Member:
    """A file in a tar: its path below ``Task03_Liver``, its place, its bytes.

    ``header`` is where its own header block begins, the data come right behind;
    ``checksum`` is the one that the header carries of itself.
    """

    path: str
    header: int
    size: int
    checksum: int


class Nearby:
    """Reads few bytes in few requests, by asking for as much as was needed last time.

    macOS writes a small ``._`` file and an extended header before each file: four
    headers within some kB, then a long way to the next four.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._start, self._content = 0, b""
        self._first = self._last = 0  # of the run of reads that lie near each other
        self._ahead = BLOCK

    def __call__(self, start: int, n: int) -> bytes:
        """``n`` bytes from ``start``."""
        if start - self._last >= NEAR:
            self._ahead = min(self._last - self._first, NEAR)
            self._first = start
        self._last = start + n
        if start + n > self._start + len(self._content):
            self._start, self._content = start, self._read(start, max(n, self._ahead))
        offset = start - self._start
        return self._content[offset : offset + n]


def index(read: Read, total: int | None, archive: str) -> Iterator[Member | None]:
    """The files of MSD's layout as they come; None for each that is none of them.

    Args:
        read: gives bytes of the archive.
        total: its length in bytes, where it is known.
        archive: its name, for errors.

    Raises:
        DownloadError: damaged, cut, or an attack.
    """
    seen: set[str] = set()
    for name, header, size, info in headers(Nearby(read), total, archive):
        check_kind(name, info, archive)
        check_name(name, archive)
        if info.type not in FILES:  # a folder
            continue
        if name.lower() in seen:
            raise refused(archive, "must hold each name once", name, "archive-twice")
        seen.add(name.lower())
        path = name.removeprefix("./").removeprefix(f"{FOLDER}/")
        wanted = path != name.removeprefix("./") and LAYOUT.fullmatch(path)
        if not wanted and not path.split("/")[-1].startswith("."):
            must, todo = "must be of MSD's layout", "it is left out"
            warn(Finding(name, must, "another place", "archive-other", todo))
        yield Member(path, header, size, info.chksum) if wanted else None


def headers(
    read: Read, total: int | None, archive: str
) -> Iterator[tuple[str, int, int, tarfile.TarInfo]]:
    """Name, place of the header, size and header of each member, up to the end mark."""
    at, beside = 0, {}
    for _ in range(MOST_MEMBERS):
        info = parsed(read(at, BLOCK), at, archive)
        if info is None:
            return
        size = int(beside.get("size", info.size))
        after = at + BLOCK + -(-size // BLOCK) * BLOCK
        if size < 0 or (total is not None and after > total):
            raise refused(
                archive, "must hold what its headers promise",
                f"{info.name} of {size:,} bytes at {at:,}", "archive-size",
            )  # fmt: skip
        if info.type in EXTENDED:
            beside |= extension(read, info.type, at + BLOCK, size, archive)
        else:
            yield beside.get("path", info.name), at, size, info
            beside = {}
        at = after
    raise refused(archive, f"must hold at most {MOST_MEMBERS:,} files", "more", "many")


def parsed(block: bytes, at: int, archive: str) -> tarfile.TarInfo | None:
    """A header block whose checksum agrees; None for the zeros that end a tar."""
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.EOFHeaderError:
        return None
    except (tarfile.HeaderError, ValueError, OverflowError) as error:
        raise refused(
            archive, "must be a whole tar", f"no header at {at:,}: {error}",
            "archive-damaged",
        ) from error  # fmt: skip


def extension(read: Read, kind: bytes, at: int, size: int, archive: str) -> dict:
    """What an extended header says of the next member: ``path`` and ``size``."""
    if size > LONGEST_RECORD:
        raise refused(
            archive, f"names must fit in {LONGEST_RECORD:,} bytes", f"{size:,}",
            "archive-name",
        )  # fmt: skip
    content = read(at, size)
    if kind in (b"L", b"K"):  # GNU's: a name, or the target of a link
        name = content.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
        return {"path": name} if kind == b"L" else {}
    said = records(content, archive)
    if any(key.startswith("GNU.sparse") for key in said):
        raise refused(
            archive, "must hold plain files", "one with holes", "archive-kind"
        )
    known = {key: said[key] for key in ("path", "size") if key in said}
    if known and kind == b"g":
        raise refused(
            archive, "must name each file itself", "one name for all", "archive-name"
        )
    if not re.fullmatch(r"\d{1,18}", known.get("size", "0")):
        raise refused(archive, "sizes must be numbers", known["size"], "archive-size")
    return known


def records(content: bytes, archive: str) -> dict[str, str]:
    """The ``LENGTH KEY=VALUE`` lines of POSIX's extended header."""
    said, at = {}, 0
    while at < len(content) and content[at]:
        match = re.compile(rb"(\d{1,6}) ([^=]+)=").match(content, at)
        end = at + int(match[1]) if match else 0
        if not match or not match.end() < end <= len(content):
            raise refused(
                archive, "must be a whole tar", "a broken extended header",
                "archive-damaged",
            )  # fmt: skip
        value = content[match.end() : end - 1]
        said[match[2].decode("utf-8", "replace")] = value.decode(
            "utf-8", "surrogateescape"
        )
        at = end
    return said


def check_kind(name: str, info: tarfile.TarInfo, archive: str) -> None:
    """Refuses all but files and folders."""
    if info.type in (*FILES, tarfile.DIRTYPE):
        return
    kinds = {
        tarfile.SYMTYPE: "a symbolic link", tarfile.LNKTYPE: "a hard link",
        tarfile.CHRTYPE: "a device", tarfile.BLKTYPE: "a device",
        tarfile.FIFOTYPE: "a pipe", tarfile.GNUTYPE_SPARSE: "a file with holes",
    }  # fmt: skip
    found = f"{name}, {kinds.get(info.type, f'of type {info.type!r}')}"
    raise refused(archive, "must hold plain files", found, "archive-kind")


def check_name(name: str, archive: str) -> None:
    """Refuses names that lead elsewhere, or are not the same on every file system."""
    parts = name.rstrip("/").split("/")
    if name.startswith("/") or ".." in parts or "\\" in name or re.match(r"\w:", name):
        raise refused(
            archive, "names must lead into its own folder", name, "archive-escape"
        )
    plain = (
        name
        and name.isascii()
        and name.isprintable()
        and not re.search(r'[<>:"|?*]', name)
    )
    if not plain or any(p.endswith((" ", ".")) and p != "." for p in parts) or (
        any(map(RESERVED.fullmatch, parts))
    ):  # fmt: skip
        raise refused(
            archive, "names must be plain on every system", ascii(name), "archive-name"
        )


def refused(archive: str, must: str, found: str, check: str) -> DownloadError:
    """An archive that is not unpacked."""
    todo = "nothing was unpacked; get it from the address on the page Data"
    return DownloadError(archive, must, found, check, todo)
