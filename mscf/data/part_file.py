"""A large file downloaded whole: gone on with after any interruption, then verified."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from tqdm import tqdm

from mscf.data.http_ranges import FileChanged, NoRanges, RemoteFile
from mscf.errors import DownloadError, Finding, StorageError, cannot_write, warn
from mscf.replacing import sync, write_text

CHUNK = 1 << 20  # bytes
STARTS = 6  # at the first byte, with a server that never lets it end
TAR_END = bytes(1024)  # two blocks of zeros


def fetch_whole(address: str, target: Path, md5: str) -> None:
    """Downloads ``address`` to ``target``, whose digest must be ``md5``.

    What has come lies in ``NAME.part``, what it is of in ``NAME.part.json``; another
    call goes on from there by range. A ``target`` that is there already is verified.

    Args:
        address: of a tar.
        target: gets its name only when length and digest agree.
        md5: 32 hexadecimal digits.

    Raises:
        DownloadError: not to be had, or another digest twice; the file is kept as
            ``NAME.bad`` then.
        StorageError: no room for it and, as large, for what is unpacked from it; no
            permission; ``NAME.part`` stays.
    """
    try:
        if target.exists():
            check_digest(target, md5)
            return
        part = target.with_name(target.name + ".part")
        for attempt in ("first", "second"):
            found = fetch_part(address, part)
            if found == md5:
                sync(part)
                part.replace(target)
                sync(target.parent)
                state_of(part).unlink(missing_ok=True)
                return
            error = wrong_digest(part, md5, found)
            if attempt == "first":
                warn(error.finding)
                part.unlink(missing_ok=True)
                state_of(part).unlink(missing_ok=True)
        part.replace(target.with_name(target.name + ".bad"))
        state_of(part).unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(target, error) from error
    raise wrong_digest(target.with_name(target.name + ".bad"), md5, found)


def fetch_part(address: str, part: Path) -> str:
    """Brings ``part`` to its end, from wherever it is; its MD5."""
    remote = remote_of(address, part)
    try:
        for _ in range(STARTS):
            digest = digest_of(part) if part.exists() else md5_digest()
            before = size_of(part)
            try:
                grow(remote, part, digest)
            except (FileChanged, NoRanges) as error:
                f = error.finding
                warn(Finding(f.file, f.must, f.found, f.check, "starting anew"))
                part.unlink(missing_ok=True)
                remote.close()
                remote = RemoteFile(address)
                continue
            if ends_as_tar(part) or size_of(part) == before:
                return digest.hexdigest()
            remote.total = None  # not its end, whatever length the server has named
    finally:
        remote.close()
        if not size_of(part):
            part.unlink(missing_ok=True)
    raise DownloadError(
        remote.name, "must send the file to its end", f"{STARTS} times it did not",
        "download", "run again: what has come is kept",
    )  # fmt: skip


def grow(remote: RemoteFile, part: Path, digest: hashlib._Hash) -> None:
    """Appends what is missing."""
    at = size_of(part)
    with progress(part.stem, remote.total, at) as bar, part.open("ab", 0) as file:
        fresh = True
        for chunk in remote.chunks(at):
            if fresh:  # only now it is known how long the file is, and which one
                bar.total = remote.total
                check_room(part.parent, 2 * (remote.total or 0) - at)  # and unpacked
                note_state(remote, part)
                fresh = False
            write_all(file, chunk)
            digest.update(chunk)
            bar.update(len(chunk))


def write_all(file: IO[bytes], chunk: bytes) -> None:
    """An unbuffered file takes what it likes of a chunk, on a nearly full disk less."""
    view = memoryview(chunk)
    while view:
        view = view[file.write(view) :]


def remote_of(address: str, part: Path) -> RemoteFile:
    """The remote file that ``part`` is of; without knowing it, ``part`` is removed."""
    try:
        state = json.loads(state_of(part).read_text(encoding="utf-8"))
        known = _, etag, total = state["address"], state["etag"], state["total"]
        good = etag is None or (etag.isascii() and etag.isprintable())
        good = good and (total is None or (type(total) is int and total > 0))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        known, good = (None, None, None), False
    remote = RemoteFile(address)
    if good and known[0] == remote.name:
        remote.etag, remote.total = known[1], known[2]
    else:
        part.unlink(missing_ok=True)
    return remote


def note_state(remote: RemoteFile, part: Path) -> None:
    """Writes of what ``part`` is the beginning."""
    state = {"address": remote.name, "etag": remote.etag, "total": remote.total}
    write_text(state_of(part), json.dumps(state))


def state_of(part: Path) -> Path:
    """``NAME.part.json`` of ``NAME.part``."""
    return part.with_name(part.name + ".json")


def check_room(folder: Path, needed: int) -> None:
    """Refuses to begin what does not fit on the disk."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StorageError(
            folder, f"must have {needed / 1e9:,.1f} GB free", f"{free / 1e9:,.1f} GB",
            "storage", "free some space and run again, or take fewer: --cases 3",
        )  # fmt: skip


def check_digest(path: Path, md5: str) -> None:
    """Refuses a file of another content."""
    found = digest_of(path).hexdigest()
    if found != md5:
        raise wrong_digest(path, md5, found)


def md5_digest() -> hashlib._Hash:
    """MD5, against accidents: it is what the publisher gives."""
    return hashlib.md5(usedforsecurity=False)


def digest_of(path: Path, kind: Callable = md5_digest) -> hashlib._Hash:
    """The digest of what is in a file so far."""
    digest = kind()
    with (
        path.open("rb") as file,
        progress(f"checking {path.name}", size_of(path)) as bar,
    ):
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            bar.update(len(chunk))
    return digest


def ends_as_tar(path: Path) -> bool:
    """Whether a file ends in the two blocks of zeros of a tar."""
    size = size_of(path)
    if size < len(TAR_END) or size % 512:
        return False
    with path.open("rb") as file:
        file.seek(-len(TAR_END), os.SEEK_END)
        return file.read() == TAR_END


def size_of(path: Path) -> int:
    """Bytes; 0 of what is not there."""
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def wrong_digest(path: Path, md5: str, found: str) -> DownloadError:
    """The error of a file that is not what it should be."""
    return DownloadError(
        path, f"must have the MD5 {md5}", found, "checksum",
        "remove it and download it again",
    )  # fmt: skip


def progress(what: str, total: int | None, at: int = 0) -> tqdm:
    """Bytes as they come, on a terminal."""
    return tqdm(
        desc=what, total=total, initial=at, unit="B", unit_scale=True, leave=False,
        disable=None,
    )  # fmt: skip
