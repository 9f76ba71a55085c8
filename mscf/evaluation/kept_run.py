"""One kept run: its rows and its record, read, or refused as half-written or another's.

``fold-<k>/seed-<n>/`` below a method holds ``per_slice.csv`` and, of a trained network,
``run.json``.
"""

from __future__ import annotations

import functools
import json
import math
import re
from operator import getitem
from pathlib import Path

import pandas as pd

from mscf.errors import InputError
from mscf.evaluation.tables import read_rows

NEEDED = {  # of run.json, and as what
    ("settings", "method"): str, ("settings", "fold"): int, ("settings", "seed"): int,
    ("slices", "test"): int, ("store", "checksum"): str,
    ("epochs_done",): float, ("seconds",): float, ("machine", "device"): str,
}  # fmt: skip
# What is evaluated beside a trained network, and has no record of its own.
THRESHOLD = "hu_threshold"
UNTRAINED = "+untrained"


def is_trained(method: str) -> bool:
    """Whether a kept run of this name was a training, which leaves a record."""
    return method.partition("+")[0] != THRESHOLD and not method.endswith(UNTRAINED)


def of_phantoms(record: dict, data: str) -> bool:
    """Whether a run was of synthetic CT; of an older record its data's name tells."""
    return bool(record["store"].get("phantoms", data.startswith("phantoms")))


def run_folders(place: Path) -> dict[tuple[int, int], Path]:
    """The folders below one method by (fold, seed); an empty one is no run yet.

    Raises:
        InputError: two folders are the same fold and seed (seed-1 and seed-01).
    """
    found: dict[tuple[int, int], Path] = {}
    for folder in sorted(place.glob("fold-*/seed-*")):
        match = re.fullmatch(r"fold-(\d+)/seed-(\d+)", "/".join(folder.parts[-2:]))
        if match is None or not any(folder.iterdir()):
            continue
        one = int(match[1]), int(match[2])
        if one in found:
            raise InputError(
                folder, "must be the only run of its fold and seed", found[one].name,
                "runs-duplicate", "remove one of the two",
            )  # fmt: skip
        found[one] = folder
    return found


def read_run(
    folder: Path, method: str, fold: int, seed: int
) -> tuple[pd.DataFrame, dict | None]:
    """The rows of one run and its record, which what is not trained does not have.

    Raises:
        InputError: half-written, or the files are another run's.
    """
    path = folder / "per_slice.csv"
    needed = [path, folder / "run.json"] if is_trained(method) else [path]
    for file in needed:
        if not file.is_file():
            there = ", ".join(sorted(file.name for file in folder.iterdir()))
            raise InputError(
                file, "must be there, the run is half-written", there, "run-half",
                "keep the run again, or remove its folder",
            )  # fmt: skip
    rows = read_rows(path)
    record = read_record(folder / "run.json")
    found = {*zip(rows["method"], rows["fold"], rows["seed"], strict=True)}
    if record is not None:
        settings = record["settings"]
        trained = settings["method"]
        if method.startswith(f"{trained}+"):  # the same under another name: mscf+long
            trained = method
        found.add((trained, settings["fold"], settings["seed"]))
    if others := found - {(method, fold, seed)}:
        other = "{}/fold-{}/seed-{}".format(*min(others))
        raise InputError(
            folder, "must hold the run that its path names", other, "run-place",
            "a folder was copied or renamed",
        )  # fmt: skip
    whole = None if record is None else record["slices"]["test"]
    if not len(rows) or whole not in (None, len(rows)):
        raise InputError(
            path, f"must have a row for each of {whole or 'its'} test slices",
            len(rows), "run-half", "keep the run again",
        )  # fmt: skip
    return rows, record


def read_record(path: Path) -> dict | None:
    """A ``run.json`` of a finished run; ``None`` where there is none.

    Raises:
        InputError: cut, not finished, or without what the table needs.
    """
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        status = record["status"]
        found = [(*keys, functools.reduce(getitem, keys, record)) for keys in NEEDED]
        wrong = [one for one in found if not of_kind(one[-1], NEEDED[one[:-1]])]
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise InputError(
            path, "must be the record of a kept run", repr(error), "run-half",
            "keep the run again",
        ) from error  # fmt: skip
    if status != "finished":
        raise InputError(path, "must be of a finished run", status, "run-half")
    if wrong:
        *keys, value = wrong[0]
        raise InputError(
            path, f"{' '.join(keys)} must be of its kind", repr(value)[:40],
            "run-half", "keep the run again",
        )  # fmt: skip
    return record


def of_kind(value: object, kind: type) -> bool:
    """Whether a value of JSON is of this kind; a whole number is a float too."""
    if kind is float:
        number = type(value) is int or (type(value) is float and math.isfinite(value))
        return number and abs(value) < 1e300
    return type(value) is kind
