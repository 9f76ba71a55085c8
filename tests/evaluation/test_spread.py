"""Single trainings beside a claimed gain: paired by run, scattered, put into words."""

import numpy as np
import pandas as pd
import pytest

from mscf.evaluation.spread import (
    expected_means,
    gain_verdicts,
    scatter,
    single_gains,
)


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
    claimed = {"a": 28.2, "b": 28.4, "c": -28.4}  # a loss is as far from the noise
    assert gain_verdicts(claimed, {"toys": table}, titles).splitlines() == [
        "- **A, +28.20**: within the noise of toys (± 28.3).",
        "- **b, +28.40**: above the noise of toys (± 28.3*).",
        "- **c, -28.40**: above the noise of toys (± 28.3*).",
    ]


def test_single_runs_alone_tell_no_noise() -> None:
    table = scatter(single_gains(ROWS, "ours", ["b"]))
    assert np.isnan(table.loc["all", "deviation"])
    said = gain_verdicts({"b": 3.0}, {"toys": table}, {})
    assert said == "- **b, +3.00**: no method here has two runs to tell the noise by."


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
