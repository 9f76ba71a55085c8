"""The lesions of a mask of any length: connected, filtered and measured slice by slice.

A lesion is a component connected by faces, as in the evaluation. Two slices are looked
at together, so memory grows with the number of regions and not with that of voxels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from mscf.data.scan import SliceFile


@dataclass(frozen=True)
class Regions:
    """The connected regions of every slice, and which lesion each is a part of.

    Those of slice ``i`` are ``first[i]`` to ``first[i + 1]``, in the order of
    ``scipy.ndimage.label``.
    """

    first: NDArray[np.int64]  # (N + 1,)
    lesion: NDArray[np.int64]  # of each region, from 0
    voxels: NDArray[np.int64]  # of each lesion


@dataclass(frozen=True)
class Lesion:
    """One lesion. Slices count from the lowest, which is 0.

    ``diameter`` is the largest within one axial slice, from outer edge to outer edge
    of its pixels, in the unit of the spacing; ``key_slice`` is that slice.
    """

    number: int  # 1 is the largest
    voxels: int
    first_slice: int
    last_slice: int
    diameter: float
    key_slice: int


def find_regions(mask: SliceFile) -> Regions:
    """The regions of a mask, connected over neighbouring slices."""
    sizes, edges = [np.zeros(0, int)], [np.zeros((0, 2), int)]
    first, before = [0], np.zeros(mask.shape[1:], int)
    for i in range(len(mask)):
        regions, n = label(mask[i])  # four neighbours
        now = np.where(regions > 0, regions + first[-1], 0)  # counted from 1
        both = (before > 0) & (now > 0)
        edges.append(np.unique(np.stack([before[both], now[both]], axis=1), axis=0))
        sizes.append(np.bincount(regions.ravel(), minlength=n + 1)[1:])
        first.append(first[-1] + n)
        before = now
    if not first[-1]:
        return Regions(np.array(first), np.zeros(0, int), np.zeros(0, int))
    below, above = np.concatenate(edges).T - 1
    touching = coo_array((np.ones(len(below)), (below, above)), shape=(first[-1],) * 2)
    lesion = connected_components(touching, directed=False)[1].astype(int)
    voxels = np.bincount(lesion, weights=np.concatenate(sizes)).astype(int)
    return Regions(np.array(first), lesion, voxels)


def largest_first(voxels: NDArray[np.int64], least: float, most: int | None) -> NDArray:
    """Which lesions stay, the largest first: of ``least`` voxels, at ``most`` so many.

    Of equal ones the lower comes first.
    """
    order = np.argsort(-voxels, kind="stable")
    return order[voxels[order] >= least][:most]


def keep(mask: SliceFile, regions: Regions, kept: NDArray[np.int64]) -> None:
    """Clears every lesion of the mask that is not ``kept``."""
    stays = np.isin(regions.lesion, kept)
    for i, (start, end) in enumerate(pairwise(regions.first)):
        if not stays[start:end].all():
            slice_ = mask[i]
            of_region = np.concatenate([[False], stays[start:end]])
            mask[i] = slice_ * of_region[label(slice_)[0]]


def measure(
    mask: SliceFile,
    regions: Regions,
    kept: NDArray[np.int64],
    spacing: tuple[float, float],
) -> list[Lesion]:
    """The ``kept`` lesions in their order; ``mask`` is as it was when they were found.

    ``spacing`` is that of rows and columns.
    """
    seen: dict[int, list[int]] = {lesion: [] for lesion in kept.tolist()}
    widest = dict.fromkeys(seen, (0.0, 0))  # diameter and slice
    for i, (start, end) in enumerate(pairwise(regions.first)):
        labelled = label(mask[i])[0] if end > start else mask[i]
        boxes = find_objects(labelled) if end > start else []
        for n, (lesion, box) in enumerate(
            zip(regions.lesion[start:end].tolist(), boxes, strict=True), start=1
        ):
            if lesion not in seen:
                continue
            seen[lesion].append(i)
            region = labelled[box] == n
            if math.hypot(*np.multiply(region.shape, spacing)) > widest[lesion][0]:
                widest[lesion] = max(widest[lesion], (diameter(region, spacing), i))
    return [
        Lesion(
            number=number,
            voxels=int(regions.voxels[lesion]),
            first_slice=slices[0],
            last_slice=slices[-1],
            diameter=widest[lesion][0],
            key_slice=widest[lesion][1],
        )
        for number, (lesion, slices) in enumerate(seen.items(), start=1)
    ]


def diameter(region: NDArray[np.bool_], spacing: tuple[float, float]) -> float:
    """The largest distance of two corners of the pixels of a region ``(H, W)``.

    Only the ends of its rows can be so far apart.
    """
    rows = np.flatnonzero(region.any(axis=1))
    left = region[rows].argmax(axis=1)
    right = region.shape[1] - region[rows, ::-1].argmax(axis=1)
    corners = [
        np.stack([rows + below, columns], axis=1)
        for columns in (left, right)
        for below in (0, 1)
    ]
    points = np.concatenate(corners) * np.asarray(spacing)
    return float(pdist(points[ConvexHull(points).vertices]).max())
