"""Writing a file, or a folder, whole or not at all; removing one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from mscf.errors import SettingsError, cannot_write


@contextmanager
def replacing(path: Path, text: bool = True, size: int = 0) -> Iterator[IO]:
    """A file that takes the place of ``path`` only when the block ends well.

    Written under a name that ends in ``.part`` in the same folder (a move between
    file systems would be a copy), flushed to the disk, then renamed. With ``size``
    the bytes are reserved first, so that a full disk shows before anything is lost.

    Raises:
        StorageError: disk full, no permission; ``path`` is as it was before.
    """
    part = None
    try:
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=".part"
        )
        part = Path(name)
        mode, encoding, newline = ("w", "utf-8", "\n") if text else ("wb", None, None)
        os.close(handle)
        with part.open(mode, encoding=encoding, newline=newline) as file:
            reserve(file, 0, size)
            yield file
        sync(part)  # by name: who writes may have put another file there
        part.chmod(0o666 & ~current_umask())
        part.replace(path)
        sync(path.parent)
    except OSError as error:
        must = f"must be writable{f' with {size:,} bytes' if size else ''}"
        raise cannot_write(path, error, must) from error
    finally:
        if part is not None:
            with suppress(OSError):  # renamed, or gone with its disk: nobody reads it
                part.unlink()


def write_text(path: Path, text: str) -> None:
    """``path`` holds this text, or what it held before: `replacing` in one call."""
    with replacing(path) as file:
        file.write(text)


def remove(path: Path) -> None:
    """Nothing is at ``path`` any more, if it was a file.

    Raises:
        StorageError: no permission.
    """
    try:
        if path.is_file():
            path.unlink()
    except OSError as error:
        raise cannot_write(path, error) from error


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which becomes ``path`` only when the block ends well.

    It is ``.NAME.part`` beside it, and what a killed attempt left there is removed: two
    that could fill it at once keep each other out, see `one_at_a_time`.

    Raises:
        SettingsError: ``path`` is there already and not an empty folder.
        StorageError: disk full, no permission; nothing is left behind.
    """
    place = path.absolute()
    part = place.parent / f".{place.name}.part"
    try:
        if path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise SettingsError(
                path, "must be a new or empty folder", "something there", "out",
                "choose another one",
            )  # fmt: skip
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        for file in part.iterdir():
            sync(file)
        part.replace(path)
        sync(place.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def reserve(file: IO, offset: int, size: int) -> None:
    """Takes the bytes before they are written, where the system can (macOS cannot).

    A full disk then shows at once, and not as a torn write.
    """
    if size and hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), offset, size)


def current_umask() -> int:
    """The process's umask; the only way to read it is to set it.

    Meanwhile to the strictest: another thread may make a file just then.
    """
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def sync(path: Path) -> None:
    """Makes a file's bytes, or a folder's names, last through a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
