"""Tests of the tests: Wilcoxon over patients, Holm, and what they can decide."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis.strategies import integers, lists
from scipy.stats import rankdata, wilcoxon

from mscf.evaluation.statistics import (
    can_decide,
    holm,
    leaning,
    ranks,
    share_first,
    signed_rank_p,
)


def test_p_is_exact_for_few_patients() -> None:
    assert signed_rank_p([1, 2, 3, 4, 5, 6]) == pytest.approx(2 / 2**6)
    # Signed ranks of 1, -2, 3, 4, 5: 2 of 15 on one side; P(W <= 2) = 3 / 32.
    assert signed_rank_p([1, -2, 3, 4, 5]) == pytest.approx(2 * 3 / 32)


def test_p_is_exact_for_as_many_patients_as_lits_has() -> None:
    """118; SciPy takes the normal distribution from 51 on, 4 % off here."""
    differences = np.random.default_rng(0).normal(0.19, 1, 118)
    by_signs, by_normal = (
        wilcoxon(differences, method=method).pvalue for method in ("exact", "approx")
    )
    assert signed_rank_p(differences) == pytest.approx(by_signs, rel=1e-9)
    assert abs(by_normal / by_signs - 1) > 0.03


def test_zeros_are_ranked_as_pratt_does() -> None:
    differences = [0, 0, 1, 2, -3, 4, 5, 6]
    pratt = wilcoxon(differences, zero_method="pratt").pvalue
    assert signed_rank_p(differences) == pytest.approx(pratt)
    assert (
        signed_rank_p(differences) != wilcoxon(differences, zero_method="wilcox").pvalue
    )


@given(lists(integers(-3, 4), min_size=2, max_size=15).filter(any))
@example(
    [1, 1, 1, -1, 2, 2, -2, 2, 3, 3, 3, -3, 4, 4]
)  # ties alone, too many for SciPy
def test_with_zeros_or_ties_p_is_that_of_all_signs(differences) -> None:
    """Counted one by one; SciPy has the normal distribution there from 14 values on."""
    sizes = np.abs(differences)
    ranked = np.where(sizes > 0, rankdata(sizes), 0)
    total = ranked.sum() / 2
    signs = np.indices((2,) * len(ranked)).reshape(len(ranked), -1)  # all there are
    away = abs(ranked[np.array(differences) > 0].sum() - total)
    share = np.mean(np.abs(ranked @ signs - total) >= away - 1e-9)
    assert signed_rank_p(differences) == pytest.approx(min(1, share))


@pytest.mark.parametrize("others", [4, 5])
def test_a_few_signs_among_many_zeros_cannot_decide(others) -> None:
    differences = [*np.arange(1.0, others + 1), *np.zeros(22 - others)]
    assert signed_rank_p(differences) == pytest.approx(2 / 2**others)


def test_to_which_side_the_ranks_lean() -> None:
    assert leaning([9, 8, -1, np.nan, 0]) == 1
    assert leaning([20, -1, -2, -3, -4]) == -1  # whatever the mean is
    assert leaning([0, 0]) == leaning([2, -2]) == 0


def test_no_difference_at_all_has_p_1() -> None:
    assert signed_rank_p(np.zeros(12)) == 1
    assert signed_rank_p([0, np.nan, 0]) == 1


def test_of_one_patient_nothing_is_said() -> None:
    assert math.isnan(signed_rank_p([3.0]))
    assert math.isnan(signed_rank_p([np.nan, 3.0, np.nan]))


def test_holm_by_hand() -> None:
    # Sorted .01 .02 .03 .04 times 4 3 2 1: .04 .06 .06 .04, then never falling.
    found = holm([0.03, 0.01, 0.04, 0.02])
    np.testing.assert_allclose(found, [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.5, 0.9]), [1, 1])
    np.testing.assert_allclose(holm([np.nan, 0.02]), [np.nan, 0.02])
    assert holm([]).size == 0


@pytest.mark.parametrize(
    ("patients", "comparisons", "possible"),
    [(5, 1, False), (6, 1, True), (8, 9, False), (9, 9, True), (7, 2, True)],
)
def test_too_few_patients_cannot_decide(patients, comparisons, possible) -> None:
    assert can_decide(patients, comparisons) is possible
    clearest = signed_rank_p(np.arange(1, patients + 1))
    others = [1.0] * (comparisons - 1)
    assert bool(holm([clearest, *others])[0] < 0.05) is possible


def test_ranks_are_by_draw_and_ties_share() -> None:
    values = np.array([[0.9, 0.5, 0.7], [0.5, 0.9, 0.9], [np.nan, 0.2, 0.1]])
    np.testing.assert_array_equal(ranks(values), [[1, 3, 2], [3, 1.5, 1.5], [3, 1, 2]])
    np.testing.assert_array_equal(
        ranks(values, lower_is_better=True), [[3, 1, 2], [1, 2.5, 2.5], [3, 2, 1]]
    )


def test_shares_of_being_first_sum_to_one() -> None:
    ranked = ranks(np.array([[0.9, 0.5, 0.7], [0.5, 0.9, 0.9]]))
    np.testing.assert_allclose(share_first(ranked), [0.5, 0.25, 0.25])


def test_by_patient_a_true_null_is_rejected_as_often_as_promised() -> None:
    """Slices that are alike within a patient fool the slice-wise test only."""
    random = np.random.default_rng(0)
    rejected = np.zeros(2)
    for _ in range(200):
        shift = random.normal(0, math.sqrt(0.3), 22)
        slices = shift[:, None] + random.normal(0, math.sqrt(0.7), (22, 32))
        p = signed_rank_p(slices.mean(axis=1)), signed_rank_p(slices.ravel())
        rejected += np.array(p) < 0.05
    assert rejected[0] / 200 < 0.1
    assert rejected[1] / 200 > 0.4
