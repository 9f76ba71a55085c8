"""The kept runs of several methods on the same slices, read as one table.

``<data>-<size>/<split>/<method>[+variant]/fold-<k>/seed-<n>/`` holds ``per_slice.csv``
and, of a trained network, ``run.json`` (``kept_run.py``); ``comparable.py`` says which
of them may stand in one table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mscf.errors import Finding, InputError
from mscf.evaluation.comparable import (
    check_one_origin,
    check_same_slices,
    check_seeds_differ,
    check_some_shared,
    of_runs,
    said_of_all,
    said_of_recipe,
    said_of_run,
    shared_runs,
)
from mscf.evaluation.kept_run import read_run, run_folders


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
