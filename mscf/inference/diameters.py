"""The two diameters of a lesion in a slice, as they are read with callipers.

RECIST 1.1 takes the longest diameter in the axial plane; WHO's criteria multiply it by
the longest one at right angles to it in the same slice. Both are taken here from the
outline half way between the centres of a region's pixels and of those outside, which
the key pictures draw as well: a row of n pixels is n pixels long, and no corner of a
pixel adds to a slanted line. Both ends lie on the outline; where a region is bent, the
line between them may leave it.

A place is (row, column), the centre of the first pixel at (0, 0).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from contourpy import contour_generator
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from scipy.spatial.distance import cdist

Places = NDArray[np.float64]  # (n, 2)
AT_ONCE = 256  # places that lines across are drawn at: bounds the memory


@dataclass(frozen=True)
class Diameters:
    """Lengths in the unit of the spacing; ends ``(2, 2)`` in pixels of the slice."""

    longest: float
    perpendicular: float
    longest_ends: Places
    perpendicular_ends: Places


def diameters(region: NDArray[np.bool_], spacing: tuple[float, float]) -> Diameters:
    """Of one connected region ``(H, W)``; ``spacing`` of rows and of columns.

    The longest is the largest distance of two points of the outline, the perpendicular
    the largest of two points of it whose line is at right angles to the longest.
    """
    line = min(outline(region), key=lambda line: line[:, 0].min()) * spacing  # no hole
    first, last = farthest(line)
    longest = np.linalg.norm(last - first)
    along = (last - first) / longest
    turn = np.stack([along, (-along[1], along[0])], axis=1)  # to along and across
    across = longest_across(line @ turn) @ turn.T
    return Diameters(
        longest=float(longest),
        perpendicular=float(np.linalg.norm(across[1] - across[0])),
        longest_ends=np.stack([first, last]) / spacing,
        perpendicular_ends=across / spacing,
    )


def outline(region: NDArray[np.bool_]) -> list[Places]:
    """The closed lines round a region and its holes."""
    padded = np.pad(region, 1).astype(float)
    lines = contour_generator(z=padded).lines(0.5)  # of columns and rows
    return [line[:, ::-1] - 1 for line in lines]


def farthest(points: Places) -> Places:
    """The two ``(2, 2)`` that are farthest apart; they are on the convex hull."""
    hull = points[ConvexHull(points).vertices]
    apart = cdist(hull, hull)
    return hull[list(np.unravel_index(apart.argmax(), apart.shape))]


def longest_across(line: Places) -> Places:
    """The ends ``(2, 2)`` of what is longest along the second axis in a closed line.

    From one corner to the next on the first axis the extent along the second changes
    evenly, so it is largest at a corner.
    """
    starts, ends = line[:-1], line[1:]
    turned = (starts[:, 0] > ends[:, 0])[:, None]
    left, right = np.where(turned, ends, starts), np.where(turned, starts, ends)
    # An edge that runs across adds nothing: its ends are those of others.
    slanted = left[:, 0] < right[:, 0]
    left, right = left[slanted], right[slanted]
    corners = np.unique(np.concatenate([left[:, 0], right[:, 0]]))
    found = [
        extents(left, right, corners[i : i + AT_ONCE])
        for i in range(0, len(corners), AT_ONCE)
    ]
    lowest, highest = np.concatenate(found, axis=1)
    best = (highest - lowest).argmax()
    return np.array([[corners[best], lowest[best]], [corners[best], highest[best]]])


def extents(left: Places, right: Places, at: NDArray[np.float64]) -> Places:
    """Lowest and highest second coordinate ``(2, n)`` of edges at rising first ones."""
    begin = np.searchsorted(at, left[:, 0])
    n = np.searchsorted(at, right[:, 0], "right") - begin  # places that an edge passes
    edge = np.repeat(np.arange(len(n)), n)
    place = np.arange(len(edge)) + np.repeat(begin - (n.cumsum() - n), n)
    run, rise = (right - left)[edge].T
    height = left[edge, 1] + rise * (at[place] - left[edge, 0]) / run
    lowest, highest = np.full(len(at), np.inf), np.full(len(at), -np.inf)
    np.minimum.at(lowest, place, height)
    np.maximum.at(highest, place, height)
    return np.stack([lowest, highest])
