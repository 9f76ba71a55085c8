"""A table kept of a run: ``case`` and ``patient`` are names, all else numbers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from mscf.data.spreadsheet import as_named
from mscf.errors import InputError

NAMES = ("case", "patient")


def read_table(path: Path, needed: Iterable[str] = ()) -> pd.DataFrame:
    """A kept table such as ``context.csv``.

    Raises:
        InputError: there is none, it is no such table, or lacks a column of ``needed``
            or a value in it.
    """
    try:
        # As text first: a case may be named NA, a patient 01.
        table = pd.read_csv(path, dtype="str", keep_default_na=False)
        numbers = table.columns.difference(NAMES)
        table[numbers] = table[numbers].apply(pd.to_numeric)
        if missing := [name for name in needed if name not in table]:
            raise ValueError(f"no column {missing[0]}")
        if table[[*needed]].isna().any(axis=None):
            raise ValueError("an empty cell")
    except (OSError, ValueError) as error:
        raise InputError(
            path, "must be a table kept of a run", error, "kept-table",
            "keep the run again: data_scripts/keep_run.py",
        ) from error  # fmt: skip
    return as_named(table, NAMES)
