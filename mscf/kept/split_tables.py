"""The tables of a grid: summary, differences and ranks of all that was kept of a split.

Beside the runs in ``results/<data>-<size>/<split>/``: ``summary.csv`` has every method
and variant with all its seeds; ``comparison.csv`` (ours minus each baseline) and
``ranks.csv`` have the ten methods on the folds and seeds that all of them have.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mscf.errors import InputError, warn
from mscf.evaluation.differences import against_baselines
from mscf.evaluation.ranking import ranking
from mscf.evaluation.runs import read_runs
from mscf.evaluation.tables import as_csv, summary
from mscf.models import METHODS, VARIANTS, is_method
from mscf.replacing import replacing

OURS = "mscf"


def write_grid_tables(place: Path) -> pd.DataFrame:
    """Writes the three tables of one split; returns the summary.

    Raises:
        InputError: there is no run, or one that does not fit the others.
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
    runs = read_runs(place, there)
    for statement in runs.statements:
        warn(statement)
    table = summary(runs.rows)
    write(table, place / "summary.csv")
    ten = [m for m in METHODS if m in there]
    if OURS in ten and len(ten) > 1:
        rows = read_runs(place, ten).shared()
        baselines = [m for m in ten if m != OURS]
        write(against_baselines(rows, OURS, baselines), place / "comparison.csv")
        write(ranking(rows), place / "ranks.csv")
    return table


def write(table: pd.DataFrame, path: Path) -> None:
    """Replaces ``path`` by this table."""
    with replacing(path) as file:
        file.write(as_csv(table))
