"""The tables of an evaluation: a row a slice, and from those a row a method.

``per_slice.csv`` is what everything else is computed from. The same rows give the
same bytes: sorted by key, numbers in their shortest form, undefined as empty cells.
"""

from __future__ import annotations

import hashlib
import json
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd

from mscf.data.spreadsheet import as_csv, as_named
from mscf.errors import Finding, InputError, warn
from mscf.evaluation.metrics import (
    HAUSDORFF,
    RATES,
    SURFACE,
    f1_of,
    rates,
    summarise,
)
from mscf.evaluation.statistics import draw_patients, interval, redrawn_means
from mscf.replacing import write_text

DISTANCES = (*HAUSDORFF, *SURFACE)
COUNTS = ("tp", "fp", "fn", "tn")
OUTCOMES = ("overlap", "elsewhere", "missed", "false_alarm", "clean")
KEY = ["data", "split", "fold", "method", "seed", "case", "slice"]
TYPES = {
    **dict.fromkeys(("data", "split"), "str"),
    "fold": "int64",
    "method": "str",
    "seed": "int64",
    **dict.fromkeys(("case", "patient"), "str"),
    **dict.fromkeys(("slice", "height", "width"), "int64"),
    **dict.fromkeys(("spacing_y", "spacing_x"), "float64"),
    "outcome": "str",
    **dict.fromkeys(("truth_px", "predicted_px", *COUNTS), "int64"),
    **dict.fromkeys((*RATES, *DISTANCES), "float64"),
    **dict.fromkeys((f"{name}_mm" for name in DISTANCES), "float64"),
}
FLOATS = [name for name, kind in TYPES.items() if kind == "float64"]
TEXTS = [name for name, kind in TYPES.items() if kind == "str"]
OPTIONAL = {*SURFACE, *(f"{name}_mm" for name in DISTANCES)}
SUMMARY = ("dice", "hd_diagonal", "jaccard", "precision", "recall", "specificity",
           "f1", "f1_mean", "hd", "hd_farthest", *SURFACE)  # fmt: skip
POOLED = tuple(f"{name}_pooled" for name in RATES if name != "f1")
GROUP = ["data", "split", "method"]
PARTS = ("", "_n", "_low", "_high", "_sd_seeds")  # of each metric in the summary
SUMMARY_COLUMNS = [
    *GROUP, "seed", "seeds", "size", "empty_rule", "slices", "patients", *OUTCOMES,
    *(metric + part for metric in SUMMARY for part in PARTS),
    *POOLED, "commit", "checksum",
]  # fmt: skip


# per_slice.csv


def identify(
    rows: pd.DataFrame, data: str, split: str, fold: int, method: str, seed: int
) -> pd.DataFrame:
    """Rows of ``evaluate`` signed with what they are rows of."""
    return in_order(
        rows.assign(data=data, split=split, fold=fold, method=method, seed=seed)
    )


def in_order(rows: pd.DataFrame, source: Path | str = "rows") -> pd.DataFrame:
    """The columns of ``per_slice.csv`` in their types and order, sorted by key.

    Raises:
        InputError: a column is missing, holds something else, or a key comes twice.
    """
    missing = [name for name in TYPES if name not in rows and name not in OPTIONAL]
    if missing:
        raise InputError(
            source, "must have the columns of per_slice.csv",
            f"no {', '.join(missing[:3])}", "rows-columns",
        )  # fmt: skip
    try:
        rows = rows.reindex(columns=list(TYPES)).astype(TYPES)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(
            source, "must hold numbers where numbers belong", error, "rows-values"
        ) from error
    twice = rows[rows.duplicated(KEY)]
    if len(twice):
        raise InputError(
            source, "must have one row a slice",
            "two of " + " ".join(map(str, twice.iloc[0][KEY])), "rows-unique",
        )  # fmt: skip
    return rows.sort_values(KEY, ignore_index=True)


def write_rows(rows: pd.DataFrame, path: Path) -> None:
    """Replaces ``path`` by these rows, or fails and leaves it as it was."""
    write_text(path, as_csv(in_order(rows, path)))


def read_rows(path: Path) -> pd.DataFrame:
    """The rows of a ``per_slice.csv``, equal to those that were written.

    Raises:
        InputError: missing, not such a table, or a key twice.
    """
    try:
        text = path.read_bytes().decode()  # not read_text: it changes line ends
        # As text first: a case may be named NA, and pandas' own reading of floats is
        # not exact in every version.
        rows = pd.read_csv(StringIO(text), dtype="str", keep_default_na=False)
        rows = as_named(rows, TEXTS)
        for name in rows.columns.intersection(FLOATS):
            rows[name] = [float(cell) if cell else np.nan for cell in rows[name]]
    except (OSError, ValueError) as error:
        found = getattr(error, "strerror", None) or error
        raise InputError(
            path, "must be a table of slices", found, "rows-unreadable"
        ) from error
    if not text.endswith("\n"):
        raise InputError(
            path, "must end with a whole line", repr(text[-20:]), "rows-cut"
        )
    return in_order(rows, path)


# summary.csv, summary.json


def write_summary(rows: pd.DataFrame, path: Path, commit: str = "") -> None:
    """Replaces ``path`` by ``summary(rows, commit)``, as JSON or CSV by its suffix."""
    table = summary(rows, commit)
    if path.suffix == ".json":
        records = table.astype(object).where(table.notna(), None).to_dict("records")
        content = json.dumps(records, indent=2) + "\n"
    else:
        content = as_csv(table)
    write_text(path, content)


def summary(
    rows: pd.DataFrame, commit: str = "", empty: str = "strict"
) -> pd.DataFrame:
    """A row for each (data, split, method, seed), and one over the seeds of each.

    Of one seed: means over slices, the number of values behind each, their interval
    over patients, outcomes and pooled rates. Over seeds (``seed`` is empty): the same
    of slices averaged over seeds, sums of numbers, and the sample deviation of the
    seeds' means where all seeds have the same folds. ``commit`` names the code;
    ``empty`` is the rule for 0/0.

    Raises:
        InputError: as ``in_order``, or slices of more than one size.
    """
    rows = in_order(rows)
    sizes = sorted({*rows["height"], *rows["width"]})
    if len(sizes) != 1:
        raise InputError(
            "rows", "must be of one square size, whose pixels are the unit", sizes,
            "rows-size",
        )  # fmt: skip
    table = []
    for key, group in rows.groupby(GROUP):
        seeds = [seed_row(one, empty) for _, one in group.groupby("seed")]
        head = dict(zip(GROUP, key, strict=True)) | {"size": sizes[0]}
        table += [head | row for row in [*seeds, row_over_seeds(group, seeds, empty)]]
    one_patient = [row["method"] for row in table if row["patients"] == 1]
    if one_patient:
        warn(
            Finding(
                one_patient[0], "an interval needs two patients", "1", "one-patient"
            )
        )
    table = pd.DataFrame(table).assign(commit=commit, empty_rule=empty)
    return table.reindex(columns=SUMMARY_COLUMNS).astype({"seed": "Int64"})


def seed_row(rows: pd.DataFrame, empty: str) -> dict:
    """The summary of one seed's rows."""
    measured = under_rule(rows, empty)
    row = {"seed": rows["seed"].iloc[0], "seeds": 1, **described(rows)}
    means = summarise(measured)
    for name in SUMMARY:
        row[name] = means[name]
        row[f"{name}_n"] = int(values_of(measured, name).count())
    return row | pooled(measured, empty) | intervals(measured)


def row_over_seeds(rows: pd.DataFrame, seeds: list[dict], empty: str) -> dict:
    """The summary of several seeds, from their rows and their own summaries.

    A slice counts once, however many of the seeds have tested it.
    """
    table, measured = pd.DataFrame(seeds), under_rule(rows, empty)
    row = {"seed": None, "seeds": len(seeds), **described(rows)}
    of_one_slice = measured.groupby(["patient", "case", "slice"])
    averaged = of_one_slice[[*RATES, *DISTANCES, *COUNTS]].mean().reset_index()
    means = summarise(averaged)
    for name in SUMMARY:
        row[name] = means[name]
        row[f"{name}_n"] = int(table[f"{name}_n"].sum())
    if rows.groupby("seed")["fold"].unique().map(sorted).map(tuple).nunique() == 1:
        row |= {f"{name}_sd_seeds": table[name].std() for name in SUMMARY}
    return row | pooled(averaged, empty) | intervals(averaged)


def pooled(rows: pd.DataFrame, empty: str) -> dict[str, float]:
    """The rates of all pixels of these slices together."""
    total = rates(*rows[list(COUNTS)].sum().to_numpy()[:, None], empty=empty)
    return {name: float(total[name.removesuffix("_pooled")][0]) for name in POOLED}


def described(rows: pd.DataFrame) -> dict:
    """Numbers of slices, patients and outcomes, and the rows' checksum."""
    outcomes = rows["outcome"].value_counts().reindex(OUTCOMES, fill_value=0)
    return {
        "slices": len(rows),
        "patients": rows["patient"].nunique(),
        **outcomes.to_dict(),
        "checksum": hashlib.sha256(as_csv(rows).encode()).hexdigest(),
    }


def under_rule(rows: pd.DataFrame, empty: str) -> pd.DataFrame:
    """The rows with their rates made anew from the counts under a rule for 0/0."""
    counts = (rows[name].to_numpy() for name in COUNTS)
    return rows.assign(**rates(*counts, empty=empty))


def values_of(rows: pd.DataFrame, name: str) -> pd.Series:
    """The slices' values behind a summary's mean.

    Those of ``f1``, which is made of two means, are the slices that have both.
    """
    if name == "f1":
        return rows["precision"] + rows["recall"]
    return rows[name.removesuffix("_mean")]


def intervals(rows: pd.DataFrame) -> dict[str, float]:
    """Ends of the interval over patients of every metric; none for one patient."""
    n_patients = rows["patient"].nunique()
    if n_patients < 2:
        return {}
    values = np.column_stack([values_of(rows, name) for name in SUMMARY])
    redrawn = redrawn_means(values, rows["patient"], draw_patients(n_patients))
    redrawn = dict(zip(SUMMARY, redrawn.T, strict=True))
    redrawn["f1"] = f1_of(redrawn["precision"], redrawn["recall"])
    row = {}
    for name in SUMMARY:
        row[f"{name}_low"], row[f"{name}_high"] = interval(redrawn[name])
    return row
