"""Curves, histograms and comparisons: tables in, the Axes out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch
from matplotlib.ticker import LogFormatter, MaxNLocator
from numpy.typing import ArrayLike, NDArray

from mscf.visualisation.style import INK, MAIN, PALE, SECOND, THIRD

TRAINED, TESTED = "#9ECAE1", SECOND

# Training


def draw_history(ax: Axes, history: pd.DataFrame) -> Axes:
    """Training loss an epoch, the learning rate on an axis of its own, its cuts marked.

    ``history`` has the columns of ``history.csv``: epoch (from 0), loss, learning_rate.
    A cut is drawn between the last epoch of the old rate and the first of the new.
    """
    epochs = history["epoch"] + 1
    cuts = epochs[history["learning_rate"].diff() < 0] - 0.5
    for i, place in enumerate(cuts):
        name = None if i else "rate cut"
        ax.axvline(place, color=SECOND, linewidth=1, linestyle=":", label=name)
    points = "o" if len(history) <= 60 else ""
    ax.plot(epochs, history["loss"], color=MAIN, marker=points, markersize=4)
    if len(cuts):
        ax.legend(loc="upper right")
    ax.set_xlabel("epoch")
    ax.set_ylabel("training loss (cross entropy)", color=MAIN)
    logarithmic(ax)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    rate = ax.twinx()
    rate.step(epochs, history["learning_rate"], color=PALE, where="mid")
    rate.set_ylabel("learning rate", color="#666666")
    rate.set_ylim(0, 1.15 * history["learning_rate"].max())
    rate.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    rate.spines["right"].set_visible(True)
    return ax


def logarithmic(ax: Axes) -> None:
    """The upward axis by its logarithm, with numbers such as 0.02, not 2 x 10^-2."""
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(LogFormatter())
    ax.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.6)))


def draw_dice_comparison(
    ax: Axes, dice: Mapping[str, ArrayLike], pooled: Mapping[str, float]
) -> Axes:
    """Every slice's Dice as a point, their mean as a bar, the pooled Dice as a diamond.

    ``dice`` names the values of the test slices, the first on top; ``pooled`` is one
    Dice over the pixels of all slices together, under the same names.
    """
    for place, (name, values) in enumerate(dice.items()):
        values = np.sort(np.asarray(values, float))
        mean = values.mean()
        ax.barh(place, mean, color=MAIN, alpha=0.35, height=0.62)
        ax.scatter(values, place + spread(len(values)), s=9, color=INK, alpha=0.45)
        ax.scatter(pooled[name], place, marker="D", color=SECOND, s=46, zorder=3)
        ax.text(1.03, place, f"{mean:.2f}", va="center", color=MAIN)
        ax.text(1.14, place, f"{pooled[name]:.2f}", va="center", color=SECOND)
    ax.text(1.03, -0.75, "mean", color=MAIN)
    ax.text(1.14, -0.75, "pooled", color=SECOND)
    ax.set_yticks(range(len(dice)), list(dice))
    ax.set_ylim(len(dice) - 0.5, -0.6)
    ax.set_xlim(-0.01, 1.01)
    ax.set_xlabel("tumour Dice, a point for each test slice")
    return ax


def spread(n: int) -> NDArray[np.float64]:
    """``n`` offsets within +-0.22 that keep neighbours apart, the same every time."""
    return 0.44 * ((np.arange(n) * 0.618034) % 1) - 0.22


# Data


def draw_tumour_shares(ax: Axes, percent: ArrayLike) -> Axes:
    """How many slices have which share of tumour pixels, on a logarithmic axis."""
    percent = np.asarray(percent, float)
    bins = np.geomspace(0.01, 20, 25)
    ax.hist(np.clip(percent, bins[0], bins[-1]), bins, color=MAIN, alpha=0.6)
    for name, value, style in (
        ("mean", percent.mean(), "-"),
        ("median", np.median(percent), "--"),
    ):
        label = f"{name} {value:.2f} %"
        ax.axvline(value, color=SECOND, linestyle=style, label=label)
    ax.set_xscale("log")
    ax.set_xticks([0.01, 0.1, 1, 10], ["0.01", "0.1", "1", "10"])
    ax.set_xlabel("tumour pixels, % of the slice")
    ax.set_ylabel("slices")
    ax.legend()
    return ax


def draw_profile(ax: Axes, labels: NDArray[np.uint8]) -> Axes:
    """Share of liver and tumour in every slice of one volume ``(Z, H, W)``."""
    pixels = labels[0].size
    for name, mask, colour in (
        ("liver with tumour", labels > 0, THIRD),
        ("tumour", labels == 2, SECOND),
    ):
        share = 100 * mask.sum(axis=(1, 2)) / pixels
        ax.fill_between(np.arange(len(share)), share, color=colour, alpha=0.4)
        ax.plot(share, color=colour, label=name)
    ax.set_xlabel("slice, from the feet upwards")
    ax.set_ylabel("% of the slice")
    ax.set_ylim(0, 1.35 * ax.get_ylim()[1])  # room for the legend above the curves
    ax.legend(loc="upper left")
    return ax


# Splits


def has_neighbour(
    index: pd.DataFrame, tested: NDArray[np.int64], trained: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which tested rows of the store lie right beside a trained slice of their scan."""
    place = index[["case", "slice"]].set_axis(np.arange(len(index)))
    known = set(place.iloc[trained].itertuples(index=False, name=None))
    return np.array(
        [
            (case, number - 1) in known or (case, number + 1) in known
            for case, number in place.iloc[tested].itertuples(index=False, name=None)
        ],
        dtype=bool,
    )


def draw_split(ax: Axes, index: pd.DataFrame, tested: NDArray[np.int64]) -> Axes:
    """Every slice of the store as a cell, a row a case: trained pale, tested strong."""
    cases = list(dict.fromkeys(index["case"]))
    width = int(index["slice"].max()) + 1
    cells = np.full((len(cases), width), np.nan)
    rows = index["case"].map({case: i for i, case in enumerate(cases)}).to_numpy()
    is_tested = np.isin(np.arange(len(index)), tested)
    cells[rows, index["slice"].to_numpy()] = is_tested
    ax.imshow(
        cells, aspect="auto", cmap=ListedColormap([TRAINED, TESTED]), vmin=0, vmax=1,
        interpolation="none",
    )  # fmt: skip
    ax.set_yticks(range(len(cases)), cases, fontsize=7)
    ax.set_xlabel("slice")
    return ax


def split_legend() -> list[Patch]:
    """What the colours of ``draw_split`` mean, as handles for a legend."""
    colours = {"trains": TRAINED, "tests": TESTED}
    return [Patch(color=colour, label=name) for name, colour in colours.items()]


# Any list of numbers


def draw_ranked(ax: Axes, values: ArrayLike, even: float) -> Axes:
    """The twelve largest values as bars, and a dashed line at ``even``."""
    largest = np.sort(np.asarray(values, float))[::-1][:12]
    ax.bar(np.arange(1, len(largest) + 1), largest, color=MAIN, alpha=0.6)
    ax.axhline(even, color=SECOND, linestyle="--", linewidth=1)
    ax.set_xlabel("rank")
    ax.set_xticks([1, len(largest)])
    return ax
