"""Single trainings beside a claimed gain: paired by run, scattered, put into words."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mscf import METHODS
from mscf.evaluation.runs import read_runs
from mscf.evaluation.spread import (
    by_test_patients,
    expected_means,
    gain_verdicts,
    scatter,
    single_gains,
)

RESULTS = Path(__file__).parents[2] / "results"


def rows(**dice: dict[tuple[int, int], float]) -> pd.DataFrame:
    """Two slices of each run (fold, seed) of each method, around the mean given."""
    return pd.DataFrame([
        {"method": method, "fold": fold, "seed": seed, "dice": mean + side}
        for method, runs in dice.items()
        for (fold, seed), mean in runs.items()
        for side in (-0.1, 0.1)
    ])  # fmt: skip


OURS = {(0, 0): 0.6, (1, 0): 0.7, (0, 1): 0.5}
ROWS = rows(ours=OURS, a={(0, 0): 0.5, (1, 0): 0.4, (2, 0): 0.1}, b={(0, 1): 0.6})


def test_a_gain_is_taken_of_the_runs_that_both_methods_have() -> None:
    found = single_gains(ROWS, "ours", ["a", "b", "missing"])
    runs = found.set_index(["baseline", "fold", "seed"])["difference"].to_dict()
    assert runs == pytest.approx({
        ("a", 0, 0): 0.1, ("a", 1, 0): 0.3, ("b", 0, 1): -0.1,
    })  # fmt: skip


def test_without_ours_there_is_no_gain() -> None:
    assert single_gains(ROWS, "theirs", ["a"]).empty


def test_the_scatter_is_the_deviation_from_run_to_run_pooled_where_there_are_two() -> (
    None
):
    table = scatter(single_gains(ROWS, "ours", ["a", "b"]))
    assert table["runs"].to_dict() == {"a": 2, "b": 1, "all": 3}
    assert table.loc["a", "deviation"] == pytest.approx(np.std([0.1, 0.3], ddof=1))
    assert np.isnan(table.loc["b", "deviation"])
    assert table.loc["all", "deviation"] == table.loc["a", "deviation"]
    assert table.loc["all", ["lowest", "highest"]].tolist() == pytest.approx(
        [-0.1, 0.3]
    )


def test_alike_trainings_scatter_by_their_patients_as_far_as_is_expected() -> None:
    """Whatever the run, a patient's gain is drawn from one normal distribution."""
    random = np.random.default_rng(0)
    runs, patients, deviation = 400, 5, 0.2
    gain = deviation * random.standard_normal((runs, patients))
    table = pd.DataFrame({
        "fold": np.repeat(np.arange(runs), patients), "seed": 0,
        "patient": np.tile(np.arange(patients), runs), "case": "c", "slice": 0,
    })  # fmt: skip
    both = [table.assign(method="a", dice=0.0)]
    both += [table.assign(method="ours", dice=gain.ravel())]
    rows = pd.concat(both, ignore_index=True)
    expected = deviation / np.sqrt(patients)
    alone = by_test_patients(rows, "ours", ["a", "missing"])
    assert alone == pytest.approx(expected, rel=0.05)
    found = scatter(single_gains(rows, "ours", ["a"])).loc["all", "deviation"]
    assert found == pytest.approx(expected, rel=0.1)
    assert np.isnan(by_test_patients(rows[rows["fold"] == 0], "ours", ["a"]))


def test_baselines_with_more_runs_weigh_more_in_the_pooled_deviation() -> None:
    of_a, of_b = [0.1, 0.3], [0.0, 0.1, 0.2, 0.5]
    gains = pd.DataFrame(
        {"baseline": ["a"] * 2 + ["b"] * 4 + ["c"], "difference": [*of_a, *of_b, 9.0]}
    )
    squares = 1 * np.var(of_a, ddof=1) + 3 * np.var(of_b, ddof=1)
    pooled = scatter(gains).loc["all", "deviation"]
    assert pooled == pytest.approx(np.sqrt(squares / (1 + 3)))


def test_a_claim_is_within_the_noise_up_to_two_deviations_and_above_it_beyond() -> None:
    table = scatter(single_gains(ROWS, "ours", ["a", "b"]))  # two deviations: 28.3
    titles = {"a": "A"}
    claimed = {"a": 28.2, "b": 28.4, "c": -28.4}  # a loss is as far from zero
    assert gain_verdicts(claimed, {"toys": table}, titles).splitlines() == [
        "- **A, +28.20**: within the scatter of toys (± 28.3).",
        "- **b, +28.40**: above the scatter of toys (± 28.3*).",
        "- **c, -28.40**: above the scatter of toys (± 28.3*).",
    ]


def test_single_runs_alone_tell_no_noise() -> None:
    table = scatter(single_gains(ROWS, "ours", ["b"]))
    assert np.isnan(table.loc["all", "deviation"])
    said = gain_verdicts({"b": 3.0}, {"toys": table}, {})
    assert said == "- **b, +3.00**: no method here has two runs to tell the scatter by."


def test_what_another_run_may_give_is_two_deviations_its_own_or_the_pooled() -> None:
    table = expected_means(ROWS)
    own = 2 * np.std([0.5, 0.6, 0.7], ddof=1)
    assert table.loc["ours", "noise"] == pytest.approx(own)
    ours = table.loc["ours", ["runs", "mean", "lowest", "highest"]].tolist()
    assert ours == pytest.approx([3, 0.6, 0.5, 0.7])
    squares = 2 * np.var([0.5, 0.6, 0.7], ddof=1) + 2 * np.var([0.5, 0.4, 0.1], ddof=1)
    assert table.loc["b", "noise"] == pytest.approx(2 * np.sqrt(squares / 4))


def test_the_mean_of_a_method_is_over_slices_not_over_runs() -> None:
    more = pd.concat([ROWS, ROWS[(ROWS["method"] == "a") & (ROWS["fold"] == 2)]])
    assert expected_means(more).loc["a", "mean"] == pytest.approx(
        (2 * 0.5 + 2 * 0.4 + 4 * 0.1) / 8
    )


def test_the_share_of_the_patients_is_as_the_page_says() -> None:
    for data, less_than_half in (("excerpt-448", False), ("phantoms-192", True)):
        table = read_runs(RESULTS / data / "patient", list(METHODS)).rows
        others = [key for key in METHODS if key != "mscf"]
        found = scatter(single_gains(table, "mscf", others)).loc["all", "deviation"]
        share = (by_test_patients(table, "mscf", others) / found) ** 2
        assert share < 1
        assert (share < 0.5) == less_than_half
