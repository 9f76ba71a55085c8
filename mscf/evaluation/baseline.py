"""What one Hounsfield threshold reaches inside the true liver.

A network that cannot beat it has learnt less than a single number. The comparison is
generous to the threshold: it is told where the liver is, from the true labels, also
on the test slices, and a network is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mscf.data.store import Store
from mscf.data.volume import TUMOUR
from mscf.errors import InputError
from mscf.evaluation.evaluate import slice_row

LOWEST = np.iinfo(np.int16).min  # of the store's HU


@dataclass(frozen=True)
class Threshold:
    """Tumour is what lies in the liver at ``hu`` or further in the direction."""

    direction: Literal["below", "above"]
    hu: int
    training_dice: float  # pooled over the slices it was fitted on

    def mask(
        self, image: NDArray[np.int16], labels: NDArray[np.uint8]
    ) -> NDArray[np.bool_]:
        """Tumour in slices of HU with their true labels, of any one shape."""
        far = image <= self.hu if self.direction == "below" else image >= self.hu
        return far & (labels > 0)  # the true liver: labels 1 and 2


def fit_threshold(store: Store, rows: NDArray[np.int64]) -> Threshold:
    """The threshold of highest Dice, pooled over all pixels of these rows of the store.

    One for all patients, below or above, exact over all integers: from histograms of
    liver and tumour, whose running sums are the counts at every threshold.

    Raises:
        InputError: no tumour in these slices.
    """
    tumour, liver = liver_histograms(store, rows)
    if not tumour.any():
        raise InputError(
            store.folder, "the training slices must have tumour", 0, "no-tumour"
        )
    candidates = []
    for direction, order in (("below", slice(None)), ("above", slice(None, None, -1))):
        tp, taken = np.cumsum(tumour[order]), np.cumsum((tumour + liver)[order])
        dice = (2 * tp / (taken + tumour.sum()))[order]
        # At a value no pixel has, the masks are those of a neighbour.
        dice[tumour + liver == 0] = 0
        hu = int(dice.argmax())
        candidates.append(Threshold(direction, hu + LOWEST, float(dice[hu])))
    return max(candidates, key=lambda threshold: threshold.training_dice)


def liver_histograms(
    store: Store, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels at every HU of int16, of the tumour and of the liver without it."""
    histograms = np.zeros((2, 2**16), dtype=np.int64)
    for row in rows:
        labels = store.masks[row]
        inside = labels > 0
        hu = store.images[row][inside].astype(np.int64) - LOWEST
        is_tumour = labels[inside] == TUMOUR
        for histogram, chosen in zip(histograms, (is_tumour, ~is_tumour), strict=True):
            histogram += np.bincount(hu[chosen], minlength=2**16)
    return histograms[0], histograms[1]


def evaluate_threshold(
    threshold: Threshold, store: Store, rows: NDArray[np.int64]
) -> pd.DataFrame:
    """One row a slice, the columns of ``evaluate.evaluate``."""
    return pd.DataFrame(
        slice_row(
            store.index.iloc[row],
            threshold.mask(store.images[row], store.masks[row]),
            store.masks[row] == TUMOUR,
        )
        for row in rows
    )
