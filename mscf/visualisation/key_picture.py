"""A lesion in the slice in which it is largest, as SVG that stands in a page.

The slice is a picture within it, in its own pixels; borders, callipers and the scale
bar are lines, sharp on any screen and paper.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from mscf.visualisation.embedded import as_address, grey_png
from mscf.visualisation.segmentations import Image
from mscf.visualisation.style import FALSE_POSITIVE, LIVER_WINDOW, MISS

Places = NDArray[np.float64]  # (n, 2) row and column; the first pixel's centre: 0, 0
FIELD = 60.0  # mm or pixels: at least so much is shown
MARGIN = 1.6  # of the lesion's own extent
BARS = (1, 2, 5, 10, 20, 50, 100, 200)  # lengths that a scale bar may have
RIM = 'paint-order="stroke" stroke="black" stroke-linejoin="round"'


@dataclass(frozen=True)
class Window:
    """The part of a slice that is shown, in pixels, and how large these are."""

    top: int
    left: int
    rows: int
    columns: int
    spacing: tuple[float, float]  # of rows and columns, mm or 1 pixel

    @property
    def height(self) -> float:
        """In the unit of the spacing."""
        return self.rows * self.spacing[0]

    @property
    def width(self) -> float:
        """In the unit of the spacing."""
        return self.columns * self.spacing[1]

    def points(self, places: Places) -> str:
        """Places of the slice as SVG's x,y."""
        at = (places - (self.top, self.left) + 0.5) * self.spacing
        return " ".join(f"{x:.2f},{y:.2f}" for y, x in at)


def window_around(
    lines: Sequence[Places], shape: tuple[int, int], spacing: tuple[float, float]
) -> Window:
    """A square around closed lines, moved into the slice and no larger than it."""
    places = np.concatenate(lines)
    low, high = places.min(axis=0), places.max(axis=0)
    side = max(FIELD, MARGIN * float(((high - low) * spacing).max()))
    size = np.minimum(np.ceil(side / np.array(spacing)), shape).astype(int)
    start = np.clip(np.round((low + high - size + 1) / 2), 0, shape - size).astype(int)
    return Window(*start.tolist(), *size.tolist(), spacing)


def key_picture(
    hu: Image,
    lesion: Sequence[Places],
    spacing: tuple[float, float],
    unit: str,
    description: str,
    others: Iterable[Places] = (),
    callipers: Iterable[Places] = (),
    sides: bool = True,
) -> str:
    """SVG of the part of a slice ``(H, W)`` around a lesion.

    ``lesion`` and ``others`` are closed lines, ``callipers`` pairs of ends; ``unit`` is
    that of the spacing. ``description`` is for who does not see the picture, in HTML.
    With ``sides`` an R says that the patient's right is left.
    """
    shown = window_around(lesion, hu.shape, spacing)
    width, height = shown.width, shown.height
    part = hu[shown.top :, shown.left :][: shown.rows, : shown.columns]
    png = grey_png(part, LIVER_WINDOW)
    size = max(width, height) / 17  # of letters
    drawn = [
        f'<svg class="key" viewBox="0 0 {width:.2f} {height:.2f}" role="img" '
        f'aria-label="{description}">',
        f'<image width="{width:.2f}" height="{height:.2f}" '
        f'preserveAspectRatio="none" href="{as_address(png)}"/>',
        *(outline(shown, line, MISS, ' stroke-dasharray="3 2"') for line in others),
        *(outline(shown, line, FALSE_POSITIVE) for line in lesion),
        *(calliper(shown, ends) for ends in callipers),
        scale_bar(shown, unit, size),
    ]
    if sides:
        drawn.append(words(0.4 * size, height / 2, "R", size, "start"))
    return "\n".join([*drawn, "</svg>"])


def outline(shown: Window, line: Places, colour: str, dashes: str = "") -> str:
    """A closed line, as thin at any size."""
    return (
        f'<polygon points="{shown.points(line)}" fill="none" stroke="{colour}" '
        f'stroke-width="1.5"{dashes} vector-effect="non-scaling-stroke"/>'
    )


def calliper(shown: Window, ends: Places) -> str:
    """A straight line from end to end."""
    return (
        f'<polyline points="{shown.points(ends)}" stroke="white" '
        'stroke-width="1" vector-effect="non-scaling-stroke"/>'
    )


def scale_bar(shown: Window, unit: str, size: float) -> str:
    """A bar of a round length in the lower right corner, its length over it."""
    length = max(bar for bar in BARS if bar <= max(shown.width / 3, BARS[0]))
    x, y = shown.width - size, shown.height - 0.8 * size
    return (
        f'<path d="M{x:.2f},{y:.2f} h-{length} v{0.22 * size:.2f} h{length} z" '
        f'fill="white" {RIM} stroke-width="{0.12 * size:.2f}"/>'
        + words(x - length / 2, y - 0.4 * size, f"{length} {unit}", size, "middle")
    )


def words(x: float, y: float, text: str, size: float, anchor: str) -> str:
    """White letters with a dark rim, readable on any grey."""
    return (
        f'<text x="{x:.2f}" y="{y:.2f}" font-size="{size:.2f}" '
        f'text-anchor="{anchor}" fill="white" {RIM} '
        f'stroke-width="{0.2 * size:.2f}">{escape(text)}</text>'
    )
