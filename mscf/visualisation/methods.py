"""Several methods on the same slices: distributions, differences, ranks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from mscf.visualisation.style import INK, MAIN, PALE, SECOND, THIRD


def draw_distributions(
    ax: Axes, rows: pd.DataFrame, metric: str, titles: Mapping[str, str], ours: str
) -> Axes:
    """Every slice's value of one metric, a row a method: violin, box and mean.

    ``rows`` are of ``per_slice.csv``; the violin ends at the data, the box holds the
    middle half, the diamond is the mean. Ours is blue.
    """
    order = list(dict.fromkeys(rows["method"]))
    colours = {key: MAIN if key == ours else PALE for key in order}
    same = {"data": rows, "x": metric, "y": "method", "order": order, "ax": ax}
    sns.violinplot(
        **same, hue="method", palette=colours, cut=0, density_norm="width",
        inner=None, linewidth=0, alpha=0.45, width=0.9, legend=False,
    )  # fmt: skip
    sns.boxplot(
        **same, width=0.16, showfliers=False, color="white", linecolor=INK, linewidth=1
    )
    means = rows.groupby("method")[metric].mean().reindex(order)
    ax.scatter(means, range(len(order)), marker="D", color=SECOND, s=34, zorder=5)
    ax.set_yticks(range(len(order)), [titles.get(key, key) for key in order])
    ax.set_ylabel("")
    return ax


def draw_differences(
    ax: Axes,
    of_patients: pd.DataFrame,
    comparison: pd.DataFrame,
    titles: Mapping[str, str],
) -> Axes:
    """Ours minus each baseline: a point a patient, and the mean with its interval.

    ``of_patients`` has the columns baseline and difference; ``comparison`` is
    ``comparison.csv`` of one rate. Fractions are shown as percentage points; right of
    the dashed line Ours has more.
    """
    order = list(comparison["baseline"])  # empty without Ours or without baselines
    ax.axvline(0, color=INK, linestyle="--", linewidth=1)
    if not order:
        return nothing_yet(ax, "Ours or a baseline is not there yet")
    # seaborn's own strip lies elsewhere each time, and a page must not change by itself
    aside = np.random.default_rng(0).uniform(-0.14, 0.14, len(of_patients))
    rows = of_patients["baseline"].map({key: n for n, key in enumerate(order)}) + aside
    ax.scatter(of_patients["difference"], rows, color=PALE, s=16)
    places = np.arange(len(order)) + 0.3
    ax.hlines(places, comparison["low"], comparison["high"], color=MAIN, linewidth=2)
    ax.scatter(comparison["difference"], places, marker="D", color=MAIN, s=34, zorder=4)
    ax.set_yticks(range(len(order)), [titles.get(key, key) for key in order])
    ax.set_ylim(len(order) - 0.4, -0.5)
    ax.set_ylabel("")
    ax.xaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    return ax


def draw_gains(
    ax: Axes,
    claimed: Mapping[str, float],
    gains: Mapping[str, pd.DataFrame],
    bands: Mapping[str, float],
    titles: Mapping[str, str],
) -> Axes:
    """A claimed gain over each baseline, and what single trainings here gave.

    ``claimed`` are percentage points by baseline; ``gains`` and ``bands`` belong to
    sets of data: a table with the columns baseline and difference (a fraction, a row a
    training), and how far a band reaches to both sides of no gain (a fraction).
    """
    places = np.arange(len(claimed))
    ax.axvline(0, color=INK, linestyle="--", linewidth=1)
    looks = zip(gains, ("o", "^", "s"), (THIRD, SECOND, PALE), strict=False)
    step = 0.5 / max(len(gains), 1)
    for i, (data, marker, colour) in enumerate(looks):
        table = gains[data]
        table = table[table["baseline"].isin(list(claimed))]
        rows = table["baseline"].map({key: n for n, key in enumerate(claimed)})
        half = 100 * bands[data]
        ax.axvspan(-half, half, color=colour, alpha=0.1, linewidth=0)
        ax.scatter(
            100 * table["difference"], rows + 0.12 + i * step, marker=marker, s=22,
            color=colour, label=f"{data}, one training each", zorder=3,
        )  # fmt: skip
    ax.scatter(
        list(claimed.values()), places - 0.2, marker="D", color=MAIN, s=44, zorder=4,
        label="the paper's gain",
    )  # fmt: skip
    for place in places[:-1]:
        ax.axhline(place + 0.6, color=PALE, linewidth=0.5)
    ax.set_yticks(places, [titles.get(key, key) for key in claimed])
    ax.set_ylim(len(claimed) - 0.3, -0.7)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2, frameon=False)
    return ax


def draw_ways(ax: Axes, ways: pd.DataFrame) -> Axes:
    """One Dice by each way of counting, a row a way and a mark a column's data.

    ``ways`` are fractions, NaN where a way is not open.
    """
    ax.hlines(range(len(ways)), 0, 100, color=PALE, linewidth=0.5)
    looks = zip(ways, ("o", "^", "s"), (MAIN, SECOND, THIRD), strict=False)
    for name, marker, colour in looks:
        there = ways[name].dropna()
        rows = ways.index.get_indexer(there.index)
        ax.scatter(100 * there, rows, marker=marker, color=colour, s=34, label=name)
    ax.set_yticks(range(len(ways)), ways.index)
    ax.set_ylim(len(ways) - 0.5, -0.5)
    ax.set_xlim(0, 100)
    ax.set_xlabel("tumour Dice, %")
    ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(ways))
    return ax


def draw_ranks(
    ax: Axes,
    ranks: pd.DataFrame,
    methods: Mapping[str, str],
    metrics: Mapping[str, str],
) -> Axes:
    """The rank of each method in each metric as a cell, with its interval in brackets.

    ``ranks`` is ``ranks.csv``; ``methods`` and ``metrics`` give titles and order. Dark
    is first.
    """
    there = list(methods)
    table = ranks.set_index(["method", "metric"])

    def cells(column: str) -> pd.DataFrame:
        return table[column].unstack("metric").loc[there, list(metrics)]

    middle, low, high = cells("rank"), cells("low"), cells("high")
    texts = [
        [
            f"{middle.loc[m, k]:g}"
            + (
                f"\n({low.loc[m, k]:.2g} to {high.loc[m, k]:.2g})"
                if low.loc[m, k] < high.loc[m, k]
                else ""
            )
            for k in metrics
        ]
        for m in there
    ]
    sns.heatmap(
        middle.to_numpy(), annot=np.array(texts), fmt="", cmap="Blues_r", vmin=1,
        vmax=len(methods) + 2, cbar=False, linewidths=1, ax=ax,
        annot_kws={"fontsize": 8},
    )  # fmt: skip
    ax.set_xticklabels(metrics.values(), rotation=0)
    ax.set_yticklabels([methods[key] for key in there], rotation=0)
    ax.tick_params(length=0)
    return ax


def nothing_yet(ax: Axes, why: str) -> Axes:
    """An empty picture that says why it is empty."""
    ax.text(0.5, 0.5, why, ha="center", va="center", transform=ax.transAxes)
    ax.set_yticks([])
    return ax
