"""What stands on both sides of a split, and who may be one person."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from mscf.visualisation.segmentations import draw_contour, draw_slice
from mscf.visualisation.style import FALSE_POSITIVE, INK, PALE, SECOND, TRUTH


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
