"""Distances between two masks: all pixels, boundary pixels, image corners.

Masks are boolean arrays of two or three axes on one grid, a point is a pixel's
centre, ``spacing`` the distance of two centres along each axis. With spacing 1 every
distance is the correctly rounded root of an integer, whichever way it was found.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from mscf.evaluation.masks import Mask

Box = tuple[slice, ...]


def joint_box(a: Mask, b: Mask) -> Box:
    """The smallest box around both masks; no points if both are empty.

    It holds every point that is asked about and every possible nearest one, so
    distances inside the box are those of the whole image.
    """
    union = a | b
    ranges = []
    for axis in range(union.ndim):
        others = tuple(i for i in range(union.ndim) if i != axis)
        used = np.flatnonzero(union.any(axis=others))
        ranges.append(slice(used[0], used[-1] + 1) if used.size else slice(0, 0))
    return tuple(ranges)


def boundary(mask: Mask) -> Mask:
    """Pixels with an edge (3-D: face) neighbour outside the mask or the image."""
    padded, inner = np.pad(mask, 1), mask.copy()
    here = [slice(1, -1)] * mask.ndim
    for axis, side in enumerate(mask.shape):  # thrice as fast as binary_erosion
        for start in (0, 2):
            neighbours = list(here)
            neighbours[axis] = slice(start, start + side)
            inner &= padded[tuple(neighbours)]
    return mask ^ inner


def hausdorff(a: Mask, b: Mask, spacing: Sequence[float]) -> float:
    """The largest of all nearest-pixel distances of two masks that are not empty.

    A pixel of both is at distance 0. For one of ``a`` alone the nearest pixel of ``b``
    lies on the boundary of ``b``: one step towards the query would else be nearer.
    """
    return max(
        nearest(a & ~b, boundary(b), spacing).max(initial=0.0),
        nearest(b & ~a, boundary(a), spacing).max(initial=0.0),
    )


def surface_distances(
    a: Mask, b: Mask, spacing: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """From every boundary pixel of ``a`` to the boundary of ``b``, and the reverse."""
    edge_a, edge_b = boundary(a), boundary(b)
    return nearest(edge_a, edge_b, spacing), nearest(edge_b, edge_a, spacing)


def nearest(
    queries: Mask, targets: Mask, spacing: Sequence[float]
) -> NDArray[np.float64]:
    """From every pixel of ``queries`` to the nearest of ``targets``, which has some.

    Three ways to one number. A distance transform costs by the box and wins when the
    masks fill it, as an untrained network's do; the table of all pairs wins when they
    are few, as for most lesions; the tree takes the rest. The limits were measured.
    """
    n_queries, n_targets = np.count_nonzero(queries), np.count_nonzero(targets)
    if queries.size > 4_000 and 6 * (n_queries + n_targets) > queries.size:
        return distance_transform_edt(~targets, sampling=spacing)[queries]
    query_points, target_points = points(queries, spacing), points(targets, spacing)
    if n_queries * n_targets <= 60_000:
        pairs = cdist(query_points, target_points, "sqeuclidean")
        return np.sqrt(pairs.min(axis=1))
    return cKDTree(target_points).query(query_points)[0]


def points(mask: Mask, spacing: Sequence[float]) -> NDArray[np.float64]:
    """Where the pixels of a mask lie, ``(number, axes)`` in the unit of ``spacing``.

    By flat numbers: of a mask of two axes they are found far sooner than its pairs.
    """
    indices = np.unravel_index(np.flatnonzero(mask), mask.shape)
    return np.stack(indices, axis=1) * np.asarray(spacing)


def farthest_corner(
    mask: Mask, box: Box, shape: Sequence[int], spacing: Sequence[float]
) -> float:
    """The largest distance from a pixel of the mask to a corner pixel of the image.

    ``mask`` is the part in ``box`` of an image of ``shape``. The farthest corner is
    the farther end on every axis by itself.
    """
    squared = np.zeros(np.count_nonzero(mask))
    axes = zip(np.nonzero(mask), box, shape, spacing, strict=True)
    for used, part, side, step in axes:
        position = used + part.start
        squared += (np.maximum(position, side - 1 - position) * step) ** 2
    return float(np.sqrt(squared.max()))
