"""A data set in pictures: tissues, lesions, spacing, and a slice of every case."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullLocator

from mscf.visualisation.methods import nothing_yet
from mscf.visualisation.style import INK, MAIN, PALE, SECOND, THIRD

DIAMETERS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200)  # mm
TISSUE_COLOURS = {"body": PALE, "liver": THIRD, "tumour": SECOND}


def draw_tissues(ax: Axes, voxels: pd.DataFrame) -> Axes:
    """Share of each tissue's voxels by HU, from counts: a row a bin, a column a tissue.

    The index holds the lower ends of bins of equal width; voxels beyond them are not
    counted.
    """
    width = voxels.index[1] - voxels.index[0]
    low, high = voxels.index[0], voxels.index[-1] + width
    share = (100 * voxels / voxels.sum()).rename_axis("hu").reset_index()
    bins = [*share["hu"], share["hu"].max() + width]
    for tissue, colour in TISSUE_COLOURS.items():
        sns.histplot(
            share, x="hu", weights=tissue, bins=bins, element="step", alpha=0.15,
            color=colour, ax=ax, label=tissue,
        )  # fmt: skip
    ax.set_xlabel("HU")
    ax.set_ylabel(f"% of its voxels from {low:g} to {high:g},\nin {width:g} HU")
    ax.legend()
    return ax


def draw_sizes(ax: Axes, lesions: pd.DataFrame) -> Axes:
    """How many lesions of known size have which diameter, on a logarithmic axis."""
    if lesions["diameter_mm"].isna().all():
        return without_spacing(ax)
    sns.histplot(
        lesions, x="diameter_mm", log_scale=True, bins=14, color=MAIN, alpha=0.6, ax=ax
    )
    known = lesions["diameter_mm"].dropna()
    ax.axvline(known.median(), color=SECOND, linestyle="--")
    title = f"{len(known)} lesions, median {known.median():.0f} mm"
    ax.set_title(title, color=SECOND)
    mark_diameters(ax)
    ax.set_ylabel("lesions")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


def draw_contrast(ax: Axes, lesions: pd.DataFrame) -> Axes:
    """Each lesion's mean HU less that of its liver, against its diameter."""
    if lesions["diameter_mm"].isna().all():
        return without_spacing(ax)
    sns.scatterplot(
        lesions, x="diameter_mm", y="contrast_hu", color=MAIN, alpha=0.7, s=28, ax=ax
    )
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.set_xscale("log")
    mark_diameters(ax)
    ax.set_ylabel("contrast to the liver, HU")
    return ax


def without_spacing(ax: Axes) -> Axes:
    """A sentence instead of an empty frame."""
    return nothing_yet(ax, "no case says\nits spacing")


def mark_diameters(ax: Axes) -> None:
    """Round numbers on a logarithmic axis of diameters, as far as it goes."""
    low, high = ax.get_xlim()
    ax.set_xticks([mm for mm in DIAMETERS if low <= mm <= high])
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("diameter, mm")


def draw_numbers(ax: Axes, cases: pd.DataFrame, column: str, words: str) -> Axes:
    """How many cases have which number in ``column``, named by ``words``."""
    sns.histplot(
        cases, x=column, discrete=cases[column].nunique() < 12, color=MAIN, alpha=0.6,
        ax=ax,
    )  # fmt: skip
    ax.set_xlabel(words)
    ax.set_ylabel("cases")
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


def draw_spacing(ax: Axes, cases: pd.DataFrame) -> Axes:
    """Pixel against slice thickness in mm, a point a case, larger with more slices."""
    if cases["pixel_mm"].isna().all():
        return without_spacing(ax)
    sns.scatterplot(
        cases, x="pixel_mm", y="thickness_mm", size="slices", sizes=(20, 110),
        color=MAIN, alpha=0.6, legend=False, ax=ax,  # it would lie on the points
    )  # fmt: skip
    ax.set_xlabel("pixel, mm")
    ax.set_ylabel("distance of slices, mm")
    ax.set_ylim(0)
    return ax


def hide_rest(axes: Sequence[Axes]) -> None:
    """No frame where there is no picture."""
    for ax in axes:
        if not ax.has_data():
            ax.set_axis_off()
