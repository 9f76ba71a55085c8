"""Pictures of the audit: what the paper's table must obey, and where it does not."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from mscf.visualisation.style import INK, MAIN, PALE, SECOND


def draw_f1_check(ax: Axes, check: pd.DataFrame, titles: Mapping[str, str]) -> Axes:
    """The printed F1 minus 2PR / (P + R), in points, and what rounding allows.

    ``check`` is ``audit.f1_from_means``; orange where the two cannot agree.
    """
    places = np.arange(len(check))
    off = check["printed"] - check["computed"]
    reach = check["high"] - check["computed"] + 0.005  # of P and R, and of F1 itself
    ax.hlines(places, -reach, reach, color=PALE, linewidth=7, label="rounding allows")
    colours = np.where(check["fits"], MAIN, SECOND)
    ax.scatter(off, places, c=colours, s=30, zorder=3, label="printed F1")
    ax.set_yticks(places, [titles.get(key, key) for key in check.index])
    ax.invert_yaxis()
    ax.set_xlabel("F1 as printed minus 2PR / (P + R), points")
    ax.legend(loc="upper left")
    return ax


def draw_dice_bounds(ax: Axes, table: pd.DataFrame) -> Axes:
    """Dice against Jaccard of every row, and the curves that means must lie between."""
    j = np.linspace(0.55, 0.8, 60)
    ax.fill_between(100 * j, 100 * j, 200 * j / (1 + j), color=MAIN, alpha=0.12)
    ax.plot(100 * j, 200 * j / (1 + j), color=MAIN, label="2J / (1 + J): pooled counts")
    ax.plot(100 * j, 100 * j, color=PALE, label="J")
    ax.scatter(table["jaccard"], table["dice"], color=INK, s=22, zorder=3, label="rows")
    ax.set_xlabel("mean Jaccard, %")
    ax.set_ylabel("mean Dice, %")
    ax.legend()
    return ax


def draw_missed_slices(
    ax: Axes, missed: pd.DataFrame, titles: Mapping[str, str]
) -> Axes:
    """Slices that explain a row's gap to Ours by Hausdorff distance and by recall.

    ``missed`` is ``audit.missed_slices``.
    """
    places = np.arange(len(missed))
    ax.hlines(places, missed["hd"], missed["recall"], color=PALE, linewidth=1.5)
    for name, colour, label in (
        ("hd", SECOND, "would explain the gap in HD"),
        ("recall", MAIN, "would explain the gap in recall"),
    ):
        ax.scatter(missed[name], places, color=colour, s=34, zorder=3, label=label)
    ax.set_yticks(places, [titles.get(key, key) for key in missed.index])
    ax.invert_yaxis()
    ax.set_xlim(0)
    ax.set_xlabel("slices missed altogether, more than Ours misses, of 1,438")
    ax.legend()
    return ax


def draw_readings(ax: Axes, percent: Mapping[str, float], printed: float) -> Axes:
    """Readings of one printed percentage, blue where two decimals give the print."""
    names = list(percent)
    values = np.array(list(percent.values()))
    agrees = np.array([f"{value:.2f}" == f"{printed:.2f}" for value in values])
    places = np.arange(len(names))
    ax.axvline(printed, color=SECOND, linestyle="--", linewidth=1)
    ax.scatter(values, places, c=np.where(agrees, MAIN, PALE), s=34, zorder=3)
    for place, value in enumerate(values):
        side, shift = ("right", 0.93) if value < printed - 0.005 else ("left", 1.07)
        ax.text(value * shift, place, f"{value:.3f}", va="center", ha=side, fontsize=8)
    ax.set_yticks(places, names)
    ax.set_xscale("log")
    ax.set_xlim(0.15, 5)  # room for the number left of the smallest
    ax.set_xticks([0.2, 0.37, 1, 2, 4], ["0.2", "0.37", "1", "2", "4"])
    ax.minorticks_off()
    ax.invert_yaxis()
    ax.set_xlabel("parameters added, % of the base")
    return ax
