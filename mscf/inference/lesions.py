"""The lesions of a mask of any length: connected and filtered slice by slice.

A lesion is a component connected by faces, as in the evaluation. Two slices are looked
at together, so memory grows with the number of regions and not with that of voxels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

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

    def numbers(self, i: int) -> NDArray[np.int64]:
        """By label in slice ``i`` the lesion's number, from 1; 0 for the background."""
        return np.concatenate([[0], self.lesion[self.first[i] : self.first[i + 1]] + 1])


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


def keep(mask: SliceFile, regions: Regions, kept: NDArray[np.int64]) -> Regions:
    """Clears every lesion of the mask that is not ``kept``; the regions of the others.

    Their lesions are those of ``kept``, in its order.
    """
    place = np.full(len(regions.voxels), -1)
    place[kept] = np.arange(len(kept))
    lesion = place[regions.lesion]
    stays = lesion >= 0
    for i, (start, end) in enumerate(pairwise(regions.first)):
        if not stays[start:end].all():
            slice_ = mask[i]
            of_region = np.concatenate([[False], stays[start:end]])
            mask[i] = slice_ * of_region[label(slice_)[0]]
    first = np.concatenate([[0], stays.cumsum()])[regions.first]
    return Regions(first, lesion[stays], regions.voxels[kept])


def numbers_in(mask: SliceFile, regions: Regions, i: int) -> NDArray[np.int64]:
    """Slice ``i`` as ``(H, W)``: a lesion's number, from 1, where it is; else 0."""
    return regions.numbers(i)[label(mask[i])[0]]
