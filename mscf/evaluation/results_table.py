"""Table 1 from kept runs: means, intervals, spread, and the average gain of Ours.

Rates are fractions in the tables of numbers and percent, as the paper prints them, in
those that are shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from mscf.evaluation.differences import LOWER_IS_BETTER
from mscf.evaluation.runs import RUN, Runs
from mscf.evaluation.tables import OUTCOMES, SUMMARY, summary

# Our reading: the paper speaks of three kinds of baselines, sorting them is ours. SENet
# stands with attention, for what squeeze and excitation weighs are channels.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "U-Net based": ("unet", "attention_unet", "r2unet", "nested_unet"),
    "context based": ("cenet",),
    "attention based": ("senet", "self_attention", "danet", "csnet"),
    "ours": ("mscf",),
}
TABLE_1 = ("dice", "hd", "jaccard", "precision", "recall", "specificity", "f1")
TITLES = {
    "dice": "Dice", "hd_diagonal": "HD", "jaccard": "Jaccard",
    "precision": "Precision", "recall": "Recall", "specificity": "Specificity",
    "f1": "F1", "hd": "HD, left out", "hd_farthest": "HD, farthest",
}  # fmt: skip
SEVEN = tuple(TITLES)[:7]
THREE_RULES = ("hd_diagonal", "hd", "hd_farthest")
NOT_RUN = "–"


def results_table(runs: Runs) -> pd.DataFrame:
    """A row a method, in the order of ``runs``, and then what stands beside them.

    Of the folds and seeds that all methods share: seeds, slices (summed over seeds, as
    the outcomes are), patients, and of each metric the mean, both ends of its interval
    over patients and its deviation over seeds, under the names of ``summary.csv``.
    """
    shared = runs.shared()
    keys = {*shared[RUN].itertuples(index=False, name=None)}
    beside = [one in keys for one in runs.beside[RUN].itertuples(index=False)]
    rows = pd.concat([shared, runs.beside[beside]])
    table = summary(rows)
    table = table[table["seed"].isna()].set_index("method")
    parts = [f"{name}{part}" for name in SUMMARY
             for part in ("", "_low", "_high", "_sd_seeds")]  # fmt: skip
    pooled = [name for name in table if name.endswith("_pooled")]
    columns = ["seeds", "slices", "patients", *OUTCOMES, *parts, *pooled]
    return table.loc[list(dict.fromkeys(rows["method"])), columns]


def average_gain(
    table: pd.DataFrame, ours: str, baselines: Iterable[str], metrics: Iterable[str]
) -> pd.DataFrame:
    """How far Ours is ahead of the baselines, a column a metric: mean and range.

    From unrounded values, in their unit; of distances it is baseline minus Ours.
    """
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


def seeds_table(rows: pd.DataFrame, metric: str = "dice") -> pd.DataFrame:
    """Each run's mean of one metric, a row a method and a column a fold and seed."""
    table = rows.groupby(["method", *RUN], sort=False)[metric].mean().unstack(RUN)
    table.columns = [f"fold {fold}, seed {seed}" for fold, seed in table.columns]
    spread = {"runs": table.count(axis=1), "mean": table.mean(axis=1),
              "deviation": table.std(axis=1)}  # fmt: skip
    return table.assign(**spread).loc[list(dict.fromkeys(rows["method"]))]


def several_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the methods with more than one run, in the runs that these all have."""
    n_runs = rows.groupby("method")[RUN].apply(
        lambda of_one: len({*map(tuple, of_one.to_numpy())})
    )
    rows = rows[rows["method"].isin(n_runs.index[n_runs > 1])]
    have = rows.drop_duplicates(["method", *RUN]).groupby(RUN)["method"].nunique()
    shared = have.index[have == rows["method"].nunique()]
    return rows[pd.MultiIndex.from_frame(rows[RUN]).isin(shared)]


# As it is shown


def in_percent(table: pd.DataFrame) -> pd.DataFrame:
    """Rates times 100, distances in pixels as they are."""
    names = [name for name in table if not name.startswith(("hd", "assd"))]
    return table.assign(**{name: 100 * table[name].astype(float) for name in names})


def shown(table: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Means as text with the paper's two decimals; specificity has three.

    Of specificity 0.01 % is 20 pixels of a slice of 448.
    """
    values = in_percent(table[list(metrics)])
    return pd.DataFrame(
        {name: [as_text(v, decimals(name)) for v in values[name]] for name in metrics},
        index=table.index,
    )


def shown_with_interval(table: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Means and, in brackets, both ends of their interval as text."""
    ends = [f"{name}{part}" for name in metrics for part in ("", "_low", "_high")]
    values = in_percent(table[ends])
    return pd.DataFrame(
        {
            name: [
                as_text(mean, decimals(name))
                + (f" ({low:.{decimals(name)}f} to {high:.{decimals(name)}f})"
                   if pd.notna(low) else "")
                for mean, low, high in zip(
                    values[name], values[f"{name}_low"], values[f"{name}_high"],
                    strict=True,
                )
            ]
            for name in metrics
        },
        index=table.index,
    )  # fmt: skip


def grouped(table: pd.DataFrame, titles: Mapping[str, str]) -> pd.DataFrame:
    """All of Table 1's rows under their groups; who was not run has a dash.

    Rows of ``table`` that are no method of Table 1 stand at the end.
    """
    order = [(group, key) for group, keys in GROUPS.items() for key in keys]
    order += [("beside", key) for key in table.index if key not in titles]
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
