"""One case as the slices that a store keeps: read, checked, chosen, resized."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mscf.data.anatomy import around
from mscf.data.cases import Case
from mscf.data.resize import AIR, pad_to_square, resize_images, resize_masks
from mscf.data.volume import LIVER, TUMOUR, as_slices
from mscf.data.whole_case import read_case
from mscf.errors import Finding, InputError


@dataclass
class CaseSlices:
    """The stored slices of one case, and what the index says of them."""

    images: NDArray[np.int16]  # (n, size, size)
    masks: NDArray[np.uint8]
    rows: list[dict]
    sources: list[str]  # SHA-256 of image and labels
    repairs: tuple[Finding, ...] = field(default=())


def slices_of_case(case: Case, size: int, slices: str) -> CaseSlices:
    """Reads, checks and resizes one case.

    Raises:
        InputError: the case is refused.
    """
    whole = read_case(case)
    hu, masks = as_slices(whole.volume.voxels), as_slices(whole.labels)
    least = {"tumour": TUMOUR, "liver": LIVER, "all": 0}[slices]
    chosen = np.flatnonzero(masks.max(axis=(1, 2)) >= least)
    # Slice by slice in memory from here on: files hold them voxel by voxel of a column.
    hu, masks = (np.ascontiguousarray(x[chosen]) for x in (hu, masks))
    height, width = masks.shape[1:]
    images = resize_images(pad_to_square(hu, AIR), size)
    stored = resize_masks(pad_to_square(masks, 0), size)
    x, y, z = whole.volume.spacing
    grown = max(height, width) / size
    rows = []
    for i, number in enumerate(chosen):
        tumour = masks[i] == TUMOUR
        left = int(np.count_nonzero(stored[i] == TUMOUR))
        rows.append({
            "case": case.name, "patient": case.patient, "slice": int(number),
            "height": height, "width": width,
            "spacing_y": y * grown, "spacing_x": x * grown, "spacing_z": z,
            "spacing_known": whole.spacing_known,
            "liver_px": int(np.count_nonzero(masks[i] >= LIVER)),
            "tumour_px": int(np.count_nonzero(tumour)),
            "lesions": how_many_lesions(tumour),
            "stored_tumour_px": left, "tumour_lost": bool(tumour.any() and not left),
            "sha256": sha256_of_slice(images[i], stored[i]),
        })  # fmt: skip
    return CaseSlices(images, stored, rows, whole.sources, whole.repairs)


def how_many_lesions(tumour: NDArray[np.bool_]) -> int:
    """Components of one slice; pixels that touch at a corner are apart."""
    from scipy.ndimage import label  # slow to import, workers only

    return label(tumour[around(tumour)])[1] if tumour.any() else 0


def sha256_of_slice(image: NDArray[np.int16], mask: NDArray[np.uint8]) -> str:
    """The digest of one stored slice."""
    return hashlib.sha256(image.tobytes() + mask.tobytes()).hexdigest()


def answer(work: Callable[[Case], CaseSlices], case: Case) -> CaseSlices | InputError:
    """The result, or the refusal as a value: all cases are looked at."""
    try:
        return work(case)
    except InputError as error:
        return error
