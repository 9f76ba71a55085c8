"""Which kept runs can stand in one table, and what must be said beside it.

Whatever would make the rows of one table incomparable is refused; what a reader must
know about rows that can be compared is a statement.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from mscf.errors import Finding, InputError
from mscf.evaluation.statistics import ENOUGH_PATIENTS, effective_patients

RUN = ["fold", "seed"]
SLICE = ["patient", "case", "slice"]
NO_RECIPE = {
    "method", "seed", "fold", "out", "data", "split", "gpus", "workers", "compile",
    "cuda_graph", "deterministic", "timeout", "resume", "allow_inexact",
    "require_pretrained",
}  # fmt: skip


def data_and_split(place: Path) -> tuple[str, str]:
    """The last two names of a place, also where it is given from within, as a dot."""
    # Not resolved: a link bears the data's name.
    whole = Path(os.path.abspath(place))  # noqa: PTH100
    return whole.parent.name, whole.name


def check_one_origin(
    place: Path, tables: Sequence[pd.DataFrame], records: dict
) -> None:
    """One table: the data, split and size of its place, and one store.

    Raises:
        InputError: something is of elsewhere.
    """
    data, split = data_and_split(place)
    there = [rows["height"].iloc[0] for rows in tables]
    named = re.search(r"-(\d+)$", data)  # a size, unless the data are called so
    size = int(named[1]) if named and int(named[1]) in there else there[0]
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
    return f"{data_and_split(place)[1]}/{method}/fold-{fold}/seed-{seed}"


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
    _, split = data_and_split(place)
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
            split, f"{name} should be the same for all",
            "; ".join(f"{v}: {', '.join(dict.fromkeys(m))}" for v, m in found.items()),
            "recipe", "differences between methods are differences of recipe too",
        )
        for name, found in values.items()
        if len(found) > 1
    ]  # fmt: skip


def said_of_all(place: Path, rows: pd.DataFrame) -> list[Finding]:
    """Too few patients, by the weight of their slices; folds and seeds not all have."""
    found = []
    _, split = data_and_split(place)
    slices = rows.drop_duplicates(SLICE).groupby("patient").size()
    patients, weigh_as = len(slices), effective_patients(slices)
    if patients == 1:
        found.append(
            Finding(
                split, "an interval or a test needs two patients", "1",
                "one-patient", "only means are shown",
            )
        )  # fmt: skip
    elif weigh_as < ENOUGH_PATIENTS:
        found.append(
            Finding(
                split,
                f"an interval of 95 % takes {ENOUGH_PATIENTS} patients with equally "
                "many slices", f"{patients} that weigh as {weigh_as:.3g}",
                "few-patients", "the intervals here cover less than they say",
            )
        )  # fmt: skip
    shared = shared_runs(rows)
    more: dict[str, list[str]] = {}
    for method, of_one in rows.groupby("method", sort=False):
        own = set(of_one[RUN].itertuples(index=False, name=None))
        if extra := sorted(own - shared):
            runs = ", ".join(f"fold-{f}/seed-{s}" for f, s in extra)
            more.setdefault(runs, []).append(method)
    return found + [
        Finding(
            f"{split}/{', '.join(methods)}",
            "a comparison of all takes the runs that all of them have",
            f"besides {runs}", "runs-shared", "these are left out of it",
        )
        for runs, methods in more.items()
    ]  # fmt: skip
