"""The kept runs of several methods on the same slices, read as one table.

``<data>-<size>/<split>/<method>[+variant]/fold-<k>/seed-<n>/`` holds ``per_slice.csv``
and, of a trained network, ``run.json``. Whatever would make the rows of one table
incomparable is refused; what a reader must know about rows that can be compared is
said beside the table.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import getitem
from pathlib import Path

import pandas as pd

from mscf.errors import Finding, InputError
from mscf.evaluation.tables import read_rows

RUN = ["fold", "seed"]
SLICE = ["patient", "case", "slice"]
NEEDED = {  # of run.json, and as what
    ("settings", "method"): str, ("settings", "fold"): int, ("settings", "seed"): int,
    ("slices", "test"): int, ("store", "checksum"): str,
    ("epochs_done",): float, ("seconds",): float, ("machine", "device"): str,
}  # fmt: skip
NO_RECIPE = {
    "method", "seed", "fold", "out", "data", "split", "gpus", "workers", "compile",
    "cuda_graph", "deterministic", "timeout", "resume", "allow_inexact",
    "require_pretrained",
}  # fmt: skip


@dataclass(frozen=True)
class Runs:
    """The rows of every method that is there, and what must be said about them.

    ``rows`` has the columns of ``per_slice.csv``, ``beside`` too: what is shown but not
    compared. ``records`` is each ``run.json`` by (method, fold, seed); ``missing`` are
    the methods asked for that have no run.
    """

    place: Path
    rows: pd.DataFrame
    beside: pd.DataFrame
    records: dict[tuple[str, int, int], dict]
    missing: tuple[str, ...]
    statements: tuple[Finding, ...]

    @property
    def methods(self) -> list[str]:
        """Those that are there, in the order asked for."""
        return list(dict.fromkeys(self.rows["method"]))

    @property
    def size(self) -> int:
        """Pixels a side of the slices."""
        return int(self.rows["height"].iloc[0])

    @property
    def patients(self) -> int:
        """How many persons are in the test slices."""
        return self.rows["patient"].nunique()

    def shared(self) -> pd.DataFrame:
        """The rows of the folds and seeds that every method has."""
        return self.rows[of_runs(self.rows, shared_runs(self.rows))]


def read_runs(place: Path, methods: Sequence[str], beside: Sequence[str] = ()) -> Runs:
    """Every kept run of ``methods`` under ``place``, ``results/<data>-<size>/<split>``.

    A method of which nothing is there is named in ``missing``. ``beside`` are read if
    they are there, and do not decide which runs are shared.

    Raises:
        InputError: no run at all, one half-written, in another's place or there
            twice; other data, size, truth or slices than the rest; no fold and seed
            that all methods have.
    """
    tables, records, missing, statements = [], {}, [], []
    for method in [*methods, *beside]:
        folders = run_folders(place / method)
        for (fold, seed), folder in folders.items():
            rows, record = read_run(folder, method, fold, seed)
            tables.append(rows)
            if record is not None:
                records[method, fold, seed] = record
            statements += said_of_run(folder, rows)
        if not folders and method in methods:
            missing.append(method)
    if len(missing) == len(methods):
        raise InputError(
            place, f"must hold runs of {', '.join(methods)}", "none", "runs-none",
            "train and keep one: `mscf train`, then data_scripts/keep_run.py",
        )  # fmt: skip
    check_one_origin(place, tables, records)
    check_seeds_differ(place, tables, records)
    check_same_slices(place, tables)
    rows = pd.concat(tables, ignore_index=True)
    compared = rows["method"].isin(methods)
    rows, others = rows[compared], rows[~compared]
    check_some_shared(place, rows)
    recipes = {key: record for key, record in records.items() if key[0] in methods}
    statements += [*said_of_recipe(place, recipes), *said_of_all(place, rows)]
    return Runs(place, rows, others, records, tuple(missing), tuple(statements))


# One run


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
    if not path.is_file():
        there = ", ".join(sorted(file.name for file in folder.iterdir()))
        raise InputError(
            path, "must be there, the run is half-written", there, "run-half",
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


# All runs together


def check_one_origin(
    place: Path, tables: Iterable[pd.DataFrame], records: dict
) -> None:
    """One table: the data, split and size of its place, and one store.

    Raises:
        InputError: something is of elsewhere.
    """
    data, split = place.parts[-2:]
    named = re.search(r"-(\d+)$", data)
    size = int(named[1]) if named else tables[0]["height"].iloc[0]
    for rows in tables:
        for column, must in (
            ("data", data), ("split", split), ("height", size), ("width", size)
        ):  # fmt: skip
            others = rows[rows[column] != must]
            if len(others):
                check = "runs-size" if column in ("height", "width") else "runs-data"
                raise InputError(
                    run_name(place, others),
                    f"must be of {column} {must}, as all in this table",
                    others[column].iloc[0], check, "keep it in another folder",
                )  # fmt: skip
    stores = {r["store"]["checksum"]: "/".join(map(str, k)) for k, r in records.items()}
    if len(stores) > 1:
        raise InputError(
            place, "must hold runs of one store", " and ".join(stores.values()),
            "runs-data", "the store was made anew in between: train one of them again",
        )  # fmt: skip


def check_seeds_differ(
    place: Path, tables: Iterable[pd.DataFrame], records: dict
) -> None:
    """No two seeds of a trained network predict the same to the pixel.

    Raises:
        InputError: a run was copied to a second seed.
    """
    seen: dict[tuple, str] = {}
    for rows in tables:
        method, fold, seed = rows[["method", *RUN]].iloc[0]
        if (method, fold, seed) not in records or not rows["predicted_px"].any():
            continue
        key = method, fold, rows[[*SLICE, "tp", "fp", "fn"]].to_csv(index=False)
        if key in seen:
            raise InputError(
                run_name(place, rows), "must differ from other seeds",
                f"the same masks as {seen[key]}", "runs-duplicate", "remove the copy",
            )  # fmt: skip
        seen[key] = f"seed-{seed}"


def check_same_slices(place: Path, tables: Iterable[pd.DataFrame]) -> None:
    """In a fold and seed all methods have the same slices with the same truth.

    Raises:
        InputError: names a slice that is not everyone's.
    """
    first: dict[tuple, pd.DataFrame] = {}
    for rows in tables:
        key = tuple(rows[RUN].iloc[0])
        mine, other = rows, first.setdefault(key, rows)
        for one, two in ((mine, other), (other, mine)):
            known = pd.MultiIndex.from_frame(two[SLICE])
            unknown = one[~pd.MultiIndex.from_frame(one[SLICE]).isin(known)]
            if len(unknown):
                raise InputError(
                    run_name(place, one),
                    f"must have the slices of {two['method'].iloc[0]}",
                    f"{len(unknown)} that it lacks, the first "
                    + " ".join(map(str, unknown.iloc[0][SLICE])),
                    "runs-slices", "train both on the same split of the same store",
                )  # fmt: skip
        sizes = mine[[*SLICE, "truth_px"]].merge(other[[*SLICE, "truth_px"]], on=SLICE)
        differ = sizes[sizes["truth_px_x"] != sizes["truth_px_y"]]
        if len(differ):
            raise InputError(
                run_name(place, mine),
                f"must have the truth of {other['method'].iloc[0]}",
                f"{differ['truth_px_x'].iloc[0]} and {differ['truth_px_y'].iloc[0]} "
                "tumour pixels in " + " ".join(map(str, differ.iloc[0][SLICE])),
                "runs-data",
            )  # fmt: skip


def check_some_shared(place: Path, rows: pd.DataFrame) -> None:
    """There is a fold and seed that every method has.

    Raises:
        InputError: there is none.
    """
    if not shared_runs(rows):
        raise InputError(
            place, "must have one fold and seed that all methods share", "none",
            "runs-shared", "train the missing ones",
        )  # fmt: skip


def shared_runs(rows: pd.DataFrame) -> set[tuple[int, int]]:
    """Folds and seeds that every method has."""
    each = [
        set(of_one[RUN].itertuples(index=False, name=None))
        for _, of_one in rows.groupby("method")
    ]
    return set.intersection(*each)


def of_runs(rows: pd.DataFrame, runs: set[tuple[int, int]]) -> pd.Series:
    """Which rows belong to these folds and seeds."""
    return pd.Series(
        [one in runs for one in rows[RUN].itertuples(index=False, name=None)],
        index=rows.index,
        dtype=bool,
    )


def run_name(place: Path, rows: pd.DataFrame) -> str:
    """Where the run of these rows lies."""
    method, fold, seed = rows[["method", *RUN]].iloc[0]
    return f"{place.name}/{method}/fold-{fold}/seed-{seed}"


# What is no error but must be said


def said_of_run(folder: Path, rows: pd.DataFrame) -> list[Finding]:
    """A run that predicts nothing anywhere."""
    if rows["predicted_px"].any():
        return []
    return [
        Finding(
            "/".join(folder.parts[-3:]), "should draw a tumour on some slice",
            f"all {len(rows)} masks empty", "only-empty",
            "its specificity is 1 and its distances are penalties",
        )
    ]  # fmt: skip


def said_of_recipe(place: Path, records: dict) -> list[Finding]:
    """Settings, and ImageNet weights, in which the runs of the table differ."""
    values: dict[str, dict[str, list[str]]] = {}
    for (method, _, _), record in records.items():
        # Not had and none to load come to the same: it starts from random ones.
        had = "loaded" if record.get("pretrained") == "loaded" else "random"
        settings = record["settings"] | {"weights at the start": had}
        for name, value in settings.items():
            if name not in NO_RECIPE | {"pretrained"}:
                methods = values.setdefault(name, {}).setdefault(str(value), [])
                methods.append(method)
    return [
        Finding(
            place.name, f"{name} should be the same for all",
            "; ".join(f"{v}: {', '.join(dict.fromkeys(m))}" for v, m in found.items()),
            "recipe", "differences between methods are differences of recipe too",
        )
        for name, found in values.items()
        if len(found) > 1
    ]  # fmt: skip


def said_of_all(place: Path, rows: pd.DataFrame) -> list[Finding]:
    """Too few patients for an interval or a test; folds and seeds not all have."""
    found = []
    patients = rows["patient"].nunique()
    if patients == 1:
        found.append(
            Finding(
                place.name, "an interval or a test needs two patients", "1",
                "one-patient", "only means are shown",
            )
        )  # fmt: skip
    shared = shared_runs(rows)
    for method, of_one in rows.groupby("method", sort=False):
        own = set(of_one[RUN].itertuples(index=False, name=None))
        if extra := sorted(own - shared):
            found.append(
                Finding(
                    f"{place.name}/{method}",
                    "a table of all methods takes the runs that all of them have",
                    "besides " + ", ".join(f"fold-{f}/seed-{s}" for f, s in extra),
                    "runs-shared", "these are shown under seeds",
                )
            )  # fmt: skip
    return found
