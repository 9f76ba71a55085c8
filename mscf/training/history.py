"""The two tables that grow by a row an epoch, and survive being cut off.

``history.csv`` holds what a repeated run must reproduce to the byte, ``timing.csv``
what the clock says.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pandas as pd

from mscf.errors import CheckpointError, StorageError

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
        """One row; numbers in Python's shortest round-trip form."""
        self._write("a", values)

    def cut(self, rows: int) -> None:
        """Back to its first rows: a killed run may have written one too many, or half.

        Raises:
            CheckpointError: fewer rows than the checkpoint believes in.
        """
        lines = self.path.read_text().splitlines(keepends=True) if self.there else []
        kept = lines[: rows + 1]
        if len(kept) < rows + 1 or not kept[-1].endswith("\n"):
            raise CheckpointError(
                self.path,
                f"must hold the {rows} epochs of the checkpoint beside it",
                f"{max(len(lines) - 1, 0)} rows",
                "history-short",
                "start anew in another folder",
            )
        if len(lines) > len(kept):
            with self.path.open("r+b") as file:
                file.truncate(len("".join(kept).encode()))

    def read(self) -> pd.DataFrame:
        """The table so far."""
        return pd.read_csv(self.path)

    @property
    def there(self) -> bool:
        """Whether the file exists."""
        return self.path.exists()

    def _write(self, mode: str, values: tuple) -> None:
        try:
            with self.path.open(mode, encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerow(values)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StorageError(
                self.path, "must be writable", error.strerror, "storage"
            ) from error
