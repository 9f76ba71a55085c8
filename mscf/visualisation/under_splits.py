"""Means and differences of methods with their intervals, a colour a split."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from mscf.visualisation.style import INK, MAIN, SECOND

COLOURS = {"slice": SECOND, "patient": MAIN}


def draw_under_splits(ax: Axes, table: pd.DataFrame, titles: Mapping[str, str]) -> Axes:
    """Mean Dice with its interval, a row a method and a colour a split.

    ``table`` has the columns ``method, split, dice, dice_low, dice_high``.
    """
    shown = table.rename(columns={"dice_low": "low", "dice_high": "high"})
    draw_intervals(ax, shown, "method", "dice", titles, "{:.2f}")
    ax.set_xlim(-0.01, 1.01)
    ax.set_xlabel("mean tumour Dice, 95 % interval over patients")
    return ax


def draw_differences_under_splits(
    ax: Axes, table: pd.DataFrame, titles: Mapping[str, str]
) -> Axes:
    """Ours minus each other in percentage points, a row an other and a colour a split.

    ``table`` has the columns ``baseline, split, difference, low, high``, fractions.
    Right of the dashed line Ours has more.
    """
    ax.axvline(0, color=INK, linestyle="--", linewidth=1)
    draw_intervals(ax, table, "baseline", "difference", titles, "{:+.1%}")
    ax.xaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    ax.set_xlabel("Dice, Ours minus the other, percentage points")
    return ax


def draw_intervals(
    ax: Axes,
    table: pd.DataFrame,
    row: str,
    value: str,
    titles: Mapping[str, str],
    form: str,
) -> Axes:
    """``value`` as a point between ``low`` and ``high``, its number at the right."""
    names = list(dict.fromkeys(table[row]))
    apart = 0.14 if table["split"].nunique() > 1 else 0
    for split, of_split in table.groupby("split", sort=False):
        places = [names.index(name) for name in of_split[row]]
        places = np.array(places) + (apart if split == "patient" else -apart)
        ends = of_split[["low", "high"]].to_numpy(float).T
        colour = COLOURS[split]
        ax.hlines(places, *ends, color=colour, linewidth=2)
        ax.scatter(
            of_split[value], places, color=colour, zorder=3, label=f"split by {split}"
        )
        for place, number in zip(places, of_split[value], strict=True):
            text = form.format(number).removesuffix("%")
            text = "0.0" if text in ("-0.0", "+0.0") else text
            ax.text(
                1.02, place, text, color=colour, va="center",
                transform=ax.get_yaxis_transform(),
            )  # fmt: skip
    ax.set_yticks(range(len(names)), [titles.get(name, name) for name in names])
    ax.set_ylim(len(names) - 0.5, -0.5)
    return ax
