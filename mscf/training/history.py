"""The tables that grow by a row an epoch, and survive being cut off.

``history.csv`` holds what a repeated run must reproduce to the byte, ``timing.csv``
what the clock says, ``context.csv`` what the context blocks do.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from mscf.errors import CheckpointError, cannot_write

HISTORY = ("epoch", "loss", "learning_rate")
TIMING = ("epoch", "seconds", "slices_per_second")


class GrowingTable:
    """A CSV that is appended to, flushed to the disk with every row."""

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self.path = path
        self.columns = columns

    def start(self) -> None:
        """A new table: the header only."""
        self._write("w", self.columns)

    def append(self, *values: float) -> None:
        """One row; numbers in Python's shortest round-trip form.

        Raises:
            StorageError: no room, or the table is gone; it is not begun again.
        """
        self._write("r+", values)

    def mark(self) -> dict[str, int | str]:
        """Where it ends now, and a digest of all until there."""
        try:
            content = self.path.read_bytes()
        except OSError as error:
            must = "must stay while the run goes on"
            raise cannot_write(self.path, error, must) from error
        return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    def check(self, mark: Mapping[str, int | str]) -> None:
        """It must begin with what it held at this mark.

        Raises:
            CheckpointError: it is shorter, or has been changed.
        """
        content = self.path.read_bytes() if self.there else b""
        begin = content[: int(mark["bytes"])]
        if hashlib.sha256(begin).hexdigest() != mark["sha256"]:
            short = len(content) < int(mark["bytes"])
            raise CheckpointError(
                self.path,
                f"must begin with the {mark['bytes']} bytes that the checkpoint knows",
                f"{len(content)} bytes" if short else "other content",
                "history-short" if short else "history-changed",
                "start anew in another folder",
            )

    def cut(self, mark: Mapping[str, int | str]) -> int:
        """Back to a mark: a killed run may have written a row too many, or half of one.

        Gives the number of bytes cut off.
        """
        size = int(mark["bytes"])
        behind = self.path.stat().st_size - size
        if behind:
            with self.path.open("r+b") as file:
                file.truncate(size)
                os.fsync(file.fileno())
        return behind

    @property
    def there(self) -> bool:
        """Whether the file exists."""
        return self.path.exists()

    def _write(self, mode: str, values: tuple) -> None:
        try:
            with self.path.open(mode, encoding="utf-8", newline="") as file:
                file.seek(0, os.SEEK_END)
                csv.writer(file, lineterminator="\n").writerow(values)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise cannot_write(self.path, error) from error
