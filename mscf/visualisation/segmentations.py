"""Slices of CT with masks on them.

Arrays are ``(H, W)`` with row 0 anterior and column 0 the patient's right, images in
HU. A mask is drawn as the contour at its pixels' border.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from mscf.visualisation.style import (
    FALSE_POSITIVE,
    LIVER,
    LIVER_WINDOW,
    MISS,
    TRUTH,
)

Image = NDArray[np.int16] | NDArray[np.floating]
Mask = NDArray[np.bool_]


def draw_slice(
    ax: Axes,
    hu: Image,
    window: tuple[float, float] = LIVER_WINDOW,
    spacing: tuple[float, float] = (1.0, 1.0),
) -> Axes:
    """One slice, black at the window's lower HU and white at its upper one.

    ``spacing`` is the size of a row and of a column in mm: what is round in the body is
    round in the picture.
    """
    ax.imshow(hu, cmap="gray", vmin=window[0], vmax=window[1])
    ax.set_aspect(spacing[0] / spacing[1])
    ax.set_axis_off()
    return ax


def mark_sides(ax: Axes) -> Axes:
    """R and L at the borders of a slice: the patient's right is on the left."""
    for x, side in ((0.02, "R"), (0.98, "L")):
        ax.text(
            x, 0.5, side, transform=ax.transAxes, color="white", fontsize=8,
            ha="left" if side == "R" else "right", va="center",
            path_effects=[withStroke(linewidth=1.8, foreground="black")],
        )  # fmt: skip
    return ax


def draw_contour(ax: Axes, mask: Mask, colour: str, width: float = 1.2) -> Axes:
    """The border of a mask; nothing where it has none."""
    mask = np.asarray(mask, bool)
    if mask.any():
        # A rim of background closes the border of a mask that touches the edge.
        rows, columns = (np.arange(-1, side + 1) for side in mask.shape)
        padded = np.pad(mask, 1).astype(float)
        ax.contour(columns, rows, padded, [0.5], colors=[colour], linewidths=width)
        ax.set_xlim(-0.5, mask.shape[1] - 0.5)
        ax.set_ylim(mask.shape[0] - 0.5, -0.5)
    return ax


def draw_labels(
    ax: Axes,
    hu: Image,
    labels: NDArray[np.uint8],
    window: tuple[float, float] = LIVER_WINDOW,
    spacing: tuple[float, float] = (1.0, 1.0),
) -> Axes:
    """One slice with the borders of the liver (1 and 2) and of the tumours (2)."""
    draw_slice(ax, hu, window, spacing)
    draw_contour(ax, labels > 0, LIVER)
    return draw_contour(ax, labels == 2, TRUTH)


def draw_errors(
    ax: Axes,
    hu: Image,
    prediction: Mask,
    truth: Mask,
    window: tuple[float, float] = LIVER_WINDOW,
) -> Axes:
    """One slice with the true border, and what the prediction has too much or lacks.

    False positives and misses are filled, so that an empty prediction shows as well.
    """
    prediction, truth = np.asarray(prediction, bool), np.asarray(truth, bool)
    draw_slice(ax, hu, window)
    for wrong, colour in (
        (prediction & ~truth, FALSE_POSITIVE),
        (truth & ~prediction, MISS),
    ):
        if wrong.any():
            ax.imshow(one_colour(wrong, colour))
            draw_contour(ax, wrong, colour, width=0.8)
    return draw_contour(ax, truth, TRUTH)


def one_colour(mask: Mask, colour: str) -> NDArray[np.float64]:
    """``(H, W, 4)``: this colour inside the mask, half transparent, nothing outside."""
    picture = np.zeros((*mask.shape, 4))
    picture[mask] = to_rgba(colour, alpha=0.45)
    return picture


def error_legend() -> list[Line2D]:
    """What the colours of ``draw_errors`` mean, as handles for a legend."""
    return legend(
        {"true border": TRUTH, "false positive": FALSE_POSITIVE, "missed": MISS}
    )


def label_legend() -> list[Line2D]:
    """What the colours of ``draw_labels`` mean, as handles for a legend."""
    return legend({"liver": LIVER, "tumour": TRUTH})


def legend(colours: dict[str, str]) -> list[Line2D]:
    """A line for each name."""
    return [
        Line2D([], [], color=colour, label=name, linewidth=3)
        for name, colour in colours.items()
    ]
