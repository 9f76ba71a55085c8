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


def test_a_band_from_three_runs_holds_another_in_95_of_100_trials() -> None:
    three = pd.DataFrame({"baseline": "a", "difference": [-1.0, 0, 1]})  # deviation 1
    band = scatter(three).loc["all", "band"]
    *runs, another = np.random.default_rng(0).standard_normal((4, 20_000))
    inside = abs(another) <= band * np.std(runs, axis=0, ddof=1)
    assert inside.mean() == pytest.approx(0.95, abs=0.005)


def test_a_band_of_two_baselines_holds_another_run_although_they_share_ours() -> None:
    """Five runs of ours and of two baselines; all deviations are 1."""
    fives = [{"baseline": key, "difference": d} for key in "ab" for d in range(5)]
    table = scatter(pd.DataFrame(fives))
    degrees_of_one = 2.776  # t's quantile for 4
    ratio = table.loc["all", "band"] / table.loc["all", "deviation"]
    assert ratio == pytest.approx(degrees_of_one, rel=1e-3)
    ours, a, b = np.random.default_rng(0).standard_normal((3, 6, 20_000))
    both = np.stack([ours - a, ours - b])
    pooled = np.sqrt(both[:, :5].var(axis=1, ddof=1).mean(axis=0))
    inside = (abs(both[0, 5]) <= ratio * pooled).mean()
    assert 0.95 <= inside < 0.98  # exact would they share all


@pytest.mark.parametrize("single", [False, True])
def test_another_run_is_as_near_as_is_said_in_95_of_100_trials(single) -> None:
    """Five methods of three runs, a sixth of a single one; all deviations are 1."""
    seeds = {(0, seed): float(seed) for seed in range(3)}
    table = expected_means(rows(**dict.fromkeys("abcde", seeds), f={(0, 0): 0.0}))
    runs = np.random.default_rng(0).standard_normal((20_000, 5, 3))
    noise = np.sqrt(runs.var(axis=2, ddof=1).mean(axis=1))
    kept, another = np.random.default_rng(1).standard_normal((2, 20_000))
    mean = kept if single else runs[:, 0].mean(axis=1)
    inside = abs(another - mean) <= table.loc["f" if single else "a", "noise"] * noise
    assert inside.mean() == pytest.approx(0.95, abs=0.005)


def test_a_claim_is_within_the_band_or_above_it() -> None:
    table = scatter(single_gains(ROWS, "ours", ["a", "b"]))  # 0.141 with one degree
    claimed = {"a": 179, "b": 180, "c": -180}  # a loss is as far from zero
    assert gain_verdicts(claimed, {"toys": table}, {"a": "A"}).splitlines() == [
        "- **toys, ± 179.7**: within it A (+179.00); above it b (+180.00), c (-180.00)."
    ]
    assert gain_verdicts({}, {"toys": table}, {}).endswith(
        "within it none; above it none."
    )


def test_single_runs_alone_tell_no_noise() -> None:
    table = scatter(single_gains(ROWS, "ours", ["b"]))
    assert np.isnan(table.loc["all", "band"])
    said = gain_verdicts({"b": 3.0}, {"toys": table}, {})
    assert said == "- **toys**: no method has two runs to tell the scatter by."


@pytest.fixture(scope="module")
def kept() -> dict[str, pd.DataFrame]:
    """All slices of the ten, by the data that Table 1 tells the scatter of."""
    names = ("phantoms-192", "excerpt-448")
    places = {name: RESULTS / name / "patient" for name in names}
    return {name: read_runs(at, list(METHODS)).rows for name, at in places.items()}


def test_all_gains_of_the_paper_are_within_both_bands_as_the_pages_say(kept) -> None:
    paper = pd.read_csv(RESULTS / "paper/table1.csv", index_col="key")["dice"]
    claimed = paper["mscf"] - paper.drop("mscf")
    for table in kept.values():
        found = scatter(single_gains(table, "mscf", list(claimed.index)))
        assert claimed.abs().max() < 100 * found.loc["all", "band"]


def test_what_another_run_may_be_away_is_told_by_all_methods_of_several_runs() -> None:
    table = expected_means(ROWS)
    ours = table.loc["ours", ["runs", "mean", "lowest", "highest"]].tolist()
    assert ours == pytest.approx([3, 0.6, 0.5, 0.7])
    squares = 2 * np.var([0.5, 0.6, 0.7], ddof=1) + 2 * np.var([0.5, 0.4, 0.1], ddof=1)
    band = 2.776 * np.sqrt(squares / 4)  # of t with 4 degrees of freedom
    assert table.loc["ours", "noise"] == pytest.approx(band * np.sqrt(4 / 3), rel=1e-3)
    assert table.loc["b", "noise"] == pytest.approx(band * np.sqrt(2), rel=1e-3)


def test_the_mean_of_a_method_is_over_slices_not_over_runs() -> None:
    more = pd.concat([ROWS, ROWS[(ROWS["method"] == "a") & (ROWS["fold"] == 2)]])
    assert expected_means(more).loc["a", "mean"] == pytest.approx(
        (2 * 0.5 + 2 * 0.4 + 4 * 0.1) / 8
    )


def test_the_share_of_the_patients_is_as_the_page_says(kept) -> None:
    for data, low, high in (("excerpt-448", 0.4, 0.7), ("phantoms-192", 0, 0.45)):
        table, others = kept[data], [key for key in METHODS if key != "mscf"]
        found = scatter(single_gains(table, "mscf", others)).loc["all", "deviation"]
        share = (by_test_patients(table, "mscf", others) / found) ** 2
        assert low < share < high


def test_methods_move_together_from_run_to_run_where_the_page_says_so(kept) -> None:
    """The variance of the runs' means over methods, as a share of a method's own."""
    by_split = {
        split: pd.read_csv(RESULTS / f"phantoms-192/{split}/summary.csv")
        .pivot_table("dice", "method", "seed").dropna()
        for split in ("patient", "slice")
    }  # fmt: skip
    folds = kept["excerpt-448"].pivot_table("dice", "method", "fold").dropna()
    tables = {**by_split, "excerpt": folds}
    share = {name: t.mean().var() / t.var(axis=1).mean() for name, t in tables.items()}
    assert share["patient"] < 0.2
    assert min(share["slice"], share["excerpt"]) > 0.5
