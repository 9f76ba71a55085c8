"""What stands on both sides of a split, and who may be one person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from mscf.visualisation.segmentations import draw_contour, draw_slice
from mscf.visualisation.style import FALSE_POSITIVE, INK, MAIN, PALE, SECOND, TRUTH

SPLIT_COLOURS = {"slice": SECOND, "patient": MAIN}


def draw_copied(
    ax: Axes, hu: NDArray[np.int16], own: NDArray, truth: NDArray, dice: float
) -> Axes:
    """A training slice with its own tumour, which is copied, and the true one over it.

    ``own`` and ``truth`` are masks of the training and of the test slice.
    """
    draw_slice(ax, hu)
    draw_contour(ax, own, FALSE_POSITIVE)
    draw_contour(ax, truth, TRUTH, width=0.8)
    ax.set_title(f"Dice {dice:.2f}")
    return ax


def draw_under_splits(ax: Axes, table: pd.DataFrame, titles: Mapping[str, str]) -> Axes:
    """Mean Dice with its interval, a row a method and a colour a split.

    ``table`` has the columns ``method, split, dice, dice_low, dice_high``.
    """
    methods = list(dict.fromkeys(table["method"]))
    apart = 0.14 if table["split"].nunique() > 1 else 0
    for split, of_split in table.groupby("split", sort=False):
        places = [methods.index(name) for name in of_split["method"]]
        places = np.array(places) + (apart if split == "patient" else -apart)
        ends = of_split[["dice_low", "dice_high"]].to_numpy(float).T
        colour = SPLIT_COLOURS[split]
        ax.hlines(places, *ends, color=colour, linewidth=2)
        ax.scatter(
            of_split["dice"], places, color=colour, zorder=3, label=f"split by {split}"
        )
        for place, dice in zip(places, of_split["dice"], strict=True):
            ax.text(1.03, place, f"{dice:.2f}", color=colour, va="center")
    ax.set_yticks(range(len(methods)), [titles.get(name, name) for name in methods])
    ax.set_ylim(len(methods) - 0.5, -0.5)
    ax.set_xlim(-0.01, 1.01)
    ax.set_xlabel("mean tumour Dice, 95 % interval over patients")
    return ax


def draw_likeness(ax: Axes, table: pd.DataFrame, called_from: float) -> Axes:
    """Scores of all pairs as a histogram, those told to be one person as marks.

    ``table`` is that of `mscf.data.persons.look_alikes`; a dashed line stands at the
    score from which pairs are called.
    """
    two, one = table[~table["told"]], table[table["told"]]
    bins = np.arange(0, 1.01, 0.04)
    label = f"{len(two)} pairs of two persons"
    counts, _, _ = ax.hist(two["score"], bins, color=PALE, alpha=0.6, label=label)
    height = np.full(len(one), counts.max() / 12)
    ax.scatter(
        one["score"], height, marker="v", s=60, color=SECOND, alpha=0.7, zorder=3,
        label=f"{len(one)} pairs of one person",
    )  # fmt: skip
    ax.axvline(called_from, color=INK, linestyle="--", linewidth=1)
    ax.text(
        called_from - 0.01, counts.max(), "called from here on", va="top", ha="right"
    )
    ax.set_xlabel("likeness of the two spines (correlation of the best run)")
    ax.set_ylabel("pairs of cases")
    ax.set_xlim(0, 1)
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    return ax


def most_tumour(
    index: pd.DataFrame, rows: Sequence[int] | NDArray[np.int64], n: int
) -> NDArray[np.int64]:
    """Of each case the row of the store with most tumour, of at most ``n`` cases."""
    of_case = index.loc[np.asarray(rows)].groupby("case", sort=False)
    return of_case["stored_tumour_px"].idxmax().to_numpy()[:n]
