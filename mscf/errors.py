"""One shape for every failure: file, what must hold, what was found, what to do.

``error: FILE: what must hold (found: VALUE); what to do [check]`` on one line, and
an exit code by class, so that a shell script or a Slurm job can tell them apart.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Finding:
    """One statement about one file; an error raises it, a repair records it."""

    file: str
    must: str
    found: str
    check: str
    todo: str = ""

    def __str__(self) -> str:
        todo = f"; {self.todo}" if self.todo else ""
        must = f"{self.must} (found: {self.found}){todo} [{self.check}]"
        return printable(f"{self.file}: {must}")


class MscfError(Exception):
    """A failure with a known cause; the command line prints it as one line.

    ``file`` is the path as the user gave it, or the name of a setting; ``check`` is a
    short slug that stays the same between versions.
    """

    exit_code = 1

    def __init__(
        self, file: Path | str, must: str, found: object, check: str, todo: str = ""
    ) -> None:
        parts = (str(file), must, str(found), check, todo)
        self.finding = Finding(*(printable(part) for part in parts))
        super().__init__(str(self.finding))

    def __reduce__(self) -> tuple:
        """Lets a worker process hand its error to the parent unchanged."""
        f = self.finding
        return type(self), (f.file, f.must, f.found, f.check, f.todo)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found; several where a whole folder was looked through."""
        return (self.finding,)


class SettingsError(MscfError):
    """Settings unknown, out of range or contradicting each other."""

    exit_code = 2


class InputError(MscfError):
    """Input data refused."""

    exit_code = 3


class SeveralInputsError(InputError):
    """Several files of a folder refused in one pass."""

    SHOWN = 20

    def __init__(self, errors: Sequence[InputError]) -> None:
        self.errors = tuple(errors)
        first = self.errors[0].finding
        super().__init__(first.file, first.must, first.found, first.check, first.todo)

    def __reduce__(self) -> tuple:
        return type(self), (self.errors,)

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """One for each file, the first twenty and then how many there are."""
        all_of_them = tuple(error.finding for error in self.errors)
        if len(all_of_them) <= self.SHOWN:
            return all_of_them
        rest = Finding(
            "the folder", "must hold sound files", f"{len(all_of_them)} that are not",
            "many", f"the first {self.SHOWN} are listed above",
        )  # fmt: skip
        return (*all_of_them[: self.SHOWN], rest)


def raise_all(errors: Iterable[InputError]) -> None:
    """Raises what it is given: nothing, the one error, or all as one."""
    errors = tuple(errors)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise SeveralInputsError(errors)


class CheckpointError(MscfError):
    """A checkpoint, store or run folder refused."""

    exit_code = 4


class NumericalError(MscfError):
    """Numbers that are not finite."""

    exit_code = 5


class MemoryLimitError(MscfError):
    """Not enough host or GPU memory."""

    exit_code = 6


class StorageError(MscfError):
    """Disk full, no permission, read error."""

    exit_code = 7


class DistributedError(MscfError):
    """A process of several lost, hung, or started otherwise; a port taken."""

    exit_code = 8


class DownloadError(MscfError):
    """Download or archive refused, or not to be had."""

    exit_code = 9


class Stopped(MscfError):  # noqa: N818 (it is none)
    """Stopped on request with its state saved: no failure, run again to go on."""

    exit_code = 75  # EX_TEMPFAIL


def cannot_write(
    path: Path | str, error: OSError, must: str = "must be writable"
) -> StorageError:
    """What the system says of a place to write in, with what helps against it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        todo = "free some space and run again"
    elif error.errno == errno.ENOENT:
        todo = "choose another folder, or was this one moved or deleted?"
    else:
        todo = "choose another folder"
    return StorageError(path, must, error.strerror or error, "storage", todo)


def printable(text: str) -> str:
    """The text on one line: control characters (a newline in a name) are escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def out_of_memory(error: BaseException) -> bool:
    """Whether this is numpy's, the CPU allocator's or a GPU's way to say so."""
    said = (  # by the allocator, and where no context, or no library's handle, fits
        "DefaultCPUAllocator",
        "CUDA error: out of memory",
        "CUBLAS_STATUS_ALLOC_FAILED",
    )
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"  # torch's, known without torch
        or any(words in str(error) for words in said)
    )


def warn(finding: Finding) -> None:
    """Says a repair on stderr, in the shape of an error line."""
    print(f"warning: {finding}", file=sys.stderr)
