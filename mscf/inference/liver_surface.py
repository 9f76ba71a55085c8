"""How deep in the liver a lesion lies: the way from its border to the liver's surface.

Both borders are the faces between voxels inside and outside, and the distance is the
smallest of two of their centres: 0 where the lesion reaches the surface. Holes of the
mask within a slice (vessels) are no surface, and the end of the scan is none either.

Faces are looked at a slab of slices against another, the nearest first, until no other
can be nearer: memory does not grow with the number of slices.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label
from scipy.spatial import KDTree
from tqdm import tqdm

from mscf.data.scan import SliceFile
from mscf.inference.lesions import Regions, numbers_in

SLAB = 8  # slices


def surface_distances(
    mask: SliceFile,
    regions: Regions,
    liver: SliceFile,
    spacing: tuple[float, float, float],
) -> NDArray[np.float64]:
    """Of each lesion, in the unit of ``spacing`` (X, Y, Z); infinite if none is."""
    starts = range(0, len(mask), SLAB)
    nearest = np.full(len(regions.voxels), np.inf)

    @lru_cache(maxsize=32)
    def surface(start: int) -> KDTree | None:
        stack = [filled(liver[i] > 0) for i in slab(start, len(mask))]
        places, _ = faces(np.stack(stack).astype(np.int8), start, spacing)
        return KDTree(places) if len(places) else None

    for start in tqdm(starts, "to the liver's surface", unit="slab", disable=None):
        stack = [numbers_in(mask, regions, i) for i in slab(start, len(mask))]
        places, numbers = faces(np.stack(stack).astype(np.int32), start, spacing)
        lesions = np.unique(numbers) - 1
        for other in sorted(starts, key=lambda other: abs(other - start)):
            gap = max(abs(other - start) - SLAB, 0) * spacing[2]
            if not len(lesions) or gap >= (most := nearest[lesions].max()):
                break
            if (tree := surface(other)) is not None:
                distances, _ = tree.query(places, distance_upper_bound=most)
                np.minimum.at(nearest, numbers - 1, distances)
    return nearest


def slab(start: int, n_slices: int) -> range:
    """Its slices and the next one, for the faces between the two."""
    return range(start, min(start + SLAB + 1, n_slices))


def faces(
    numbers: NDArray[np.integer], start: int, spacing: tuple[float, float, float]
) -> tuple[NDArray[np.float64], NDArray[np.integer]]:
    """Centres ``(n, 3)`` of the faces in the slab from ``start``, and whose they are.

    ``numbers`` ``(n, H, W)`` are 0 outside. No two others touch.
    """
    centres, owners = [], []
    for axis in range(3):
        step = np.diff(numbers, axis=axis)
        places = np.argwhere(step != 0)
        owners.append(np.abs(step[tuple(places.T)]))
        centres.append(places + 0.5 * (np.arange(3) == axis))
    places = np.concatenate(centres) + np.array([start, 0, 0])
    return places * spacing[::-1], np.concatenate(owners)


def filled(liver: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A slice of the liver with its holes: all that the outside does not reach."""
    outside, _ = label(np.pad(~liver, 1, constant_values=True))
    return outside[1:-1, 1:-1] != outside[0, 0]
