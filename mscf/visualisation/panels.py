"""Fig. 4: one slice as several methods drew it, side by side and cropped alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import matplotlib.patheffects as effects
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mscf.visualisation.segmentations import (
    Image,
    Mask,
    draw_contour,
    draw_errors,
    draw_slice,
)
from mscf.visualisation.style import TRUTH

LEAST, MARGIN = 1 / 3, 1.6  # of the slice's shorter side; of the tumour's box
IN_A_ROW = 4  # panels, at most

Box = tuple[slice, slice]  # rows, columns


def region_of(truth: Mask) -> Box:
    """A square around the tumour ``(H, W)``, moved into the slice where it sticks out.

    `MARGIN` times as wide as the tumour's bounding box, at least the share `LEAST` of
    the slice's shorter side. It depends on the truth alone, so that every method is
    cropped alike.

    Raises:
        ValueError: no pixel is tumour.
    """
    found = np.argwhere(truth)
    if not len(found):
        raise ValueError("a slice without tumour has no region to crop")
    low, high = found.min(axis=0), found.max(axis=0) + 1
    side = max(MARGIN * (high - low).max(), LEAST * min(truth.shape))
    side = min(int(np.ceil(side)), *truth.shape)
    start = np.clip((low + high - side) // 2, 0, np.array(truth.shape) - side)
    return slice(start[0], start[0] + side), slice(start[1], start[1] + side)


def draw_truth(ax: Axes, hu: Image, truth: Mask, name: str = "") -> Axes:
    """The region around the tumour with its border, named in the corner."""
    box = region_of(truth)
    draw_slice(ax, hu[box])
    draw_contour(ax, truth[box], TRUTH)
    write(ax, 0.04, 0.97, name, va="top", ha="left", fontsize=6)
    return ax


def draw_panel(ax: Axes, hu: Image, prediction: Mask, truth: Mask, dice: float) -> Axes:
    """The same region with one method's errors, its Dice, and what lies outside.

    All masks are ``(H, W)`` of the whole slice, and ``dice`` is that of the whole
    slice: false positives beyond the region are counted in the corner.
    """
    box = region_of(truth)
    draw_errors(ax, hu[box], prediction[box], truth[box])
    write(ax, 0.04, 0.03, f"{dice:.2f}", va="bottom", ha="left", fontsize=9)
    outside = int(prediction.sum() - prediction[box].sum())
    if outside:
        write(ax, 0.96, 0.97, f"+{outside} px", va="top", ha="right", fontsize=7)
    return ax


def draw_row(
    axes: Iterable[Axes],
    hu: Image,
    truth: Mask,
    masks: Mapping[str, Mask],
    dice: Mapping[str, float],
    name: str = "",
    titles: Sequence[str] = (),
) -> list[Axes]:
    """One slice in as many axes: the truth, then every method; the rest stay empty.

    ``name`` is that of the slice, ``titles`` those of the axes.
    """
    axes = list(axes)
    for ax in axes:
        ax.set_axis_off()
    draw_truth(axes[0], hu, truth, name)
    for ax, (method, mask) in zip(axes[1:], masks.items(), strict=False):
        draw_panel(ax, hu, mask, truth, dice[method])
    for ax, title in zip(axes, titles, strict=False):
        ax.set_title(title, fontsize=9)
    return axes


def name_row(ax: Axes, name: str) -> None:
    """The name of a row of panels, upright beside its first."""
    ax.text(
        -0.06, 0.5, name, rotation=90, ha="right", va="center", fontsize=9,
        transform=ax.transAxes,
    )  # fmt: skip


def panel_axes(
    rows: int, columns: int, side: float = 1.8
) -> tuple[Figure, NDArray[np.object_]]:
    """A figure of square panels, ``side`` inches each, however many there are.

    A line above and a legend below have their room; the axes are ``(rows, columns)``.
    """
    size = max(columns * side, 4.2), rows * side + 0.8
    return plt.subplots(rows, columns, figsize=size, dpi=150, squeeze=False)


def rows_of_panels(n: int) -> tuple[int, int]:
    """Rows and columns that hold ``n`` panels."""
    return -(-n // IN_A_ROW), min(n, IN_A_ROW)


def write(ax: Axes, x: float, y: float, text: str, **where: object) -> None:
    """White words with a dark rim, readable on any grey; in shares of the panel."""
    style = {"fontsize": 7, "color": "white", "weight": "bold"} | where
    ax.text(
        x, y, text, transform=ax.transAxes,
        path_effects=[effects.withStroke(linewidth=1.8, foreground="black")], **style,
    )  # fmt: skip
