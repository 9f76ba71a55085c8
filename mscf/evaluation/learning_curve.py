"""What more patients to train on bring: one network trained on few, and on more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mscf.evaluation.differences import over_seeds
from mscf.evaluation.statistics import draw_patients, interval, redrawn_means


@dataclass(frozen=True)
class Line:
    """Mean Dice as a straight line over the logarithm of the patients trained on.

    ``dice`` is its value at the most patients that were tried, ``gain`` what each
    doubling adds; both are of each draw of test patients, the means themselves first.
    """

    most: int
    dice: np.ndarray
    gain: np.ndarray

    def at(self, patients: int) -> tuple[float, float, float]:
        """The line's Dice after a training on so many, with its 95 % interval."""
        there = self.dice + self.gain * np.log2(patients / self.most)
        return float(there[0]), *interval(there[1:])

    def per_doubling(self) -> tuple[float, float, float]:
        """The gain in Dice of twice the patients, with its 95 % interval."""
        return float(self.gain[0]), *interval(self.gain[1:])


def fit_line(rows: pd.DataFrame, trained_on: Mapping[str, int]) -> Line:
    """The line of least squares through the mean Dice of all sizes.

    ``rows`` are of ``per_slice.csv``; ``trained_on`` are the patients of each of their
    methods. The intervals hold the test patients' spread alone: another choice of
    training patients, or another seed, would bend the curve, too.

    Raises:
        InputError: two methods do not have the same slices.
        ValueError: fewer than two sizes.
    """
    tables = over_seeds(rows[rows["method"].isin(trained_on)])
    sizes = np.array([trained_on[method] for method in tables])
    if len(set(sizes)) < 2:
        raise ValueError(f"sizes must be two at least (found: {sorted(set(sizes))})")
    slices = pd.concat([table["dice"] for table in tables.values()], axis=1)
    patients = slices.index.get_level_values("patient")
    n_patients = patients.nunique()
    everyone = np.ones((1, n_patients), dtype=np.int64)
    counts = np.concatenate([everyone, draw_patients(n_patients)])
    means = redrawn_means(slices.to_numpy(), patients, counts)  # (draws, sizes)
    doublings = np.log2(sizes / sizes.max())
    gain, dice = np.polyfit(doublings, means.T, 1)
    return Line(int(sizes.max()), dice, gain)
