"""One set of predictions, seven Dice: why numbers of two papers are seldom alike."""

from __future__ import annotations

import numpy as np
import pandas as pd

COUNTS = ["tp", "truth_px", "predicted_px"]


def ways_of_counting(slices: pd.DataFrame) -> pd.Series:
    """Dice by each way in use, from the pixel counts of slices.

    ``slices`` are rows of ``per_slice.csv`` of one network and each case once: of all
    slices of the volumes, or of those with tumour alone; then the ways that need the
    others are NaN.
    """
    counts = slices[["case", *COUNTS]]
    tumour = counts[counts["truth_px"] > 0]
    whole = len(tumour) < len(counts)
    every = dice(counts)  # NaN where both are empty
    ways = {
        "mean over slices with tumour": dice(tumour).mean(),
        "pixels of slices with tumour, pooled": dice(tumour[COUNTS].sum()),
        "mean over cases, their slices with tumour": per_case(tumour).mean(),
        "mean over all slices, both empty counts 1": every.fillna(1).mean(),
        "mean over all slices, both empty left out": every.mean(),
        "mean over cases, whole volumes": per_case(counts).fillna(1).mean(),
        "voxels of all cases, pooled": dice(counts[COUNTS].sum()),
    }
    needs_all = list(ways)[3:]
    return pd.Series({k: np.nan if k in needs_all and not whole else v
                      for k, v in ways.items()})  # fmt: skip


def dice(counts: pd.DataFrame | pd.Series) -> pd.Series | float:
    """Twice the overlap over both sizes; NaN where both are empty."""
    sizes = counts["truth_px"] + counts["predicted_px"]
    with np.errstate(invalid="ignore"):
        return 2 * counts["tp"] / sizes


def per_case(counts: pd.DataFrame) -> pd.Series:
    """Dice of each case, its slices taken together."""
    return dice(counts.groupby("case")[COUNTS].sum())
