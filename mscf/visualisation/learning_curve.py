"""Dice over the number of patients that a network was trained on."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes

from mscf.visualisation.style import MAIN, PALE


def draw_learning_curve(
    ax: Axes, rows: pd.DataFrame, table: pd.DataFrame, trained_on: Mapping[str, int]
) -> Axes:
    """The mean over slices with its interval, and behind it a line a test patient.

    ``rows`` are of ``per_slice.csv``; ``table`` has a row a method with ``dice,
    dice_low, dice_high``; ``trained_on`` are the patients of each. One step to the
    right is twice the patients.
    """
    rows = rows.assign(trained_on=rows["method"].map(trained_on))
    of_patients = rows.groupby(["trained_on", "patient"])["dice"].mean().unstack()
    ax.plot(of_patients, color=PALE, linewidth=1, marker="o", markersize=3)
    table = table.loc[sorted(table.index, key=trained_on.__getitem__)]
    sizes = [trained_on[method] for method in table.index]
    ax.vlines(sizes, table["dice_low"], table["dice_high"], color=MAIN, linewidth=2)
    ax.plot(sizes, table["dice"], color=MAIN, linewidth=2, marker="D")
    ax.set_xscale("log", base=2)
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.set_ylim(0, 1)
    ax.set_xlabel("patients trained on")
    ax.set_ylabel("mean tumour Dice")
    return ax
