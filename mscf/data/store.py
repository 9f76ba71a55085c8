"""The slices of all cases in one memory-mapped place, resized once.

``images.npy`` int16 HU and ``masks.npy`` uint8, both ``(N, size, size)``; ``index.csv``
with one row a slice; ``store.json``, written last. The window is applied when loading,
so one store serves every window. Equal inputs and settings give equal bytes, whatever
the number of processes.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from mscf.data.cases import Case, find_cases
from mscf.data.resize import pad_to_square, resize_images, resize_masks
from mscf.data.volume import as_slices, read_bytes, read_labels, read_volume
from mscf.errors import (
    CheckpointError,
    Finding,
    InputError,
    SettingsError,
    StorageError,
    raise_all,
    warn,
)
from mscf.replacing import replacing, sync_folder

VERSION = 1
LIVER, TUMOUR = 1, 2
SLICES = ("tumour", "liver", "all")
ARRAYS = {"images.npy": np.dtype("<i2"), "masks.npy": np.dtype("u1")}
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
    def size(self) -> int:
        """Pixels a side."""
        return self.record["settings"]["size"]

    @property
    def checksum(self) -> str:
        """SHA-256 over all slices and what the index says of them."""
        return self.record["checksum"]


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
    on after its last whole case. ``processes``: one a core by default.

    Raises:
        SettingsError: a setting out of range.
        InputError: a case is refused (unless ``skip_bad``); all are looked at first.
        CheckpointError: ``target`` holds something else.
        StorageError: disk full or no permission; what is done is kept for a next try.
    """
    source, target = Path(source), Path(target)
    settings = {"version": VERSION, "size": size, "slices": slices}
    check_settings(size, slices)
    cases = find_cases(source)
    if (target / "store.json").exists():
        return unchanged_store(target, cases, settings, skip_bad)
    processes = processes or len(os.sched_getaffinity(0))
    work = partial(slices_of_case, size=size, slices=slices)
    refused: list[InputError] = []
    with Writer.open(target, cases, settings) as writer:
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
    return open_store(target)


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
        record = json.loads(path.read_text(encoding="utf-8"))
        whole = record["complete"] is True and record["settings"]["version"] == VERSION
        index = pd.read_csv(
            folder / "index.csv", dtype=TYPES, keep_default_na=False
        ).set_index("row", drop=False)
        images, masks = (np.load(folder / name, mmap_mode="r") for name in ARRAYS)
        shape = (record["counts"]["slices"], *[record["settings"]["size"]] * 2)
        whole &= len(index) == shape[0] and images.shape == masks.shape == shape
        whole &= (images.dtype, masks.dtype) == tuple(ARRAYS.values())
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
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


def unchanged_store(
    target: Path, cases: list[Case], settings: dict, skip_bad: bool
) -> Store:
    """The store in ``target`` if it is of these cases and settings."""
    store = open_store(target)
    sources = {
        case.name: [sha256_of(path) for path in (case.image, case.label)]
        for case in tqdm(cases, desc="compare", disable=None, leave=False)
    }
    persons = {case.name: [case.patient, case.spacing_known] for case in cases}
    now = settings, sources, persons
    then = (store.record[key] for key in ("settings", "sources", "persons"))
    if skip_bad:
        bad = store.record["refused"]
        now = settings, *({n: v[n] for n in v if n not in bad} for v in now[1:])
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
    return store


def sha256_of(path: Path) -> str:
    """The digest of a file."""
    return hashlib.sha256(read_bytes(path)).hexdigest()


@dataclass
class CaseSlices:
    """The stored slices of one case, and what the index says of them."""

    images: NDArray[np.int16]  # (n, size, size)
    masks: NDArray[np.uint8]
    rows: list[dict]
    sources: list[str]  # SHA-256 of image and labels
    repairs: tuple[Finding, ...] = field(default=())


def slices_of_case(case: Case, size: int, slices: str) -> CaseSlices:
    """Reads, checks and resizes one case.

    Raises:
        InputError: the case is refused.
    """
    from scipy.ndimage import label as components  # slow to import, workers only

    volume = read_volume(case.image)
    labels, label_sha256 = read_labels(case.label, like=volume)
    hu, masks = as_slices(volume.voxels), as_slices(labels)
    least = {"tumour": TUMOUR, "liver": LIVER, "all": 0}[slices]
    chosen = np.flatnonzero((masks >= least).any(axis=(1, 2)))
    hu, masks = hu[chosen], masks[chosen]
    height, width = masks.shape[1:]
    images = resize_images(pad_to_square(hu, -1024), size)
    stored = resize_masks(pad_to_square(masks, 0), size)
    x, y, z = volume.spacing
    grown = max(height, width) / size
    rows = []
    for i, number in enumerate(chosen):
        tumour = masks[i] == TUMOUR
        left = int((stored[i] == TUMOUR).sum())
        rows.append({
            "case": case.name, "patient": case.patient, "slice": int(number),
            "height": height, "width": width,
            "spacing_y": y * grown, "spacing_x": x * grown, "spacing_z": z,
            "spacing_known": case.spacing_known and volume.spacing_known,
            "liver_px": int((masks[i] >= LIVER).sum()), "tumour_px": int(tumour.sum()),
            "lesions": int(components(tumour)[1]),  # four neighbours
            "stored_tumour_px": left, "tumour_lost": bool(tumour.any() and not left),
            "sha256": hashlib.sha256(images[i].tobytes() + stored[i].tobytes())
            .hexdigest(),
        })  # fmt: skip
    return CaseSlices(
        images, stored, rows, [volume.sha256, label_sha256], volume.repairs
    )


def in_order(
    work: Callable[[Case], CaseSlices], cases: Iterable[Case], processes: int
) -> Iterator[CaseSlices | InputError]:
    """What ``work`` gives for every case, in order; refusals are given, not raised."""
    if processes <= 1:
        yield from (answer(work, case) for case in cases)
        return
    # Not a fork: the caller may have threads (torch), which a fork would break.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        waiting: deque = deque()
        try:
            for case in cases:
                waiting.append(pool.submit(answer, work, case))
                if len(waiting) > 2 * processes:  # results wait in memory
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def answer(work: Callable[[Case], CaseSlices], case: Case) -> CaseSlices | InputError:
    """The result, or the refusal as a value."""
    try:
        return work(case)
    except InputError as error:
        return error


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
    def open(cls, target: Path, cases: list[Case], settings: dict) -> Writer:
        """A new store in ``target``, or the unfinished one of the same head."""
        persons = {case.name: [case.patient, case.spacing_known] for case in cases}
        writer = cls(target, {"settings": settings, "persons": persons})
        try:
            target.mkdir(parents=True, exist_ok=True)
            others = [p.name for p in target.iterdir() if not p.name.endswith(".part")]
            if others:
                raise CheckpointError(
                    target, "must be a new folder or hold a store", others[0],
                    "store-other", "choose another folder",
                )  # fmt: skip
            if not writer._go_on(cases):
                for part in (writer.journal_path, *writer.parts.values()):
                    part.unlink(missing_ok=True)
                with writer.journal_path.open("w", encoding="utf-8") as journal:
                    journal.write(json.dumps(writer.head) + "\n")
        except OSError as error:
            raise writer._no_room(error) from error
        return writer

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        pass  # every append closes its files

    @property
    def rows(self) -> list[dict]:
        """The index so far."""
        return [row for entry in self.journal for row in entry["rows"]]

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
        self._note({"case": case.name, "rows": [], "refused": asdict(error.finding)})

    def finish(self) -> None:
        """Gives the arrays their headers and names; ``store.json`` comes last."""
        index = pd.DataFrame(self.rows)
        index.insert(0, "row", range(len(index)))
        text = index.to_csv(index=False, lineterminator="\n")
        try:
            for name, part in self.parts.items():
                with part.open("r+b") as file:
                    file.write(npy_header(ARRAYS[name], len(index), self.slice_px))
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(self.target / name)
            sync_folder(self.target)
        except OSError as error:
            raise self._no_room(error) from error
        with replacing(self.target / "index.csv") as file:
            file.write(text)
        with replacing(self.target / "store.json") as file:
            json.dump(self._record(text), file, indent=1)
            file.write("\n")
        self.journal_path.unlink()

    def discard(self) -> None:
        """Removes what was written."""
        for part in (self.journal_path, *self.parts.values()):
            part.unlink(missing_ok=True)

    def _record(self, index: str) -> dict:
        whole = [entry for entry in self.journal if "refused" not in entry]
        checksum = hashlib.sha256(json.dumps(self.head["settings"]).encode())
        checksum.update(index.encode())
        rows = self.rows
        return {
            **self.head,
            "persons": {e["case"]: self.head["persons"][e["case"]] for e in whole},
            "mscf": version("mscf"),
            "sources": {entry["case"]: entry["sources"] for entry in whole},
            "counts": {
                "cases": len(whole),
                "patients": len({self.head["persons"][e["case"]][0] for e in whole}),
                "slices": len(rows),
                "tumour_slices": self.tumour_slices,
                "tumour_lost": sum(row["tumour_lost"] for row in rows),
            },
            "repairs": [repair for entry in whole for repair in entry["repairs"]],
            "refused": {
                entry["case"]: entry["refused"]
                for entry in self.journal
                if "refused" in entry
            },
            "checksum": checksum.hexdigest(),
            "complete": True,
        }

    def _go_on(self, cases: list[Case]) -> bool:
        """Takes over what an interrupted run has finished; False if there is none."""
        if not self.journal_path.exists():
            return False
        lines = self.journal_path.read_bytes().split(b"\n")[:-1]  # whole lines only
        try:
            head, *entries = [json.loads(line) for line in lines]
            done = [entry["case"] for entry in entries if "refused" not in entry]
            same = head == self.head and len(done) == len(entries)
            same &= done == [case.name for case in cases[: len(done)]]
            same &= all(
                entry["sources"] == [sha256_of(case.image), sha256_of(case.label)]
                for entry, case in zip(entries, cases, strict=False)
            )
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
        os.truncate(self.journal_path, sum(len(line) + 1 for line in lines))
        return True

    def _write(self, name: str, at: int, array: NDArray) -> None:
        content = array.astype(ARRAYS[name], copy=False).tobytes()
        offset = self._offset(name, at)
        # Not "ab": the first bytes are left free for the header.
        descriptor = os.open(self.parts[name], os.O_RDWR | os.O_CREAT, 0o666)
        with os.fdopen(descriptor, "r+b") as file:
            if content:  # room first: a full disk must not show as a torn write
                os.posix_fallocate(file.fileno(), offset, len(content))
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
        return StorageError(
            self.target, "must be a folder with room to write in",
            error.strerror or error, "storage",
            "free some space and run again: finished cases are kept",
        )  # fmt: skip


HEADER_BYTES = 128


def npy_header(dtype: np.dtype, n: int, slice_px: int) -> bytes:
    """The first bytes of ``(n, size, size)`` in NumPy's format, always as long."""
    side = round(slice_px**0.5)
    head = {"descr": dtype.str, "fortran_order": False, "shape": (n, side, side)}
    text = repr(head).encode().ljust(HEADER_BYTES - 11) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
