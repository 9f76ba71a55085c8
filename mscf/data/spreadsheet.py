"""Tables as CSV that a spreadsheet may open: no name becomes a formula.

A spreadsheet computes a cell that begins with one of ``= + - @``, a tab or the end of a
line, also in a file of somebody else. Text that does so is written with an apostrophe
before it, which ``as_named`` takes off again; all other text stays as it is.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable

import pandas as pd

FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
QUOTED = re.compile(r"'" + FORMULA.pattern)


def as_csv(table: pd.DataFrame) -> str:
    """Commas, and floats in Python's shortest form that reads back the same."""
    texts = table.select_dtypes(exclude=["number", "bool"]).columns
    table = table.assign(**{name: table[name].map(no_formula) for name in texts})
    # Python's writer does not see that a carriage return needs quotes.
    returns = any("\r" in str(cell) for name in texts for cell in table[name].unique())
    quoting = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL
    return table.to_csv(index=False, lineterminator="\n", quoting=quoting)


def no_formula(cell: object) -> object:
    """The cell, text that would be a formula with an apostrophe before it."""
    return f"'{cell}" if isinstance(cell, str) and FORMULA.match(cell) else cell


def as_named(table: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """A table that was read, its text columns as they were before ``as_csv``."""
    there = [name for name in columns if name in table]
    return table.assign(**{name: table[name].map(without_quote) for name in there})


def without_quote(cell: object) -> object:
    """The inverse of ``no_formula``."""
    return cell[1:] if isinstance(cell, str) and QUOTED.match(cell) else cell
