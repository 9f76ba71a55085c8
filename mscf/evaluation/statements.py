"""What a page of results must say about its numbers, in sentences made from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import pandas as pd

from mscf.evaluation.comparable import RUN, SLICE, data_and_split
from mscf.evaluation.differences import LOWER_IS_BETTER, told_apart
from mscf.evaluation.kept_run import of_phantoms
from mscf.evaluation.runs import Runs
from mscf.evaluation.statistics import (
    ENOUGH_PATIENTS,
    can_decide,
    effective_patients,
    holm,
)


def where_from(runs: Runs, titles: Mapping[str, str]) -> str:
    """Data, split, runs, slices and patients of a table, and which methods lack."""
    shared = runs.shared()
    data, split = map(as_text, data_and_split(runs.place))
    which = shared[RUN].drop_duplicates().sort_values(RUN)
    folds = listed(sorted(which["fold"].unique()))
    seeds = listed(sorted(which["seed"].unique()))
    n_slices = len(shared.drop_duplicates(["case", "slice"]))
    there = as_text(listed([titles.get(key, key) for key in runs.methods]))
    text = (
        f"**{data}**, split by {split}, fold {folds}, seed {seeds}: {n_slices} test "
        f"slices with tumour of {shared['patient'].nunique()} patients, "
        f"{runs.size} × {runs.size} pixels. Here: {there}, {trained_for(runs)}."
    )
    records = [*runs.records.values()] or [{"store": {}}]
    if any(of_phantoms(record, data) for record in records):
        text += (
            " **Synthetic CT: nothing here is about patients or confirms the paper.**"
        )
    if not runs.missing:
        return text + " No method is missing."
    lacking = as_text(listed([titles.get(key, key) for key in runs.missing]))
    total = len(runs.methods) + len(runs.missing)
    return f"{text} **Not run: {lacking}** ({len(runs.missing)} of {total})."


def trained_for(runs: Runs) -> str:
    """How long the compared methods were trained, as far as their records say."""
    epochs = {r["epochs_done"] for (m, _, _), r in runs.records.items()
              if m in runs.methods}  # fmt: skip
    if not epochs:
        return "without a record of their training"
    low, high = min(epochs), max(epochs)
    return f"trained for {low if low == high else f'{low} to {high}'} epochs"


def notes(runs: Runs) -> str:
    """Everything that was noticed about the runs, as a list; or that nothing was."""
    if not runs.statements:
        return "Nothing about these runs makes them hard to compare."
    return "\n".join(
        as_text(
            f"- {s.file}: {s.must}, found {s.found}{f'; {s.todo}' if s.todo else ''}."
        )
        for s in runs.statements
    )


def verdicts(comparison: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """Whether the tests can decide, and against whom they say what, for Dice."""
    dice = comparison[comparison["metric"] == "dice"]
    if dice.empty:
        return "*Ours* or a baseline is not there yet, so there is nothing to test."
    n, k = int(dice["patients"].iloc[0]), len(dice)
    if n == 1:
        return "All slices are of one patient: no interval and no test."
    if not can_decide(n, k):
        return (
            f"**Cannot decide**: with {n} patients the smallest possible p is "
            f"{2 / 2**n:.2g}, and after Holm's correction over {k} "
            f"{plural('baseline', k)} {min(1, k * 2 / 2**n):.2g}."
        )
    told = told_apart(dice)
    parts = []
    for side, words in ((1, "above"), (-1, "below"), (0, "not told apart from")):
        names = [titles.get(key, key) for key in dice.loc[told == side, "baseline"]]
        if names:
            parts.append(f"{words} {listed(names)}")
    text = (
        f"By Dice, over {n} patients and after Holm's correction over {k} "
        f"{plural('baseline', k)}, *Ours* is {'; '.join(parts)}."
    )
    equal = (dice[["difference", "low", "high"]] == 0).all(axis=1)
    if equal.any():
        names = [titles.get(key, key) for key in dice.loc[equal, "baseline"]]
        text += f" Against {listed(names)} all differences are zero, so p is 1."
    if n < ENOUGH_PATIENTS:
        text += (
            f" With fewer than {ENOUGH_PATIENTS} patients the intervals cover less "
            "than they promise, and the rules of the claims decide nothing."
        )
    return text


def verdicts_of_all(
    comparison: pd.DataFrame, metrics: Sequence[str], titles: Mapping[str, str]
) -> str:
    """Which differences in these metrics interval and test tell from 0, as a list.

    The test is corrected over the baselines of a metric; behind it stands what Holm's
    correction over all tests in ``metrics`` leaves. ``titles`` has both kinds of names.
    """
    table = comparison[comparison["metric"].isin(metrics)]
    if table.empty:
        return "Nothing to test."
    table = table.assign(p_all=holm(table["p"]), told=told_apart(table))
    n_baselines = table["baseline"].nunique()
    told = table[table["told"] != 0]
    lines = [
        f"Of {len(table)} differences, in {table['metric'].nunique()} metrics to "
        f"{n_baselines} {plural('baseline', n_baselines)}, interval and test together "
        f"tell {len(told) or 'none'} from 0."
    ]
    for row in told.to_dict("records"):
        metric, lower = row["metric"], row["metric"] in LOWER_IS_BETTER
        unit, scale = ("pixels", 1) if lower else ("points", 100)
        gap, low, high = (scale * row[end] for end in ("difference", "low", "high"))
        word = "better" if (row["told"] > 0) != lower else "worse"
        lines.append(
            f"- **{titles.get(metric, metric)}: *Ours* is {word} than "
            f"{titles.get(row['baseline'], row['baseline'])}**, {gap:+.2f} {unit} "
            f"({low:+.2f} to {high:+.2f}), p {row['p']:.3f}, by Holm over the "
            f"{plural('baseline', n_baselines)} {row['p_holm']:.3f}; over all "
            f"{len(table)} tests {row['p_all']:.3f}."
        )
    return "\n".join([lines[0], "", *lines[1:]]).rstrip()


def sides_alike(gains: pd.DataFrame, one: str, other: str) -> str:
    """Whether two sets of patients' differences agree: their sides, and their ranks.

    A row a patient, a column a set; who does not differ in one has no side.
    """
    differ = gains[(gains[[one, other]] != 0).all(axis=1)]
    same = (differ[one] * differ[other] > 0).sum()
    alike = gains[one].corr(gains[other], method="spearman")
    return (
        f"*{one}* and *{other}*: of {len(differ)} patients who differ in both, {same} "
        f"do so to the same side; the rank correlation over all {len(gains)} is "
        f"{alike:+.2f}."
    )


def few_patients(rows: pd.DataFrame) -> str:
    """Under intervals over the patients of these slices, where they cover less."""
    slices = rows.drop_duplicates(SLICE).groupby("patient").size()
    if len(slices) < 2 or effective_patients(slices) >= ENOUGH_PATIENTS:
        return ""
    return (
        f"Counted by their slices, the {len(slices)} patients tell as much as "
        f"{effective_patients(slices):.2g} with equally many each: an interval over so "
        "few covers less than it promises."
    )


def as_text(text: str) -> str:
    """The text as a page shows it as it is: names of folders may hold markup."""
    return escape(text, quote=False)


def listed(words: Sequence[object]) -> str:
    """``a, b and c``."""
    *rest, last = [str(word) for word in words] or ["none"]
    return f"{', '.join(rest)} and {last}" if rest else last


def plural(word: str, n: int) -> str:
    """The word for ``n`` of them."""
    return word if n == 1 else f"{word}s"
