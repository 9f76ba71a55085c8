"""Where the tissue around a lesion is, which its contrast is taken against.

It lies in the lesion's own slices, farther from every lesion than the blurred border is
wide, and nearer to this lesion than to another. With a liver mask it is liver (1 in the
mask, so neither a true tumour nor a predicted one), and its mean HU counts. Without,
nothing says where the liver ends: then the HU counts that most soft tissue there has,
of whatever organ (``mscf.inference.greys.Levels``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, find_objects

from mscf.data.volume import LIVER

NEAR, FAR = 2.0, 10.0  # mm from a lesion, or pixels where the spacing is unknown


def around(
    numbers: NDArray[np.int64],
    spacing: tuple[float, float],
    liver: NDArray[np.uint8] | None = None,
) -> NDArray[np.int64]:
    """``(H, W)``: the number of the lesion which a pixel is around, 0 elsewhere.

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
    ring = (distance > NEAR) & (distance <= FAR)
    if liver is not None:
        ring &= liver[box] == LIVER
    surrounded = np.zeros_like(numbers)
    surrounded[box] = np.where(ring, numbers[box][tuple(nearest)], 0)
    return surrounded
