"""Lesions of a volume: which are found, how large they are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.ndimage import label

from mscf.evaluation.masks import Mask

LESION_SIZES = {  # diameter in mm of the ball of equal volume: from, below
    "below_10": (0.0, 10.0),
    "10_20": (10.0, 20.0),
    "above_20": (20.0, math.inf),
}


def compare_lesions(
    prediction: Mask, truth: Mask, spacing: Sequence[float] | None
) -> dict[str, int]:
    """Numbers of true, predicted and detected lesions, with a spacing also by size.

    Lesions are components connected by faces. One is detected when one predicted
    component has an intersection over union with it above 0.5; then no other has.
    """
    predicted_labels, n_predicted = label(prediction)
    truth_labels, n_truth = label(truth)
    predicted_sizes = np.bincount(predicted_labels.ravel())
    truth_sizes = np.bincount(truth_labels.ravel())
    both = prediction & truth
    (lesion, component), common = np.unique(
        np.stack([truth_labels[both], predicted_labels[both]]),
        axis=1,
        return_counts=True,
    )
    union = truth_sizes[lesion] + predicted_sizes[component] - common
    detected = lesion[2 * common > union]
    row = {
        "lesions_truth": n_truth,
        "lesions_predicted": n_predicted,
        "detected_50": len(detected),
        "false_50": n_predicted - len(detected),
        "missed_50": n_truth - len(detected),
    }
    if spacing is None:
        return row
    volumes = truth_sizes[1:] * np.prod(spacing)
    diameters = np.cbrt(6 / math.pi * volumes)
    for name, (low, high) in LESION_SIZES.items():
        in_class = (low <= diameters) & (diameters < high)
        row[f"lesions_{name}"] = int(in_class.sum())
        row[f"detected_{name}"] = int(in_class[detected - 1].sum())
    return row
