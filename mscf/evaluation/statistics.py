"""Intervals, tests and ranks over patients, not over slices: those of one are alike.

A bootstrap over slices would cover the true mean in about half of the cases where it
promises 95 %; over patients it keeps the promise, with fewer than 20 not quite. A
slice-wise test at 5 % rejects a true null in about half of all trials.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata, wilcoxon

DRAWS = 2_000
SEED = 0
LEVEL = 0.05  # of every test
ENOUGH_PATIENTS = 20  # below, a bootstrap over patients covers too little
MANY = 200  # above, no patients but slices: exact, thousands would take minutes


# Bootstrap


def draw_patients(
    n_patients: int, draws: int = DRAWS, seed: int = SEED
) -> NDArray[np.int64]:
    """How often each draw with replacement takes each patient, ``(draws, patients)``.

    The same for every method evaluated on the same patients: differences are paired.
    """
    shares = np.full(n_patients, 1 / n_patients)
    return np.random.default_rng(seed).multinomial(n_patients, shares, size=draws)


def redrawn_means(
    values: ArrayLike, patients: ArrayLike, counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Means over the slices of each draw's patients, ``(draws, metrics)``.

    ``values`` is ``(slices, metrics)``; NaN is left out of its column. ``counts``
    belong to the patients in sorted order. Sums a patient times counts are one matrix
    product; a draw without a defined value is NaN.
    """
    values = np.asarray(values, dtype=float)
    names, patient = np.unique(np.asarray(patients), return_inverse=True)
    defined = ~np.isnan(values)
    sums = np.zeros((len(names), values.shape[1]))
    numbers = np.zeros_like(sums)
    np.add.at(sums, patient, np.where(defined, values, 0.0))
    np.add.at(numbers, patient, defined)
    total, n = counts @ sums, counts @ numbers
    return np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0)


def interval(redrawn: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % percentile interval of one metric's redrawn means ``(draws,)``.

    NaN for both ends where no draw has a value.
    """
    defined = redrawn[~np.isnan(redrawn)]
    if not defined.size:
        return math.nan, math.nan
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high)


def effective_patients(slices: ArrayLike) -> float:
    """As how many with equally many slices these patients weigh in a mean over slices.

    ``slices`` is how many each has: (sum n)^2 / sum n^2. An interval over patients
    covers as one over so few would.
    """
    slices = np.asarray(slices, dtype=float)
    return float(slices.sum() ** 2 / (slices**2).sum())


# Tests


def signed_rank_p(differences: ArrayLike) -> float:
    """The two-sided p of Wilcoxon's signed-rank test, zeros by Pratt's method.

    ``differences`` are one a patient, NaN where undefined. 1 if all are zero; NaN if
    there are fewer than two, of which nothing can be said. Exact up to ``MANY``, also
    where some are zero or tie: SciPy takes the normal distribution there, by which four
    patients of 22 who differ could have p below 0.05, and four signs cannot.
    """
    differences = np.asarray(differences, dtype=float)
    differences = differences[~np.isnan(differences)]
    if differences.size < 2:
        return math.nan
    if not differences.any():
        return 1.0
    if differences.size > MANY:
        return float(wilcoxon(differences, zero_method="pratt", method="auto").pvalue)
    return exact_p(differences)


def exact_p(differences: NDArray[np.float64]) -> float:
    """The same from all signs that the differences that are not zero could have."""
    there = differences != 0
    # Twice the ranks are whole numbers, also where some tie.
    steps = np.rint(2 * rankdata(np.abs(differences)))[there].astype(int)
    positive = int(steps[differences[there] > 0].sum())
    least = min(positive, int(steps.sum()) - positive)
    share = np.zeros(least + 1)  # of all signs, by the sum of the positive ranks
    share[0] = 0.5 ** len(steps)
    for step in steps:
        share[step:] += share[:-step]
    return min(1.0, float(2 * share.sum()))


def leaning(differences: ArrayLike) -> int:
    """To which side the signed ranks lean: 1, -1, or 0 to none.

    A small p says that they lean, not where to: a mean over slices, in which a patient
    with many weighs more, can lie on the other side.
    """
    differences = np.asarray(differences, dtype=float)
    differences = differences[~np.isnan(differences)]
    return int(np.sign(np.sign(differences) @ rankdata(np.abs(differences))))


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Holm's correction of several p, in their order; NaN stays and is not counted."""
    p = np.asarray(p, dtype=float)
    corrected = np.full(p.shape, np.nan)
    defined = np.flatnonzero(~np.isnan(p))
    order = defined[np.argsort(p[defined], kind="stable")]
    times = np.arange(len(order), 0, -1)  # the smallest p is taken most often
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * times), 1)
    return corrected


def can_decide(patients: int, comparisons: int = 1) -> bool:
    """Whether any p could stay below ``LEVEL`` after Holm's correction.

    The smallest p of ``patients`` signs is 2 / 2^patients: one comparison takes 6
    patients, nine take 9.
    """
    return comparisons * 2 / 2**patients < LEVEL


# Ranks


def ranks(
    values: NDArray[np.float64], lower_is_better: bool = False
) -> NDArray[np.float64]:
    """Rank from 1, the best, of each method in each draw ``(draws, methods)``.

    Ties share the mean of their ranks; a method without a value is last.
    """
    cost = values if lower_is_better else -values
    return rankdata(np.where(np.isnan(cost), np.inf, cost), axis=1)


def share_first(ranked: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of draws in which each method is first; k that tie have 1/k each."""
    first = ranked == ranked.min(axis=1, keepdims=True)
    return (first / first.sum(axis=1, keepdims=True)).mean(axis=0)
