"""Table 1 from kept runs: means, intervals, spread, and the average gain of Ours.

Rates are fractions in the tables of numbers and percent, as the paper prints them, in
those that are shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from mscf.evaluation.comparable import RUN, SLICE, of_runs, shared_runs
from mscf.evaluation.differences import LOWER_IS_BETTER
from mscf.evaluation.runs import Runs
from mscf.evaluation.tables import OUTCOMES, SUMMARY, summary

# Our reading: the paper speaks of three kinds of baselines, sorting them is ours. SENet
# stands with attention, for what squeeze and excitation weighs are channels.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "U-Net": ("unet", "attention_unet", "r2unet", "nested_unet"),
    "context": ("cenet",),
    "attention": ("senet", "self_attention", "danet", "csnet"),
    "ours": ("mscf",),
}
TABLE_1 = ("dice", "hd", "jaccard", "precision", "recall", "specificity", "f1")
TITLES = {
    "dice": "Dice", "hd_diagonal": "HD", "jaccard": "Jaccard",
    "precision": "Precision", "recall": "Recall", "specificity": "Spec.",
    "f1": "F1", "hd": "HD, left out", "hd_farthest": "HD, farthest",
    "hd95": "HD95", "assd": "ASSD",
}  # fmt: skip
SEVEN = tuple(TITLES)[:7]
THREE_RULES = ("hd_diagonal", "hd", "hd_farthest")
BOUNDARIES = ("hd95", "assd")
PIXELS = ("hd", "assd")  # how the names of distances begin; all else are rates
NOT_RUN = "–"
NBSP = "\N{NO-BREAK SPACE}"  # a narrow column breaks elsewhere
# For 0/0; "zero" is "strict" on slices with tumour.
RULES = {"strict": "strict", "nan": "left out", "one": "as 1"}


def results_table(runs: Runs) -> pd.DataFrame:
    """A row a method, in the order of ``runs``, and then what stands beside them.

    Of the folds and seeds that all methods share: seeds, slices (summed over seeds, as
    the outcomes are), patients, and of each metric the mean, both ends of its interval
    over patients and its deviation over seeds, under the names of ``summary.csv``.
    """
    rows = compared_and_beside(runs)
    table = summary(rows)
    table = table[table["seed"].isna()].set_index("method")
    parts = [f"{name}{part}" for name in SUMMARY
             for part in ("", "_low", "_high", "_sd_seeds")]  # fmt: skip
    pooled = [name for name in table if name.endswith("_pooled")]
    columns = ["data", "split", "size", "empty_rule", "seeds", "slices", "patients",
               *OUTCOMES, *parts, *pooled]  # fmt: skip
    return table.loc[list(dict.fromkeys(rows["method"])), columns]


def compared_and_beside(runs: Runs) -> pd.DataFrame:
    """The rows of the shared runs, and of what stands beside them in the same runs."""
    beside = of_runs(runs.beside, shared_runs(runs.rows))
    return pd.concat([runs.shared(), runs.beside[beside]], ignore_index=True)


def where_all_draw(runs: Runs) -> Runs:
    """The shared runs, with HD95 and ASSD only of slices on which every method draws.

    Without a prediction there is no boundary: over the slices that each draws on, who
    leaves out the hard ones would have the better one.
    """
    rows = compared_and_beside(runs)
    compared = rows["method"].isin(runs.methods)
    slices = pd.MultiIndex.from_frame(rows[[*RUN, *SLICE]])
    undefined = rows.reindex(columns=BOUNDARIES).isna().any(axis=1)
    lacking = slices.isin(slices[compared & undefined])
    rows.loc[lacking, [*BOUNDARIES]] = np.nan
    return replace(runs, rows=rows[compared], beside=rows[~compared])


def average_gain(
    table: pd.DataFrame, ours: str, baselines: Iterable[str], metrics: Iterable[str]
) -> pd.DataFrame:
    """How far Ours is ahead of the baselines, a column a metric: mean and range.

    From unrounded values, in their unit; of distances it is baseline minus Ours. Empty
    where Ours is not in the table.
    """
    if ours not in table.index:
        baselines, table = [], table.reindex([ours])
    gains = pd.DataFrame(
        {
            metric: (table.loc[ours, metric] - table.loc[list(baselines), metric])
            * (-1 if metric in LOWER_IS_BETTER else 1)
            for metric in metrics
        }
    ).astype(float)
    return gains.agg(["mean", "min", "max"]).set_axis(
        ["average gain", "smallest", "largest"]
    )


def runs_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Each run's mean Dice as text in percent, with mean and deviation."""
    means = 100 * rows.groupby(["method", *RUN])["dice"].mean().unstack(RUN)
    means = means.loc[list(dict.fromkeys(rows["method"]))]
    spread = {"mean": means.mean(axis=1), "deviation": means.std(axis=1)}
    n_runs = means.count(axis=1)
    means.columns = [
        f"fold{NBSP}{fold}, seed{NBSP}{seed}" for fold, seed in means.columns
    ]
    table = means.assign(**spread).map(as_text, places=2)
    return table.assign(runs=n_runs)


def several_runs(rows: pd.DataFrame, ours: str) -> pd.DataFrame:
    """Of Ours and who else has several runs: the runs that all of these have.

    Ours alone if there is none with more than one run in common.
    """
    if ours not in set(rows["method"]):
        return rows[:0]
    have = {
        method: {*of_one[RUN].itertuples(index=False, name=None)}
        for method, of_one in rows.groupby("method", sort=False)
    }
    methods = [m for m in have if m == ours or len(have[m] & have[ours]) > 1]
    shared = set.intersection(*(have[method] for method in methods))
    return rows[rows["method"].isin(methods) & of_runs(rows, shared)]


def cost_table(runs: Runs, cost: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """Size and work of every network as text, and what its training took if there was.

    ``cost`` has parameters and GMAC of each method; epochs and hours are those of
    ``run.json``, means over the runs of a method.
    """
    table = pd.DataFrame(cost).T
    text = {name: [f"{value:.2f}" for value in table[name]] for name in table}
    text["parameters"] = [f"{value:,.0f}" for value in table["parameters"]]
    trained = pd.DataFrame(
        {
            "method": method,
            "epochs": record["epochs_done"],
            "hours": record["seconds"] / 3600,
            "device": record["machine"]["device"],
        }
        for (method, _, _), record in runs.records.items()
    ).groupby("method")
    shown = pd.DataFrame(text, index=table.index)
    shown["epochs"] = trained["epochs"].mean().map("{:g}".format)
    shown["hours"] = trained["hours"].mean().map("{:.2f}".format)
    shown["device"] = trained["device"].agg(lambda names: ", ".join(sorted({*names})))
    return shown


def empty_rules_table(runs: Runs) -> pd.DataFrame:
    """Mean precision and F1, made of it, by rules for 0/0; pooled rates; as text."""
    rows = compared_and_beside(runs)
    methods = list(dict.fromkeys(rows["method"]))
    tables = {}
    for rule, title in RULES.items():
        table = summary(rows, empty=rule)
        tables[title] = table[table["seed"].isna()].set_index("method")
    columns = {
        f"{TITLES[name]}, {title}": table[name]
        for name in ("precision", "f1")
        for title, table in tables.items()
    }
    for name in ("dice", "precision", "recall"):  # of no slice 0/0: any rule's
        columns[f"{TITLES[name]}, pooled"] = tables["strict"][f"{name}_pooled"]
    return (100 * pd.DataFrame(columns).loc[methods]).map(as_text, places=2)


# As it is shown


def in_percent(table: pd.DataFrame) -> pd.DataFrame:
    """Rates times 100, distances in pixels as they are."""
    names = [name for name in table if not name.startswith(PIXELS)]
    return table.assign(**{name: 100 * table[name].astype(float) for name in names})


def shown(table: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Means as text with the paper's two decimals; specificity has three.

    Of specificity 0.01 % is 20 pixels of a slice of 448. After several seeds their
    standard deviation follows.
    """
    names = [f"{name}{part}" for name in metrics for part in ("", "_sd_seeds")]
    values = in_percent(table[names])
    columns = {}
    for name in metrics:
        pairs = zip(values[name], values[f"{name}_sd_seeds"], strict=True)
        columns[name] = [
            as_text(mean, decimals(name))
            + ("" if pd.isna(spread) else f" ± {spread:.{decimals(name)}f}")
            for mean, spread in pairs
        ]
    return pd.DataFrame(columns, index=table.index)


def shown_gain(gain: pd.DataFrame) -> pd.DataFrame:
    """``average_gain`` with three decimals, as the paper prints that of specificity."""
    return gain.map(as_text, places=3)


def shown_with_interval(table: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Means and, in brackets, both ends of their interval as text."""
    return pd.DataFrame(
        {
            name: [
                with_ends(mean, low, high, name)
                for mean, low, high in zip(
                    table[name], table[f"{name}_low"], table[f"{name}_high"],
                    strict=True,
                )
            ]
            for name in metrics
        },
        index=table.index,
    )  # fmt: skip


def with_ends(value: float, low: float, high: float, metric: str) -> str:
    """The value, a rate in percent, and in brackets the ends of its interval if any."""
    scale, places = 1 if metric.startswith(PIXELS) else 100, decimals(metric)
    shown = as_text(scale * value, places)
    if pd.isna(low):
        return shown
    ends = (f"{scale * end:.{places}f}" for end in (low, high))
    return f"{shown} ({f'{NBSP}to{NBSP}'.join(ends)})"


def shown_comparison(
    comparison: pd.DataFrame, metric: str, titles: Mapping[str, str]
) -> pd.DataFrame:
    """One metric's part of ``comparison.csv`` as text, a row a baseline."""
    rows = comparison[comparison["metric"] == metric].set_index("baseline")
    values = in_percent(
        rows[["difference", "low", "high"]].rename(columns=f"{metric} {{}}".format)
    ).map(as_text, places=decimals(metric))
    values.columns = ["difference", "from", "to"]
    p = rows[["p", "p_holm", "p_slices"]].map(p_as_text)
    p.columns = ["p", "p, Holm", "p of slices"]
    return values.join(p).assign(patients=rows["patients"]).rename(index=titles)


def shown_differences(
    comparison: pd.DataFrame, metrics: Sequence[str], titles: Mapping[str, str]
) -> pd.DataFrame:
    """Ours minus each baseline with its interval as text: a row a metric."""
    ends = ["difference", "low", "high"]
    columns = {}
    for baseline, rows in comparison.groupby("baseline", sort=False):
        values = rows.set_index("metric")[ends].astype(float)
        columns[titles.get(baseline, baseline)] = {
            metric: with_ends(*values.loc[metric], metric) for metric in metrics
        }
    return pd.DataFrame(columns, index=list(metrics)).rename(index=TITLES)


def shown_p(
    comparison: pd.DataFrame, titles: Mapping[str, str], metrics: Mapping[str, str]
) -> pd.DataFrame:
    """After Holm's correction p as text, a row a baseline and a column a metric."""
    order = list(dict.fromkeys(comparison["baseline"]))
    table = comparison.pivot(index="baseline", columns="metric", values="p_holm")
    table = table.reindex(index=order, columns=list(metrics)).map(p_as_text)
    return table.rename(index=titles, columns=metrics).rename_axis(columns=None)


def shown_ranks(
    ranks: pd.DataFrame, titles: Mapping[str, str], metrics: Mapping[str, str]
) -> pd.DataFrame:
    """How often each method is first, in percent of the draws, as text."""
    table = ranks.pivot(index="method", columns="metric", values="share_first")
    table = (100 * table).reindex(index=list(dict.fromkeys(ranks["method"])))
    table = table[list(metrics)].map(as_text, places=1)
    return table.rename(index=titles, columns=metrics).rename_axis(columns=None)


def p_as_text(p: float) -> str:
    """Three decimals; below these it is said that it is smaller."""
    return "< 0.001" if p < 0.001 else as_text(p, 3)


def grouped(table: pd.DataFrame, titles: Mapping[str, str]) -> pd.DataFrame:
    """All of Table 1's rows under their groups; who was not run has a dash.

    Rows of ``table`` that are no method of Table 1 stand at the end.
    """
    order = [(group, key) for group, keys in GROUPS.items() for key in keys]
    ten = {key for _, key in order}
    order += [("beside", key) for key in table.index if key not in ten]
    filled = table.astype(object).reindex([key for _, key in order])
    filled = filled.where(filled.notna(), NOT_RUN)
    names = [(group, titles.get(key, key)) for group, key in order]
    filled.index = pd.MultiIndex.from_tuples(names, names=["group", "method"])
    return filled


def as_latex(table: pd.DataFrame, caption: str) -> str:
    """A ``table`` environment in the style of booktabs, of text already rounded."""
    rows = table.reset_index()
    lines = [" & ".join(map(latex_text, row)) + r" \\" for row in rows.to_numpy()]
    head = " & ".join(map(latex_text, rows.columns)) + r" \\"
    columns = "l" * table.index.nlevels + "r" * table.shape[1]
    return "\n".join(
        [r"\begin{table}", rf"\caption{{{latex_text(caption)}}}",
         rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule",
         *lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""]
    )  # fmt: skip


def latex_text(value: object) -> str:
    """The value with the characters that LaTeX reads otherwise escaped."""
    special = {c: f"\\{c}" for c in "&%$#_{}"}
    special |= {"–": "--", "±": r"$\pm$", "×": r"$\times$"}
    return "".join(special.get(c, c) for c in str(value))


def decimals(metric: str) -> int:
    """As many as are printed of a metric."""
    return 3 if metric.startswith("specificity") else 2


def as_text(value: float, places: int) -> str:
    """The number, or a dash where there is none."""
    return NOT_RUN if pd.isna(value) else f"{value:.{places}f}"
