"""Kept runs of one set of data under both splits, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mscf.evaluation.claims import under_both_splits
from mscf.evaluation.comparable import of_runs, shared_runs
from mscf.evaluation.differences import COMPARISON_COLUMNS, against_baselines
from mscf.evaluation.over_trainings import TRAININGS
from mscf.evaluation.results_table import p_as_text, with_ends
from mscf.evaluation.runs import read_runs
from mscf.evaluation.statements import listed, plural
from mscf.evaluation.statistics import LEVEL, holm
from mscf.evaluation.tables import summary

SPLITS = ("slice", "patient")


def dice_under_splits(results: Path, methods: Sequence[str]) -> pd.DataFrame:
    """Mean Dice of kept runs by split, and its 95 % interval over patients.

    ``results`` is ``results/<data>-<size>``. A line a split and method that is there:
    ``split``, ``method``, ``slices``, ``patients``, ``seeds``, ``dice``, ``dice_low``,
    ``dice_high``. No line for what has not been run.
    """
    names = ["split", "method", "slices", "patients", "seeds", "dice", "dice_low",
             "dice_high"]  # fmt: skip
    tables = []
    for split in run_splits(results, methods):
        table = summary(read_runs(results / split, methods).rows)
        table = table[table["seed"].isna()].set_index("method")
        there = [method for method in methods if method in table.index]
        tables.append(table.loc[there].reset_index())
    if not tables:
        return pd.DataFrame(columns=names)
    return pd.concat(tables, ignore_index=True)[names]


def differences_under_splits(
    results: Path, ours: str, others: Sequence[str]
) -> pd.DataFrame:
    """Ours minus each other in Dice under each split, on the runs that the two share.

    The Dice rows of ``comparison.csv`` (`against_baselines`) with ``split`` and the
    number of ``seeds`` before them; no line for a split under which Ours or all others
    were not run.
    """
    names = ["split", "seeds", *COMPARISON_COLUMNS]
    tables = []
    for split in run_splits(results, [ours]):
        runs = read_runs(results / split, [ours, *others])
        for other in others:
            rows = runs.rows[runs.rows["method"].isin([ours, other])]
            rows = rows[of_runs(rows, shared_runs(rows))]
            there = [other] if other in runs.methods else []
            table = against_baselines(rows, ours, there)
            of_dice = table[table["metric"] == "dice"]
            tables.append(of_dice.assign(split=split, seeds=rows["seed"].nunique()))
    if not tables:
        return pd.DataFrame(columns=names)
    return pd.concat(tables, ignore_index=True)[names]


def agreement_in_words(differences: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """Whether both splits say the same of Ours against each other, in a sentence.

    ``differences`` are those of `differences_under_splits`. Two differences agree if
    they have one sign; they are told from 0 if neither interval holds 0 and both tests,
    corrected over all of their split, say so.
    """
    if {*differences["split"]} != {*SPLITS}:
        return "Only one split has been run."
    of_both = differences.pivot(index="baseline", columns="split")
    of_both = of_both.dropna(subset=[("difference", split) for split in SPLITS])
    signs = of_both["difference"] > 0
    agree = signs["slice"] == signs["patient"]
    excluded = (of_both["low"] > 0) | (of_both["high"] < 0)
    told = excluded & of_both["p"].apply(holm).lt(LEVEL)
    sure = of_both.index[agree & told.all(axis=1)]
    seeds = differences.groupby("split")["seeds"]
    over = listed([f"{from_to(seeds.get_group(s))} by {s}" for s in SPLITS])
    text = (
        f"Over {over}: of {len(of_both)} differences {agree.sum()} have one sign under "
        "both splits, where about half would by chance"
    )
    rule = f"interval and test (Holm over {len(of_both)}) under both"
    if sure.empty:
        return f"{text}; by {rule} none is told from 0."
    names = listed([titles.get(key, key) for key in sure])
    return f"{text}; by {rule} those to {names} are told from 0."


def from_to(seeds: pd.Series) -> str:
    """``1 to 3 seeds``."""
    low, high = seeds.min(), seeds.max()
    return f"{high if low == high else f'{low} to {high}'} {plural('seed', high)}"


def shown_split_claim(
    claim: pd.DataFrame,
    by_slice: pd.DataFrame,
    by_patient: pd.DataFrame,
    copied: Mapping[str, Mapping[str, float]],
) -> pd.DataFrame:
    """C6 with its means and their intervals as text: a column a method and of copying.

    ``claim`` is what `split_claim` says of both, rows of ``per_slice.csv``. ``copied``
    has by split the ``dice`` of copying masks without a network, of the same slices,
    with ``low`` and ``high`` if an interval is known.
    """
    means = summary(under_both_splits(by_slice, by_patient))
    means = means[means["seed"].isna()].set_index(["split", "method"])
    columns = {}
    for method, row in claim.iterrows():
        of_splits = (means.loc[(split, method)] for split in SPLITS)
        columns[method] = {
            **{f"by {of.name[0]}": in_text(of, "dice_") for of in of_splits},
            "difference": with_ends(
                row["difference"] / 100, row["low"] / 100, row["high"] / 100, "dice"
            ),
            "p, Holm": p_as_text(row["p"]),
            **{name: f"{row[name]:.2f}" for name in TRAININGS if name in row},
            "slices": row["slices"],
            "patients": row["patients"],
            "outcome": row["outcome"],
        }
    columns["copying"] = {f"by {split}": in_text(of) for split, of in copied.items()}
    return pd.DataFrame(columns, dtype=object).fillna("")


def in_text(of: Mapping[str, float], end: str = "") -> str:
    """Mean Dice in percent, with its interval if one is known."""
    ends = (of.get(f"{end}{side}", np.nan) for side in ("low", "high"))
    return with_ends(of["dice"], *ends, "dice")


def run_splits(results: Path, methods: Sequence[str]) -> list[str]:
    """The splits under which at least one of the methods was run."""
    return [
        split
        for split in SPLITS
        if any((results / split / method).is_dir() for method in methods)
    ]
