"""One process at a time where two would write the same files."""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from mscf.errors import Finding, cannot_write, printable, warn

NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}  # some network file systems
GONE = {errno.ENOENT, errno.ESTALE}  # removed here, or on another machine


@contextmanager
def one_at_a_time(lock: Path, folder: Path) -> Iterator[None]:
    """Keeps every other process out of the block; a second one says that it waits.

    A lock of the kernel on the file ``lock``: it ends with the process, whatever ends
    that. The file is removed at the end; ``folder`` is what the block writes.

    Raises:
        StorageError: the file cannot be written or locked.
    """
    with ExitStack() as opened:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            while not has_lock(opened.enter_context(lock.open("a")), lock, folder):
                opened.close()  # removed by who had it: others lock the next one
        except OSError as error:
            raise cannot_write(folder, error) from error
        try:
            yield
        finally:
            with suppress(OSError):  # left behind it keeps nobody out
                lock.unlink()  # while it is locked, or it could be another's


def has_lock(file: IO, path: Path, folder: Path) -> bool:
    """Waits for the open file's lock; False where it no longer has this name."""
    try:
        if not try_lock(file, folder):
            place = printable(str(folder))
            print(f"{place}: another process writes it, waiting", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError as error:
        if error.errno in GONE:
            return False
        raise


def try_lock(file: IO, folder: Path) -> bool:
    """Locks the open file; False where another process has it locked.

    Where the file system has no locks it warns, with the name of ``folder``: True.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        warn(
            Finding(
                str(folder), "must be locked against a second process",
                error.strerror or str(error), "lock", "start no other here meanwhile",
            )
        )  # fmt: skip
    return True
