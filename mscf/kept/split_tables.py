"""The tables of a grid: summary, differences and ranks of all that was kept of a split.

Beside the runs in ``results/<data>-<size>/<split>/``: ``summary.csv`` has every method
and variant with all its seeds; ``comparison.csv`` (ours minus each baseline) and
``ranks.csv`` have the ten methods on the folds and seeds that all of them have.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mscf.data.spreadsheet import as_csv
from mscf.errors import InputError, warn
from mscf.evaluation.comparable import (
    check_some_shared,
    of_runs,
    said_of_all,
    said_of_recipe,
    shared_runs,
)
from mscf.evaluation.differences import against_baselines
from mscf.evaluation.ranking import ranking
from mscf.evaluation.runs import read_runs
from mscf.evaluation.tables import summary
from mscf.models import METHODS, VARIANTS, is_method
from mscf.replacing import remove, write_text

OURS = "mscf"


def write_grid_tables(place: Path) -> pd.DataFrame:
    """Writes the three tables of one split; returns the summary.

    Where nothing is compared no older comparison or ranks stay beside it.

    Raises:
        InputError: there is no run, or one that does not fit the others; no fold and
            seed that all of the ten have, when ``summary.csv`` is written already.
        StorageError: disk full or no permission.
    """
    kept = {path.parents[2].name for path in place.glob("*/fold-*/seed-*/run.json")}
    order = [*METHODS, *(f"{OURS}+{name}" for name in VARIANTS)]
    there = [key for key in dict.fromkeys([*order, *sorted(kept)])
             if key in kept and is_method(key)]  # fmt: skip
    if not there:
        raise InputError(
            place, "must hold kept runs", "none", "runs-none",
            "train some: make grid PROFILE=smoke",
        )  # fmt: skip
    # One method and the rest beside it: a summary needs no run that all share.
    runs = read_runs(place, there[:1], beside=there[1:])
    rows = pd.concat([runs.rows, runs.beside])
    said = [one for one in runs.statements if one.check != "recipe"]
    said += said_of_recipe(place, runs.records)
    table = summary(rows)
    for older in ("comparison.csv", "ranks.csv"):
        remove(place / older)
    write(table, place / "summary.csv")
    baselines = [method for method in METHODS if method in there and method != OURS]
    if OURS in there and baselines:
        ten = rows[rows["method"].isin(METHODS)]
        check_some_shared(place, ten)
        said += said_of_all(place, ten)
        shared = ten[of_runs(ten, shared_runs(ten))]
        write(against_baselines(shared, OURS, baselines), place / "comparison.csv")
        write(ranking(shared), place / "ranks.csv")
    for statement in dict.fromkeys(said):
        warn(statement)
    return table


def write(table: pd.DataFrame, path: Path) -> None:
    """Replaces ``path`` by this table."""
    write_text(path, as_csv(table))
