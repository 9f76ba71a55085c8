"""Lesions of a volume: which are found, how large they are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import label

from mscf.evaluation.masks import Mask

LESION_SIZES = {  # diameter in mm of the ball of equal volume: from, below
    "below_10": (0.0, 10.0),
    "10_20": (10.0, 20.0),
    "above_20": (20.0, math.inf),
}


def components(
    prediction: Mask, truth: Mask, spacing: Sequence[float] | None
) -> pd.DataFrame:
    """A row a component of either mask: its size, and what it meets of the other.

    Components are connected by faces; ``lesion`` is 1 for those of the true mask, 0 for
    predicted ones. ``voxels`` one has, ``diameter_mm`` is that of the ball of equal
    volume, NaN without a ``spacing`` in mm a voxel. ``common`` voxels lie in the other
    mask, too, and ``iou`` is the largest intersection over union with one component of
    it.
    """
    labels = [label(mask)[0] for mask in (truth, prediction)]
    sizes = [np.bincount(of.ravel(), minlength=1)[1:] for of in labels]
    both = prediction & truth
    pairs, common = np.unique(
        np.stack([of[both] for of in labels]) - 1, axis=1, return_counts=True
    )
    union = sum(size[of] for size, of in zip(sizes, pairs, strict=True)) - common
    tables = [
        pd.DataFrame({
            "lesion": lesion,
            "voxels": size,
            "common": np.bincount(of, common, len(size)).astype(int),
            "iou": largest(common / union, of, len(size)),
        })
        for lesion, size, of in zip((1, 0), sizes, pairs, strict=True)
    ]  # fmt: skip
    table = pd.concat(tables, ignore_index=True)
    volumes = table["voxels"] * (np.nan if spacing is None else np.prod(spacing))
    table.insert(2, "diameter_mm", np.cbrt(6 / math.pi * volumes))
    return table


def largest(values: NDArray, of: NDArray, n: int) -> NDArray:
    """The largest value of each of ``n``, 0 of which there is none."""
    found = np.zeros(n)
    np.maximum.at(found, of, values)
    return found


def compare_lesions(
    prediction: Mask, truth: Mask, spacing: Sequence[float] | None
) -> dict[str, int]:
    """Numbers of true, predicted and detected lesions, with a spacing also by size.

    Lesions are the true mask's `components`. One is detected when one predicted
    component has an intersection over union with it above 0.5; then no other has.
    """
    table = components(prediction, truth, spacing)
    lesions = table[table["lesion"] == 1]
    detected = lesions["iou"] > 0.5
    n_predicted, n_detected = len(table) - len(lesions), int(detected.sum())
    row = {
        "lesions_truth": len(lesions),
        "lesions_predicted": n_predicted,
        "detected_50": n_detected,
        "false_50": n_predicted - n_detected,
        "missed_50": len(lesions) - n_detected,
    }
    if spacing is None:
        return row
    for name, (low, high) in LESION_SIZES.items():
        diameters = lesions["diameter_mm"]
        in_class = (low <= diameters) & (diameters < high)
        row[f"lesions_{name}"] = int(in_class.sum())
        row[f"detected_{name}"] = int((in_class & detected).sum())
    return row
