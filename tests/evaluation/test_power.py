"""The simulation of power: the rule that it applies, and what its figures must obey."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mscf.evaluation.outcome import outcome
from mscf.evaluation.power import (
    draw_trials,
    error_over_patients,
    in_one_view,
    power,
    power_table,
    slice_differences,
    smallest_reproduced,
    trainings,
)
from mscf.evaluation.runs import read_runs

TRIALS = 200
RESULTS = Path(__file__).parents[2] / "results/excerpt-448"


@pytest.fixture(scope="module")
def differences() -> pd.DataFrame:
    """Two pairs, two seeds, ten patients of three slices; a patient's spread is 6."""
    random = np.random.default_rng(3)
    rows = pd.DataFrame(
        [
            (pair, seed, patient, patient, n)
            for pair in ("a", "b") for seed in (0, 1)
            for patient in range(10) for n in range(3)
        ],
        columns=["pair", "seed", "patient", "case", "slice"],
    )  # fmt: skip
    luck = rows.groupby(["pair", "seed"]).ngroup() * 4.0
    own = random.normal(0, 6, 40)[rows.index // 3]
    return rows.assign(
        difference=luck + own + random.normal(0, 2, len(rows)), found=True
    )


@pytest.fixture(scope="module")
def of_patients(differences):
    return trainings(differences, ["pair", "seed"])


def trials(kept, patients, n=TRIALS):
    return list(draw_trials(kept, patients, n, seed=0))


@pytest.mark.parametrize(
    ("numbers", "word"),
    [
        ((2.0, 0.1, 4.0, 0.04, 1, 22), "reproduced"),
        ((2.0, 0.1, 4.0, 0.05, 1, 22), "undecided"),  # the test must agree
        ((2.0, 0.0, 4.0, 0.04, 1, 22), "undecided"),  # the interval too
        ((0.9, 0.1, 1.8, 0.01, 1, 22), "undecided"),  # below the margin
        ((0.4, 0.1, 0.9, 0.01, 1, 22), "contradicted"),  # real, and too small
        ((-3.0, -5.0, 0.9, 0.20, 1, 22), "contradicted"),
        ((9.0, 8.0, 9.9, 0.001, 1, 19), "undecided"),  # too few patients
    ],
)
def test_the_rule_by_hand(numbers, word) -> None:
    assert outcome(*numbers) == word


def test_the_true_mean_is_what_it_is_said_to_be(differences) -> None:
    for same in (["pair", "seed"], ["pair"]):
        kept = trainings(differences, same)
        slices = np.concatenate([p for one in kept for p in one])
        np.testing.assert_allclose(slices.mean(axis=0), [0, 1], atol=1e-12)
    each = [np.concatenate(one)[:, 0].mean() for one in kept]
    assert np.ptp(each) > 2  # a training's luck stays in


def test_where_both_find_nothing_they_stay_equal_whatever_is_true(differences) -> None:
    """Else a step of the truth past their luck makes gains of them, all at once."""
    nothing = differences["patient"].isin([0, 1, 2])
    seen = differences.assign(
        difference=differences["difference"].mask(nothing, 0.0), found=~nothing
    )
    kept = trainings(seen, ["pair", "seed"], only_found=True)
    slices = np.concatenate([p for one in kept for p in one])
    np.testing.assert_allclose(slices.mean(axis=0), [0, 1], atol=1e-12)
    assert ((slices[:, 1] == 0) == (slices[:, 0] == 0)).all()
    equal = 0
    for trial in trials(kept, 22, n=20):
        zero = trial.seen(0).of_patients == 0
        for true in (2.0, 9.0):
            found = trial.seen(true)
            assert ((found.of_patients == 0) == zero).all()
            moved = found.of_patients[~zero] - trial.seen(0).of_patients[~zero]
            np.testing.assert_allclose(moved, true * 10 / 7)
        equal += zero.sum()
    assert 60 < equal < 200  # of 440, three tenths


def test_differences_are_paired_and_in_points() -> None:
    one = {"patient": ["P"] * 2, "case": ["c"] * 2, "slice": [4, 5], "seed": 0}
    metrics = ["hd_diagonal", "jaccard", "precision", "recall", "specificity", "f1",
               "hd", "hd_farthest"]  # fmt: skip
    rows = pd.concat(
        pd.DataFrame(one | dict.fromkeys(metrics, 0.0) | {"method": m, "dice": dice})
        for m, dice in (("ours", [0.5, 0.75]), ("base", [0.25, 1.0]))
    )
    found = slice_differences(rows, [("ours", "base")])
    assert found["difference"].tolist() == [25, -25]


def test_found_is_what_one_of_the_two_found() -> None:
    rows = read_runs(RESULTS / "patient", ["cenet", "mscf"]).shared()
    seen = slice_differences(rows, [("mscf", "cenet")])
    anything = rows.groupby(["patient", "case", "slice"])["tp"].sum() > 0
    at = list(zip(seen["patient"], seen["case"], seen["slice"], strict=True))
    assert seen["found"].tolist() == anything[at].tolist()
    assert 0.2 < 1 - seen["found"].mean() < 0.4


def test_power_rises_with_the_effect_and_with_patients(of_patients) -> None:
    few, many = trials(of_patients, 22), trials(of_patients, 118)
    reproduced = [power(few, d)["reproduced"] for d in (0, 2, 5, 12)]
    assert reproduced == sorted(set(reproduced))
    assert reproduced[-1] == 1
    assert power(many, 2)["reproduced"] > 2 * reproduced[1]
    assert power(many, 0)["contradicted"] > power(few, 0)["contradicted"]


def test_nothing_is_rarely_called_something(of_patients) -> None:
    for patients in (22, 118):
        found = power(trials(of_patients, patients), 0)
        assert found["reproduced"] <= 0.05
        assert found["covered"] > 0.85


def test_a_training_s_luck_is_called_something_more_often(differences) -> None:
    found = power(trials(trainings(differences, ["pair"]), 118), 0)
    assert found["reproduced"] > 0.1


def test_each_fold_of_an_experiment_is_a_training_of_its_own() -> None:
    kept = [[np.array([[luck, 1.0]])] for luck in (-1.0, 1.0)]
    drawn = trials(kept, 20, n=50)
    parts = [np.sign(one.of_patients[:, 0]).reshape(5, 4) for one in drawn]
    assert all((part == part[:, :1]).all() for part in parts)
    assert np.mean([len({*part[:, 0]}) == 2 for part in parts]) > 0.8


def test_one_fold_never_decides_and_twelve_patients_only_in_brackets(
    of_patients,
) -> None:
    clear = power(trials(of_patients, 5), 50)
    assert clear["undecided"] == 1
    assert clear["alone_reproduced"] == clear["alone_contradicted"] == 0
    clear = power(trials(of_patients, 12), 50)
    assert (clear["undecided"], clear["alone_reproduced"]) == (1, 1)


def test_the_error_of_a_mean_is_that_over_its_patients(differences) -> None:
    one = differences[(differences["pair"] == "a") & (differences["seed"] == 0)]
    error = one.groupby("patient")["difference"].mean().std(ddof=0) / np.sqrt(10)
    assert error_over_patients(one) == pytest.approx(error, rel=0.05)


def test_intervals_of_the_excerpt_s_patients_cover_what_the_table_says() -> None:
    """Of C1 far less than 95 %: patients with many slices differ most."""
    rows = read_runs(RESULTS / "patient", ["cenet", "mscf"]).shared()
    seen = slice_differences(rows, [("mscf", "cenet")])
    kept = trainings(seen, ["pair", "seed"], only_found=True)
    found = power(trials(kept, 22, n=400), 3.75)
    table = pd.read_csv(RESULTS / "power.csv")
    table = table[table["scenario"] == "excerpt (C1 alone)"]
    kept = table.set_index(["patients", "true"]).loc[(22, 3.75)]
    assert found["covered"] == pytest.approx(kept["covered"], abs=0.05)
    assert found["covered"] < 0.9
    assert found["reproduced"] == pytest.approx(kept["reproduced"], abs=0.05)


def test_eighty_percent_are_reached_where_it_says(of_patients) -> None:
    drawn = trials(of_patients, 22, n=60)
    one, nine = smallest_reproduced(drawn), smallest_reproduced(drawn, 9)
    assert power(drawn, one)["reproduced"] >= 0.8
    assert power(drawn, one - 0.1)["reproduced"] < 0.8
    assert nine > one


def test_too_few_patients_reach_eighty_percent_nowhere(of_patients) -> None:
    assert math.isnan(smallest_reproduced(trials(of_patients, 12, n=5)))


def test_equal_seeds_give_equal_tables_and_a_view_of_them(of_patients) -> None:
    one, other = (
        pd.DataFrame(
            power_table({"here": of_patients}, [5, 22], [0.0, 3.75], trials=20)
        )
        for _ in range(2)
    )
    pd.testing.assert_frame_equal(one, other)
    outcomes = one[["reproduced", "contradicted", "undecided"]]
    np.testing.assert_allclose(outcomes.sum(axis=1), 1)
    view = in_one_view(one)
    assert view.columns.tolist() == ["scenario", "patients", "0", "3.75"]
    assert view["3.75"].tolist()[0] == "(0 / 0)"
    last = one.iloc[-1]
    expected = f"{100 * last['reproduced']:.0f} / {100 * last['contradicted']:.0f}"
    assert view["3.75"].tolist()[1] == expected
