"""A store on its way: grown case by case, trusted by nobody before it is whole."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mscf.data.case_slices import CaseSlices
from mscf.data.cases import Case
from mscf.data.sealed import write_sealed
from mscf.data.spreadsheet import as_csv
from mscf.errors import CheckpointError, InputError, StorageError, cannot_write
from mscf.replacing import reserve, sync, write_text

ARRAYS = {"images.npy": np.dtype("<i2"), "masks.npy": np.dtype("u1")}
HEADER_BYTES = 128  # of an array, left free until the number of slices is known


class Writer:
    """A store that grows by a case, under names that only ``prepare`` goes on with.

    A line in the journal stands behind the data of every whole case; whatever lies
    behind the last line is cut off before going on.
    """

    def __init__(self, target: Path, head: dict) -> None:
        self.target, self.head = target, head
        self.journal: list[dict] = []
        self.journal_path = target / ".journal.part"
        self.parts = {name: target / f".{name}.part" for name in ARRAYS}
        self.slice_px = head["settings"]["size"] ** 2

    @classmethod
    def open(
        cls,
        target: Path,
        cases: list[Case],
        settings: dict,
        phantoms: bool = False,
        skip_bad: bool = False,
    ) -> Writer:
        """A new store in ``target``, or the unfinished one of the same head.

        Unless ``skip_bad``, that one is gone on with before its first refused case.
        """
        persons = {case.name: [case.patient, case.spacing_known] for case in cases}
        head = {"settings": settings, "persons": persons, "phantoms": phantoms}
        writer = cls(target, head)
        try:
            target.mkdir(parents=True, exist_ok=True)
            others = [p.name for p in target.iterdir() if not p.name.endswith(".part")]
            if writer.journal_path.exists():  # stopped in `finish`: all of it is ours
                others = [name for name in others if name not in (*ARRAYS, "index.csv")]
            if others:
                raise CheckpointError(
                    target, "must be a new folder or hold a store", others[0],
                    "store-other", "choose another folder",
                )  # fmt: skip
            if not writer._go_on(cases, skip_bad):
                for part in (writer.journal_path, *writer.parts.values()):
                    part.unlink(missing_ok=True)
                with writer.journal_path.open("w", encoding="utf-8") as journal:
                    journal.write(json.dumps(writer.head) + "\n")
        except OSError as error:
            raise writer._no_room(error) from error
        return writer

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, error: type | None, *_: object) -> None:
        if error and not self.journal:  # nothing that a next try could go on with
            self.discard()

    @property
    def rows(self) -> list[dict]:
        """The index so far."""
        return [row for entry in self.journal for row in entry["rows"]]

    @property
    def refused(self) -> dict[str, dict]:
        """The findings of the cases left out so far."""
        return {e["case"]: e["refused"] for e in self.journal if "refused" in e}

    @property
    def tumour_slices(self) -> int:
        """Slices with tumour so far."""
        return sum(row["stored_tumour_px"] > 0 for row in self.rows)

    def append(self, case: Case, result: CaseSlices) -> None:
        """One more case: its data, then its line in the journal."""
        at = len(self.rows)
        entry = {
            "case": case.name,
            "rows": result.rows,
            "sources": result.sources,
            "repairs": [asdict(repair) for repair in result.repairs],
        }
        try:
            for name, array in zip(ARRAYS, (result.images, result.masks), strict=True):
                self._write(name, at, array)
        except OSError as error:
            raise self._no_room(error) from error
        self._note(entry)

    def skip(self, case: Case, error: InputError) -> None:
        """Notes a refused case."""
        entry = {"case": case.name, "rows": [], "sources": sources_of(case)}
        self._note({**entry, "refused": asdict(error.finding)})

    def finish(self) -> None:
        """Gives the arrays their headers and names; ``store.json`` comes last."""
        index = pd.DataFrame(self.rows)
        index.insert(0, "row", range(len(index)))
        text = as_csv(index)
        try:
            for name, part in self.parts.items():
                with part.open("r+b") as file:
                    file.write(npy_header(ARRAYS[name], len(index), self.slice_px))
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(self.target / name)
            sync(self.target)
        except OSError as error:
            raise self._no_room(error) from error
        write_text(self.target / "index.csv", text)
        write_sealed(self.target / "store.json", self._record(text))
        self.journal_path.unlink()

    def discard(self) -> None:
        """Removes what was written."""
        for part in (self.journal_path, *self.parts.values()):
            part.unlink(missing_ok=True)

    def _record(self, index: str) -> dict:
        whole = [entry for entry in self.journal if "refused" not in entry]
        rows = self.rows
        return {
            **self.head,
            "persons": {e["case"]: self.head["persons"][e["case"]] for e in whole},
            "mscf": version("mscf"),
            "sources": {entry["case"]: entry["sources"] for entry in self.journal},
            "counts": {
                "cases": len(whole),
                "patients": len({self.head["persons"][e["case"]][0] for e in whole}),
                "slices": len(rows),
                "tumour_slices": self.tumour_slices,
                "tumour_lost": sum(row["tumour_lost"] for row in rows),
            },
            "repairs": [repair for entry in whole for repair in entry["repairs"]],
            "refused": self.refused,
            "checksum": checksum_of(self.head["settings"], index.encode()),
            "complete": True,
        }

    def _go_on(self, cases: list[Case], skip_bad: bool) -> bool:
        """Takes over what an interrupted run has finished; False if there is none."""
        if not self.journal_path.exists():
            return False
        lines = self.journal_path.read_bytes().split(b"\n")[:-1]  # whole lines only
        try:
            head, *entries = [json.loads(line) for line in lines]
            if not skip_bad:
                entries = list(takewhile(lambda e: "refused" not in e, entries))
            done = [(entry["case"], entry["sources"]) for entry in entries]
            same = head == self.head and len(done) <= len(cases)
            same &= done == [(c.name, sources_of(c)) for c in cases[: len(done)]]
        except (ValueError, KeyError, TypeError):
            return False
        n = sum(len(entry["rows"]) for entry in entries)
        ends = {part: self._offset(name, n) for name, part in self.parts.items()}
        same &= all(p.exists() and p.stat().st_size >= end for p, end in ends.items())
        if not same:
            return False
        self.journal = entries
        for part, end in ends.items():
            os.truncate(part, end)
        kept = lines[: 1 + len(entries)]
        os.truncate(self.journal_path, sum(len(line) + 1 for line in kept))
        return True

    def _write(self, name: str, at: int, array: NDArray) -> None:
        content = array.astype(ARRAYS[name], copy=False).tobytes()
        offset = self._offset(name, at)
        # Not "ab": the first bytes are left free for the header.
        descriptor = os.open(self.parts[name], os.O_RDWR | os.O_CREAT, 0o666)
        with os.fdopen(descriptor, "r+b") as file:
            reserve(file, offset, len(content))
            file.seek(offset)
            file.write(content)

    def _offset(self, name: str, row: int) -> int:
        return HEADER_BYTES + row * self.slice_px * ARRAYS[name].itemsize

    def _note(self, entry: dict) -> None:
        try:
            with self.journal_path.open("a", encoding="utf-8") as journal:
                journal.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise self._no_room(error) from error
        self.journal.append(entry)

    def _no_room(self, error: OSError) -> StorageError:
        return cannot_write(self.target, error, "must be a folder to write in")


def sources_of(case: Case) -> list[str | None]:
    """The digests of a case's image and labels; None of one that cannot be read."""
    return [sha256_of(path) for path in (case.image, case.label)]


def sha256_of(path: Path) -> str | None:
    """The digest of a file, if it can be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def checksum_of(settings: dict, index: bytes) -> str:
    """The digest of a store: its settings and its index, which digests the slices."""
    return hashlib.sha256(json.dumps(settings).encode() + index).hexdigest()


def npy_header(dtype: np.dtype, n: int, slice_px: int) -> bytes:
    """The first bytes of ``(n, size, size)`` in NumPy's format, always as long."""
    side = round(slice_px**0.5)
    head = {"descr": dtype.str, "fortran_order": False, "shape": (n, side, side)}
    text = repr(head).encode().ljust(HEADER_BYTES - 11) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
