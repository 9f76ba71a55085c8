"""The tissue around a lesion, which its contrast is taken against.

It lies in the lesion's own slices, farther from every lesion than the blurred border is
wide, and nearer to this lesion than to another. With a liver mask it is liver (1 in the
mask, so neither a true tumour nor a predicted one). Without, nothing says where the
liver ends: it is soft tissue of any organ, told from fat, air and bone by its HU.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, find_objects

from mscf.data.case_slices import LIVER

NEAR, FAR = 2.0, 10.0  # mm from a lesion, or pixels where the spacing is unknown
SOFT = (-30, 200)  # HU


def tissue(
    hu: NDArray[np.number], liver: NDArray[np.uint8] | None
) -> NDArray[np.bool_]:
    """Where a slice ``(H, W)`` holds what lesions are compared with."""
    if liver is not None:
        return liver == LIVER
    return (hu >= SOFT[0]) & (hu <= SOFT[1])


def around(
    numbers: NDArray[np.int64], tissue: NDArray[np.bool_], spacing: tuple[float, float]
) -> NDArray[np.int64]:
    """``(H, W)``: the number of the lesion which a pixel of the tissue is around.

    ``numbers`` are the lesions' own pixels, some of them above 0.
    """
    (found,) = find_objects((numbers > 0).astype(int))
    reach = [int(FAR / size) + 1 for size in spacing]
    box = tuple(
        slice(max(side.start - r, 0), side.stop + r)
        for side, r in zip(found, reach, strict=True)
    )
    distance, nearest = distance_transform_edt(
        numbers[box] == 0, sampling=spacing, return_indices=True
    )
    ring = (distance > NEAR) & (distance <= FAR) & tissue[box]
    surrounded = np.zeros_like(numbers)
    surrounded[box] = np.where(ring, numbers[box][tuple(nearest)], 0)
    return surrounded
