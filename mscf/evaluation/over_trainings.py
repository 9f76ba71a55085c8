"""A claim asked with the training as the unit, too, where patients share networks.

Under a split by slice nearly every patient is tested by most of the networks, so the
luck of one training moves nearly all patients at once, and an interval and a test over
patients do not see it. Declared on the page "What counts as reproduced", "A second
seed, and C1 by slice".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from scipy.stats import ttest_1samp

from mscf.evaluation.claims import BY_SPLIT, split_claim
from mscf.evaluation.comparable import RUN, SLICE
from mscf.evaluation.outcome import UNDECIDED, words_on

TRAININGS = ("low, trainings", "high, trainings")  # the interval's columns


def gains_by_slice(by_slice: pd.DataFrame, by_patient: pd.DataFrame) -> pd.Series:
    """Dice by slice minus by patient, a mean for each training by slice.

    Rows of ``per_slice.csv``; a slice is compared with the same slice by patient in the
    same seed and method. Index: method, fold and seed of the training by slice.
    """
    same = ["method", "seed", *SLICE]
    others = by_patient.set_index(same)["dice"].rename("by patient")
    pairs = by_slice.join(others, on=same, how="inner")
    gains = (pairs["dice"] - pairs["by patient"]).rename("gain")
    return gains.groupby([pairs[name] for name in ("method", *RUN)]).mean()


def split_claim_over_trainings(
    by_slice: pd.DataFrame, by_patient: pd.DataFrame, methods: Sequence[str] = BY_SPLIT
) -> pd.DataFrame:
    """C6 by `split_claim`, with the training as a unit beside the patient."""
    claim = split_claim(by_slice, by_patient, methods)
    gains = 100 * gains_by_slice(by_slice, by_patient)
    rows = {key: over_trainings(of, gains[key]) for key, of in claim.iterrows()}
    return pd.DataFrame.from_dict(rows, orient="index").infer_objects()


def over_trainings(
    claim: Mapping[str, object], gains: Sequence[float]
) -> dict[str, object]:
    """The claim with the interval of its trainings' mean, which may take its word away.

    ``claim`` has ``outcome`` and ``margin`` (`dice_claim`, a row of `split_claim`);
    ``gains`` are its trainings' differences in the unit of the margin. The 95 %
    interval is Student's t: it must lie above 0 to hold and below the margin not to
    hold. It gives no word, and of fewer than two trainings it takes any away.
    """
    found = ttest_1samp(gains, 0).confidence_interval() if len(gains) > 1 else None
    low, high = found or (float("nan"), float("nan"))
    word = str(claim["outcome"])
    agrees = low > 0 if word.startswith("holds") else high < claim["margin"]
    return {
        **claim, **dict(zip(TRAININGS, (low, high), strict=True)),
        "outcome": word if agrees else words_on("")[UNDECIDED],
    }  # fmt: skip
