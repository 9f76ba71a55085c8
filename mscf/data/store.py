"""The slices of all cases in one memory-mapped place, resized once.

``images.npy`` int16 HU and ``masks.npy`` uint8, both ``(N, size, size)``; ``index.csv``
with one row a slice; ``store.json``, written last. The window is applied when loading,
so one store serves every window. Equal inputs and settings give equal bytes, whatever
the number of processes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tokenize import TokenError

import numpy as np
import pandas as pd
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from tqdm import tqdm

from mscf.data.case_slices import answer, sha256_of_slice, slices_of_case
from mscf.data.cases import Case, are_phantoms, find_cases
from mscf.data.nifti import promised_slices
from mscf.data.one_at_a_time import one_at_a_time
from mscf.data.processes import how_many, in_order
from mscf.data.sealed import read_sealed
from mscf.data.spreadsheet import as_named
from mscf.data.store_writer import ARRAYS, Writer, checksum_of, sources_of
from mscf.errors import (
    CheckpointError,
    Finding,
    InputError,
    SettingsError,
    raise_all,
    warn,
)

VERSION = 1
DAMAGED = (  # what a damaged file makes of json, pandas and numpy
    ValueError, TypeError, KeyError, AttributeError, OverflowError, EOFError,
    RecursionError, SyntaxError, TokenError,
)  # fmt: skip
SLICES = ("tumour", "liver", "all")
TYPES = {
    "row": "int64", "case": "str", "patient": "str", "slice": "int64",
    "height": "int64", "width": "int64", "spacing_y": "float64",
    "spacing_x": "float64", "spacing_z": "float64", "spacing_known": "bool",
    "liver_px": "int64", "tumour_px": "int64", "lesions": "int64",
    "stored_tumour_px": "int64", "tumour_lost": "bool", "sha256": "str",
}  # fmt: skip


@dataclass(frozen=True)
class Store:
    """A prepared store, opened; its arrays are read from the disk as they are used.

    ``index`` has one row a slice, labelled by ``row``: the columns of ``index.csv``.
    """

    folder: Path
    record: dict  # store.json
    index: pd.DataFrame
    images: NDArray[np.int16]  # HU, (N, size, size)
    masks: NDArray[np.uint8]  # 0 background, 1 liver, 2 tumour

    def __len__(self) -> int:
        return len(self.index)

    def __reduce__(self) -> tuple:
        """A worker process opens the same files instead of copying them."""
        return open_store, (self.folder,)

    @property
    def name(self) -> str:
        """What tables call the data: the folder's name, also of ``.``."""
        return Path(os.path.abspath(self.folder)).name  # noqa: PTH100 (links stay)

    @property
    def size(self) -> int:
        """Pixels a side."""
        return self.record["settings"]["size"]

    @property
    def checksum(self) -> str:
        """SHA-256 over all slices and what the index says of them."""
        return self.record["checksum"]

    @property
    def phantoms(self) -> bool:
        """Whether no person was scanned."""
        return self.record["phantoms"]

    def verify(self, rows: Iterable[int] | None = None) -> None:
        """Compares the index and its slices with the digests that ``prepare`` wrote.

        With ``rows``, of the slices only those.

        Raises:
            CheckpointError: something has changed; the first such slice is named.
        """
        try:
            index = (self.folder / "index.csv").read_bytes()
        except OSError as error:
            raise changed(self.folder, f"index.csv: {error.strerror}") from error
        if checksum_of(self.record["settings"], index) != self.checksum:
            raise changed(self.folder, "another index.csv")
        read = self.index if rows is None else self.index.loc[list(rows)]
        for row, case, slice_, digest in zip(
            *(read[name] for name in ("row", "case", "slice", "sha256")), strict=True
        ):
            if sha256_of_slice(self.images[row], self.masks[row]) != digest:
                raise changed(self.folder, f"other voxels in {case}, slice {slice_}")


def prepare(
    source: Path | str,
    target: Path | str,
    size: int = 448,
    slices: str = "tumour",
    processes: int | None = None,
    skip_bad: bool = False,
) -> Store:
    """Builds the store of the cases in ``source``, or opens the one that is there.

    ``slices`` kept: those with "tumour" (the paper's set), with "liver", or "all".
    A store of the same inputs and settings is left as it is; an interrupted one goes
    on after its last whole case, and one that another process builds is waited for.
    ``processes``: one a core by default. For "all", how much will be written is said
    first.

    Raises:
        SettingsError: a setting out of range.
        InputError: a case is refused (unless ``skip_bad``); all are looked at first.
        CheckpointError: ``target`` holds something else, or slices that have changed.
        StorageError: disk full or no permission; what is done is kept for a next try.
        MemoryLimitError: not enough for ``size`` and ``processes``; likewise.
    """
    source = Path(source)
    check_settings(size, slices)  # before anything is read
    processes = how_many(processes)
    cases, phantoms = find_cases(source), are_phantoms(source)
    return prepare_cases(
        cases, source, target, size, slices, processes, skip_bad, phantoms
    )


def prepare_cases(
    cases: list[Case],
    source: Path,
    target: Path | str,
    size: int = 448,
    slices: str = "tumour",
    processes: int | None = None,
    skip_bad: bool = False,
    phantoms: bool = False,
) -> Store:
    """The same of cases that are known already; ``source`` is what errors call them."""
    target = Path(target)
    settings = {"version": VERSION, "size": size, "slices": slices}
    check_settings(size, slices)
    processes = how_many(processes)
    made = target / "store.json"
    if not made.exists():
        with one_at_a_time(target / ".lock.part", target):
            if not made.exists():  # nor made by a process that this one waited for
                build(cases, source, target, settings, processes, skip_bad, phantoms)
                return open_store(target)
    return unchanged_store(target, cases, settings, skip_bad)


def build(
    cases: list[Case],
    source: Path,
    target: Path,
    settings: dict,
    processes: int,
    skip_bad: bool,
    phantoms: bool,
) -> None:
    """Writes the store, or what an interrupted one has still to get."""
    size, slices = settings["size"], settings["slices"]
    work = partial(answer, partial(slices_of_case, size=size, slices=slices))
    refused: list[InputError] = []
    with Writer.open(target, cases, settings, phantoms, skip_bad) as writer:
        if slices == "all":
            say_how_much(target, cases, size)
        for finding in writer.refused.values():
            warn(Finding(**finding))
        todo = cases[len(writer.journal) :]
        results = in_order(work, todo, min(processes, len(todo)))
        progress = tqdm(results, total=len(todo), desc="prepare", disable=None)
        for case, result in zip(todo, progress, strict=True):
            if isinstance(result, InputError):
                refused.append(result)
                if skip_bad:
                    warn(result.finding)
                    writer.skip(case, result)
            elif skip_bad or not refused:
                for repair in result.repairs:
                    warn(repair)
                writer.append(case, result)
        if not skip_bad:
            raise_all(refused)
        if not writer.tumour_slices:
            writer.discard()
            raise InputError(
                source, "must have a tumour in some case", 0, "no-tumour",
                "label 2 is the tumour",
            )  # fmt: skip
        writer.finish()


def open_store(folder: Path | str) -> Store:
    """A store that ``prepare`` made, with its arrays memory-mapped.

    Raises:
        CheckpointError: there is none, it is not whole, or its parts do not fit.
    """
    folder = Path(folder)
    path = folder / "store.json"
    if not path.is_file():
        raise CheckpointError(
            folder, "must be a prepared store", "no store.json", "store-missing",
            "make one with data_scripts/prepare.py IN STORE",
        )  # fmt: skip
    try:
        record = read_sealed(path)
        whole = record["complete"] is True and record["settings"]["version"] == VERSION
        index = pd.read_csv(folder / "index.csv", dtype=TYPES, keep_default_na=False)
        index = as_named(index, ("case", "patient")).set_index("row", drop=False)
        # Not np.load: it opens archives and, asked to, pickles too.
        images, masks = (open_memmap(folder / name, mode="r") for name in ARRAYS)
        shape = (record["counts"]["slices"], *[record["settings"]["size"]] * 2)
        whole &= len(index) == shape[0] and images.shape == masks.shape == shape
        whole &= (images.dtype, masks.dtype) == tuple(ARRAYS.values())
        whole &= isinstance(record["phantoms"], bool)
    except (*DAMAGED, OSError) as error:
        raise CheckpointError(
            folder, "must be a whole store", f"{type(error).__name__}: {error}",
            "store-damaged", "delete it and prepare again",
        ) from error  # fmt: skip
    if not whole:
        raise CheckpointError(
            folder, f"must be a whole store of version {VERSION}",
            "parts that do not fit", "store-damaged", "delete it and prepare again",
        )  # fmt: skip
    return Store(folder, record, index, images, masks)


def check_settings(size: int, slices: str) -> None:
    """Refuses settings before anything is read."""
    if size % 32 or size < 192:
        nearest = max(192, (size + 16) // 32 * 32)
        raise SettingsError(
            "size", "must be a multiple of 32 and at least 192", size, "image-size",
            f"use {nearest}",
        )  # fmt: skip
    if slices not in SLICES:
        raise SettingsError(
            "slices", f"must be one of {', '.join(SLICES)}", slices, "slices"
        )


def say_how_much(target: Path, cases: list[Case], size: int) -> None:
    """Says on stderr what a store of all slices takes, by the headers of the cases."""
    n = sum(promised_slices(case.image) for case in cases)
    a_pixel = sum(dtype.itemsize for dtype in ARRAYS.values())
    print(
        f"{target}: {n:,} slices of {size} x {size} will take"
        f" {n * size**2 * a_pixel / 1e9:,.2f} GB",
        file=sys.stderr,
    )


def unchanged_store(
    target: Path, cases: list[Case], settings: dict, skip_bad: bool
) -> Store:
    """The store in ``target`` if it is of these cases and settings, and sound."""
    store = open_store(target)
    bad = store.record["refused"]
    if bad and not skip_bad:
        raise CheckpointError(
            target, "must be a store of all cases", f"without {', '.join(bad)}",
            "store-other", "give --skip-bad again, or choose another folder",
        )  # fmt: skip
    sources = {
        case.name: sources_of(case)
        for case in tqdm(cases, desc="compare", disable=None, leave=False)
    }
    persons = {
        case.name: [case.patient, case.spacing_known]
        for case in cases
        if case.name not in bad
    }
    now = settings, sources, persons
    then = (store.record[key] for key in ("settings", "sources", "persons"))
    for name, new, old in zip(
        ("settings", "files", "patients"), now, then, strict=True
    ):
        if new != old:
            differing = sorted(k for k in {*new, *old} if new.get(k) != old.get(k))
            raise CheckpointError(
                target, f"must be a store of the same {name}",
                f"others at {', '.join(differing[:3])}", "store-other",
                "choose another folder, or delete this one to build it anew",
            )  # fmt: skip
    store.verify()
    return store


def changed(folder: Path, found: str) -> CheckpointError:
    """The error of a store that is no longer as ``prepare`` wrote it."""
    return CheckpointError(
        folder, "must hold its slices as they were prepared", found, "store-changed",
        "delete it and prepare again",
    )  # fmt: skip
