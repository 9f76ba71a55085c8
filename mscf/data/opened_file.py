"""A file's bytes as they are read: unpacked in order, digested as they lie there.

Nothing is believed by its name, and a packed file is sound only once its end has been
read, where gzip's checksum stands.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from gzip import BadGzipFile
from pathlib import Path
from typing import IO

from isal import igzip, isal_zlib

from mscf.errors import InputError

RENAME = "give it the ending of what it is"
BEGINNINGS = {  # what files are that have another name
    b"\x1f\x8b": "gzip", b"PK\x03\x04": "a zip archive", b"\xfd7zXZ": "an xz archive",
    b"BZh": "a bzip2 archive", b"(\xb5/\xfd": "a zstd archive",
    b"\\\x01\x00\x00": "plain NIfTI", b"\x00\x00\x01\\": "plain NIfTI",
    b"\x1c\x02\x00\x00": "plain NIfTI", b"\x00\x00\x02\x1c": "plain NIfTI",
}  # fmt: skip


class Digesting:
    """A file whose bytes are digested as they are read, in their order."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.sha256 = file, hashlib.sha256()

    def read(self, n: int = -1) -> bytes:
        """The next ``n`` bytes, or fewer at the end."""
        content = self.file.read(n)
        self.sha256.update(content)
        return content

    def readinto(self, buffer: memoryview) -> int:
        """The next bytes into ``buffer``; how many there were."""
        n = self.file.readinto(buffer)
        self.sha256.update(memoryview(buffer).cast("B")[:n])
        return n


Stream = IO[bytes] | Digesting


@dataclass(frozen=True)
class Content:
    """An opened file: its unpacked bytes in order, and the digest of what was read."""

    stream: Stream
    raw: Digesting

    @property
    def sha256(self) -> str:
        """Of the file as it lies on the disk, once all of it has been read."""
        return self.raw.sha256.hexdigest()


@contextmanager
def opened(path: Path) -> Iterator[Content]:
    """A file's content, unpacked while it is read.

    Raises:
        InputError: it cannot be read, is no sound gzip stream, or not what its name
            says.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would wait for ever
            found = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise InputError(path, "must be a file", found, "unreadable")
        with path.open("rb") as file:
            packed = path.name.endswith(".gz")
            check_kind(file.peek(4)[:8], packed, path)
            raw = Digesting(file)
            if not packed:
                yield Content(raw, raw)
                return
            with (
                sound_gzip(path, status.st_size),
                igzip.IGzipFile(fileobj=raw, mode="rb") as stream,
            ):
                yield Content(stream, raw)
    except OSError as error:
        raise InputError(
            path, "must be readable", error.strerror or error, "unreadable"
        ) from error


def check_kind(begin: bytes, packed: bool, path: Path) -> None:
    """Refuses what only its name calls gzip, or not gzip, by its first bytes."""
    known = (name for mark, name in BEGINNINGS.items() if begin.startswith(mark))
    found = next(known, "")
    if packed and not begin.startswith(b"\x1f\x8b"):
        if begin.lstrip()[:1] in (b"", b"<", b"{"):
            raise not_nifti(path, "a page of text" if begin else "an empty file")
        found = found or f"begins with {begin[:4]!r}"
        raise InputError(
            path, "must be what its name says, gzip", found, "gz-mismatch", RENAME
        )
    if not packed and found and found != "plain NIfTI":
        raise InputError(
            path, "must be what its name says, plain NIfTI", found, "gz-mismatch",
            RENAME,
        )  # fmt: skip


@contextmanager
def sound_gzip(path: Path, size: int) -> Iterator[None]:
    """Says of a stream of ``size`` bytes that fails in the block what is wrong."""
    again = "copy or download it again"
    try:
        yield
    except EOFError as error:
        raise InputError(
            path, "the gzip stream must be whole", f"ends after {size:,} bytes",
            "gz-truncated", again,
        ) from error  # fmt: skip
    except (BadGzipFile, isal_zlib.error) as error:
        raise InputError(
            path, "the gzip stream must be sound", error, "gz-corrupt", again
        ) from error


def not_nifti(path: Path, found: str) -> InputError:
    """The error of a file that is something else."""
    return InputError(path, "must be a NIfTI image", found, "not-nifti")
