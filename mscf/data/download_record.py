"""What a download notes of itself, so that a next call goes on or finds it whole."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from mscf.data.part_file import digest_of
from mscf.data.sealed import read_sealed, write_sealed
from mscf.data.tar_index import LAYOUT
from mscf.errors import Finding, StorageError, cannot_write, warn

# What may lie in a folder before its first record: hidden files, and what comes first.
ALONGSIDE = (".", "Task03_Liver.tar", "tar_index.json")


@dataclass
class Record:
    """``download.json``: what was asked for, and the SHA-256 of each file that came."""

    path: Path
    address: str = ""
    etag: str | None = None
    cases: int | None = None  # None: all
    files: dict[str, str] = field(default_factory=dict)
    complete: bool = False

    def write(self) -> None:
        """Replaces the file; sealed: a changed name in it would fetch another case."""
        rest = {k: v for k, v in vars(self).items() if k != "path"}
        write_sealed(self.path, {"mscf": version("mscf"), **rest})

    def holds(self, path: str) -> bool:
        """Whether a file is here as it came."""
        file = self.path.parent / path
        known = self.files.get(path)
        return bool(known) and file.is_file() and (
            digest_of(file, hashlib.sha256).hexdigest() == known
        )  # fmt: skip

    @property
    def whole(self) -> bool:
        """Whether everything that was asked for is here as it came."""
        return self.complete and all(map(self.holds, self.files))


def open_record(out: Path) -> Record:
    """The record of an earlier call, or a new one in a folder that holds nothing else.

    Raises:
        StorageError: a file, or a folder with other things in it.
    """
    path = out / "download.json"
    try:
        out.mkdir(parents=True, exist_ok=True)
        for part in out.glob("*/.*.part"):  # of a process that was killed
            part.unlink()
        strange = [p.name for p in out.iterdir() if not p.name.startswith(ALONGSIDE)]
        if path.exists():
            return read_record(path)
    except OSError as error:
        raise cannot_write(out, error, "must be a folder to write in") from error
    if strange:
        raise StorageError(
            out, "must be a new folder or hold a download", strange[0], "folder-other",
            "choose another folder",
        )  # fmt: skip
    return Record(path)


def read_record(path: Path) -> Record:
    """What ``Record.write`` wrote; a damaged one is begun anew, with a warning."""
    try:
        said = read_sealed(path)
        record = Record(
            path, said["address"], said["etag"], said["cases"], dict(said["files"]),
            said["complete"],
        )  # fmt: skip
        good = all(LAYOUT.fullmatch(file) for file in record.files)
        good &= isinstance(record.cases, int | None) and record.complete in (
            True,
            False,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        good = False
    if good:
        return record
    warn(
        Finding(
            str(path),
            "must be as it was written",
            "something else",
            "download-record",
            "every file is fetched again",
        )
    )
    return Record(path)
