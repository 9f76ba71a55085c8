"""Whether labels can be true of the body that a CT shows. Nothing is changed for it.

A volume mirrored under an unchanged affine has sound bytes; only the body tells. So the
liver is asked to lie on the right, the spine at the back, the lungs above, and a tumour
in or at the liver. Such a doubt is a warning: organs do lie elsewhere, in few.

Legend: X to the patient's right, Y to the front, Z to the head.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mscf.data.volume import LIVER, TUMOUR
from mscf.errors import Finding

AIR, LUNG, BONE = -150, -500, 200  # HU: below, below, above
WINDOWED = 300  # HU; a copy cut to a window ends below, and shows no bone
SIDE = 64  # voxels along an axis: enough to see where an organ lies
MARGIN = 0.05  # of the body's width that the liver may lie to the left
MIDDLE = 0.15  # of its width to both sides of its middle: where the spine is
LUNGS = 0.1  # of a slice of the body: more air than in any bowel
LOST = 0.1  # of the tumour's voxels that may be in air


def doubts_of_anatomy(
    hu: NDArray, labels: NDArray[np.uint8], ml: float | None, path: Path
) -> tuple[Finding, ...]:
    """What of labels ``(X, Y, Z)`` in RAS order cannot be true of ``hu``.

    ``ml`` is the volume of a voxel, None where it is not known; ``path`` is named.
    """
    found = (*misplaced(hu, labels), *lost_tumour(hu, labels, ml))
    return tuple(
        Finding(str(path), must, what, check, "it is kept as it is: look at it")
        for check, must, what in found
    )


def misplaced(hu: NDArray, labels: NDArray) -> list[tuple[str, str, str]]:
    """Organs on the wrong side of the body."""
    steps = tuple(slice(None, None, max(1, side // SIDE)) for side in hu.shape)
    hu, liver = hu[steps], labels[steps] > 0
    body = hu > AIR
    if not liver.any() or not body.any():
        return []
    check, found = "anatomy-suspect", []
    right, front = middle(body, 0), middle(body, 1)
    wide, deep = extent(body, 0), extent(body, 1)
    if middle(liver, 0) < right - MARGIN * wide:
        found.append((check, "the liver must lie on the right", "on the left"))
    x = np.arange(len(hu))
    bone = (hu > BONE)[np.abs(x - right) < MIDDLE * wide]
    y = np.arange(hu.shape[1])
    ahead, behind = y > front + deep / 6, y < front - deep / 6
    in_front = np.count_nonzero(bone[:, ahead]) > 2 * np.count_nonzero(bone[:, behind])
    if in_front and hu.max() > WINDOWED:
        found.append((check, "the spine must lie at the back", "bone in front"))
    lungs = lung_slices(hu, body)
    if lungs.any() and np.flatnonzero(lungs).mean() < middle(liver, 2):
        found.append((check, "the lungs must lie above the liver", "below it"))
    return found


def lung_slices(hu: NDArray, body: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which slices show lungs: much air within the body."""
    from scipy.ndimage import binary_fill_holes  # slow to import, workers only

    within_slices = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])[..., None]
    inside = binary_fill_holes(body, within_slices)
    air = np.count_nonzero(inside & (hu < LUNG), axis=(0, 1))
    return air > LUNGS * np.maximum(1, np.count_nonzero(inside, axis=(0, 1)))


def around(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The smallest box that holds a mask and its neighbours."""
    box = []
    for axis in range(mask.ndim):
        others = tuple(i for i in range(mask.ndim) if i != axis)
        there = np.flatnonzero(mask.any(axis=others))
        box.append(slice(max(0, there[0] - 1), there[-1] + 2))
    return tuple(box)


def middle(mask: NDArray[np.bool_], axis: int) -> float:
    """The mean place of a mask along an axis."""
    counts = mask.sum(axis=tuple(i for i in range(3) if i != axis))
    return float(counts @ np.arange(len(counts)) / counts.sum())


def extent(mask: NDArray[np.bool_], axis: int) -> int:
    """From the first to the last of a mask along an axis."""
    there = np.flatnonzero(mask.any(axis=tuple(i for i in range(3) if i != axis)))
    return int(there[-1] - there[0] + 1)


def lost_tumour(
    hu: NDArray, labels: NDArray, ml: float | None
) -> list[tuple[str, str, str]]:
    """Tumour away from the liver, or in air."""
    from scipy.ndimage import label

    tumour = labels == TUMOUR
    if not tumour.any():
        return []
    box = around(tumour)
    labels = np.array(labels[box].T, order="C")  # as in files, x moves fastest
    liver, tumour = labels == LIVER, labels == TUMOUR
    near_liver = np.zeros_like(liver)
    for axis in range(3):
        near, beside = (np.moveaxis(x, axis, 0) for x in (near_liver, liver))
        near[1:] |= beside[:-1]
        near[:-1] |= beside[1:]
    lesions, n_lesions = label(tumour)
    at_liver = np.zeros(n_lesions + 1, bool)
    at_liver[lesions[tumour & near_liver]] = True
    away = ~at_liver[lesions[tumour]]
    in_air = hu[box].T[tumour] < AIR
    check, found = "tumour-outside-liver", []
    if n := np.count_nonzero(away):
        must = "tumour must lie in or at the liver"
        found.append((check, must, f"{amount(n, ml)} away from it"))
    if (n := np.count_nonzero(in_air)) > LOST * len(in_air):
        must = "tumour must lie in the body"
        found.append((check, must, f"{amount(n, ml)} in air"))
    return found


def amount(n: int, ml: float | None) -> str:
    """So many voxels, in millilitres where they are known."""
    return f"{n:,} voxels" if ml is None else f"{n * ml:.2f} ml"
