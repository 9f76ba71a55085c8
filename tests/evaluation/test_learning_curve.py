"""What twice the patients bring, from curves whose slope is known."""

import numpy as np
import pandas as pd
import pytest
from claim_rows import of_methods

from mscf.errors import InputError
from mscf.evaluation.learning_curve import fit_line
from mscf.evaluation.runs import read_runs
from mscf.paths import root

KEPT = root() / "results/lits_excerpt-224/patient"
TRAINED_ON = {"mscf+2-patients": 2, "mscf+4-patients": 4, "mscf+16-patients": 16}


def curve(gain: float, noise: float = 0.0):
    """Rows of networks each of which gains so much from every doubling."""
    means = {name: gain * np.log2(n) for name, n in TRAINED_ON.items()}
    return of_methods(means, noise=noise)


def test_a_straight_curve_gives_its_own_slope_and_goes_on() -> None:
    rows = curve(0.05)
    line = fit_line(rows, TRAINED_ON)
    assert line.per_doubling() == pytest.approx((0.05, 0.05, 0.05))
    of_16 = rows.loc[rows["method"] == "mscf+16-patients", "dice"].mean()
    assert line.at(16)[0] == pytest.approx(of_16)
    assert np.subtract(line.at(64), line.at(16)) == pytest.approx([0.1] * 3)


def test_the_interval_holds_the_slope_and_is_wider_where_patients_differ() -> None:
    widths = []
    for noise in (0.01, 0.1):
        gain, low, high = fit_line(curve(0.05, noise), TRAINED_ON).per_doubling()
        assert low <= gain <= high
        assert low <= 0.05 <= high
        widths.append(high - low)
    assert widths[0] < widths[1]


def test_the_order_of_the_methods_changes_nothing() -> None:
    rows = curve(0.05, 0.1)
    turned = rows.sort_values("method", ascending=False, kind="stable")
    backwards = dict(reversed(TRAINED_ON.items()))
    one, other = fit_line(rows, TRAINED_ON), fit_line(turned, backwards)
    assert one.at(64) == pytest.approx(other.at(64))


def test_other_methods_in_the_rows_are_left_alone() -> None:
    rows = curve(0.05)
    few = dict(list(TRAINED_ON.items())[:2])
    assert fit_line(rows, few).most == 4


def test_one_size_makes_no_line() -> None:
    with pytest.raises(ValueError, match="two at least"):
        fit_line(curve(0.05), {"mscf+2-patients": 2})


def test_sizes_that_were_tested_on_other_slices_are_refused() -> None:
    rows = curve(0.05)
    with pytest.raises(InputError, match="must have the slices"):
        fit_line(rows.iloc[:-1], TRAINED_ON)


def test_the_kept_curve_is_as_the_page_on_real_ct_says() -> None:
    trained_on = {f"mscf+{n}-patients": n for n in (2, 4, 8, 16)}
    two, four, eight, all_of_them = trained_on
    threshold = "hu_threshold+16-patients"
    rows = read_runs(KEPT, [*trained_on, threshold]).shared()
    folds = [rows[rows["fold"] == fold] for fold in range(5)]
    means = [of.groupby("method")["dice"].mean() for of in folds]
    first, second, third, fourth, fifth = means

    gain, low, _ = fit_line(rows, trained_on).per_doubling()
    assert low > 0
    from_four = {key: n for key, n in trained_on.items() if n >= 4}
    _, low, high = fit_line(rows, from_four).per_doubling()
    assert low < 0 < high
    of_patients = folds[0].groupby(["method", "patient"])["dice"].sum().unstack()
    gained = of_patients.loc[all_of_them] - of_patients.loc[four]
    assert gained.max() > 0.5 * gained.sum()
    assert (folds[0]["patient"] == gained.idxmax()).mean() > 0.5
    others = rows[rows["patient"] != gained.idxmax()]
    less, low, _ = fit_line(others, trained_on).per_doubling()
    assert low > 0
    assert 0.4 < less / gain < 0.6

    assert max(of[two] for of in (first, third, fifth)) < 0.01
    assert first[all_of_them] > 4 * first[four]
    assert second[[eight, all_of_them]].max() - second[four] < 0.01
    assert third[all_of_them] < third[four] / 2
    missed = folds[2][folds[2]["method"] == all_of_them]["outcome"] == "missed"
    assert missed.mean() > 0.5
    assert abs(fourth[four] - fourth[two]) < 0.01
    assert fourth[[*trained_on]].idxmax() == eight
    assert fifth[[two, four, eight]].max() < 0.01 < 0.1 < fifth[all_of_them]
    for of in (second, third):
        assert of[[*trained_on]].max() < of[threshold]
    for of in (first, fourth, fifth):
        assert of[all_of_them] > of[threshold]
    for fold in range(5):  # whether two are learned by heart
        tables = {
            key: pd.read_csv(KEPT / key / f"fold-{fold}/seed-0/history.csv")
            for key in trained_on
        }
        low = {key: table["loss"].min() for key, table in tables.items()}
        others = min(loss for key, loss in low.items() if key != two)
        assert (low[two] < others / 5) == (fold < 3)
        assert tables[two]["learning_rate"].iloc[-1] < 2e-4

    by_patient = rows[rows["method"] != threshold].groupby(["patient", "method"])
    dice = by_patient["dice"].mean().unstack().max(axis=1)
    pixels = by_patient[["tp", "truth_px"]].sum()
    found = (pixels["tp"] / pixels["truth_px"]).unstack().max(axis=1)
    assert len(dice) == 22
    assert (found < 0.05).sum() == (dice < 0.05).sum() == 7
    (eighth,) = dice.index[(dice > 0.05) & (dice < 0.07)]
    assert 0.4 < found[eighth] < 0.5
