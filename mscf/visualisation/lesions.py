"""Predicted lesions on slices, and how their area runs along the body.

Arrays are ``(H, W)`` with row 0 anterior and column 0 the patient's right, in HU.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from mscf.visualisation.segmentations import (
    Image,
    Mask,
    draw_contour,
    draw_slice,
    legend,
)
from mscf.visualisation.style import FALSE_POSITIVE, INK, MAIN, PALE, TRUTH


def draw_lesion_slice(
    ax: Axes,
    hu: Image,
    mask: Mask,
    aspect: float = 1.0,
    truth: Mask | None = None,
) -> Axes:
    """One slice with the border of what was predicted, cut to the body.

    ``aspect`` is the height of a pixel over its width; the border of the ``truth`` is
    drawn below that of the prediction.
    """
    rows, columns = body(hu)
    draw_slice(ax, hu)
    if truth is not None:
        draw_contour(ax, truth, TRUTH, width=1.6)
    draw_contour(ax, mask, FALSE_POSITIVE, width=1.0)
    ax.set_aspect(aspect)
    ax.set_xlim(columns[0] - 0.5, columns[1] + 0.5)
    ax.set_ylim(rows[1] + 0.5, rows[0] - 0.5)
    return ax


def border_legend() -> list[Line2D]:
    """What the colours of ``draw_lesion_slice`` mean, as handles for a legend."""
    return legend({"predicted": FALSE_POSITIVE, "your label": TRUTH})


def body(hu: Image) -> tuple[tuple[int, int], tuple[int, int]]:
    """First and last row and column above air; the whole slice where nothing is."""
    above = np.asarray(hu) > -300
    ends = []
    for axis, side in ((1, above.shape[0]), (0, above.shape[1])):
        used = np.flatnonzero(above.any(axis=axis))
        ends.append((int(used[0]), int(used[-1])) if used.size else (0, side - 1))
    return ends[0], ends[1]


def draw_areas(
    ax: Axes, areas: NDArray[np.floating], shown: Sequence[int], unit: str
) -> Axes:
    """The area of each slice, the lowest slice at the left; ``shown`` ones marked."""
    ax.stairs(areas, np.arange(len(areas) + 1) - 0.5, fill=True, color=MAIN)
    for i in shown:
        ax.axvline(i, color=PALE, linewidth=0.8, linestyle=":")
    ax.set_xlim(-0.5, len(areas) - 0.5)
    ax.set_ylim(0, max(1.05 * float(areas.max()), 1e-9))
    ax.set_xlabel("slice, counted from the lowest", fontsize=8, color=INK)
    ax.set_ylabel(f"tumour, {unit}", fontsize=8, color=INK)
    ax.tick_params(labelsize=8)
    return ax
