"""Ours against baselines, and the ranks of all."""

import numpy as np
import pandas as pd
import pytest
from kept_runs import measured

from mscf.errors import InputError
from mscf.evaluation.differences import (
    COMPARISON_COLUMNS,
    METRICS,
    against_baselines,
    patient_differences,
    told_apart,
)
from mscf.evaluation.metrics import summarise
from mscf.evaluation.ranking import RANKS_COLUMNS, ranking
from mscf.evaluation.statistics import holm, signed_rank_p
from mscf.evaluation.tables import identify


def signed(method, *seeds) -> pd.DataFrame:
    """One method's rows, a table for each seed."""
    return pd.concat(
        identify(rows, "phantoms-24", "patient", 0, method, seed)
        for seed, rows in enumerate(seeds)
    )


def three(patients=10) -> pd.DataFrame:
    """Ours is clearly better than b and equal to c."""
    best = measured(0.9, seed=1, patients=patients)
    worse = measured(0.6, seed=2, patients=patients)
    return pd.concat([signed("b", worse), signed("c", best), signed("ours", best)])


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return against_baselines(three(), "ours", ["b", "c"])


def test_columns_and_order_are_those_promised(table) -> None:
    assert list(table) == COMPARISON_COLUMNS
    assert list(table["metric"]) == [m for m in METRICS for _ in "bc"]
    assert set(table["patients"]) == {10}


def test_a_difference_is_that_of_the_summaries(table) -> None:
    ours, b = (
        summarise(measured(quality, seed=seed, patients=10))
        for quality, seed in ((0.9, 1), (0.6, 2))
    )
    found = table[table["baseline"] == "b"].set_index("metric")["difference"]
    for metric in METRICS:
        assert found[metric] == pytest.approx(ours[metric] - b[metric], abs=1e-12)


def test_a_planted_effect_is_found_and_equal_masks_have_p_1(table) -> None:
    dice = table[table["metric"] == "dice"].set_index("baseline")
    assert dice.loc["b", "low"] > 0.1
    assert dice.loc["b", "p"] == pytest.approx(2 / 2**10)
    assert dice.loc["b", "p_holm"] == pytest.approx(4 / 2**10)
    assert dice.loc["b", "p_slices"] < dice.loc["b", "p"]
    assert dice.loc["c", ["difference", "low", "high"]].tolist() == [0, 0, 0]
    assert dice.loc["c", ["p", "p_holm", "p_slices"]].tolist() == [1, 1, 1]


def test_holm_is_over_the_baselines_within_a_metric(table) -> None:
    for _, of_one in table.groupby("metric"):
        np.testing.assert_array_equal(of_one["p_holm"], holm(of_one["p"]))


def test_p_is_of_the_patients_mean_differences(table) -> None:
    points = patient_differences(three(), "ours", ["b"], "precision")
    assert len(points) == 10
    p = table[(table["metric"] == "precision") & (table["baseline"] == "b")]["p"]
    assert signed_rank_p(points["difference"]) == p.item()


def test_f1_of_a_patient_is_made_of_his_mean_precision_and_recall() -> None:
    rows = measured(0.9, seed=1, patients=10)
    of_p0 = rows[rows["patient"] == "p0"]
    other = measured(0.6, seed=2, patients=10)
    points = patient_differences(three(), "ours", ["b"], "f1").set_index("patient")
    expected = summarise(of_p0)["f1"] - summarise(other[other["patient"] == "p0"])["f1"]
    assert points.loc["p0", "difference"] == pytest.approx(expected)


@pytest.mark.parametrize("metric", ["hd", "precision"])
def test_a_slice_that_one_misses_counts_for_nothing_that_is_left_out(metric) -> None:
    ours, b = measured(0.9, seed=1), measured(0.6, seed=2)
    b.loc[0, metric] = np.nan
    rows = pd.concat([signed("ours", ours), signed("b", b)])
    found = against_baselines(rows, "ours", ["b"]).set_index("metric")
    expected = ours[metric][1:].mean() - b[metric][1:].mean()
    assert found.loc[metric, "difference"] == pytest.approx(expected)


def test_slices_are_averaged_over_seeds_before_anything_else() -> None:
    one, two = measured(0.9, seed=1), measured(0.8, seed=2)
    b = measured(0.6, seed=3)
    rows = pd.concat([signed("ours", one, two), signed("b", b, b)])
    found = against_baselines(rows, "ours", ["b"]).set_index("metric")
    expected = (one["dice"].mean() + two["dice"].mean()) / 2 - b["dice"].mean()
    assert found.loc["dice", "difference"] == pytest.approx(expected)
    assert found.loc["dice", "patients"] == 8


def test_one_patient_has_differences_and_no_test() -> None:
    found = against_baselines(three(patients=1), "ours", ["b"])
    assert found["difference"].notna().all()
    assert found[["low", "high", "p", "p_holm", "p_slices"]].isna().all(axis=None)


def test_other_slices_are_refused() -> None:
    rows = three()
    lacking = rows[~((rows["method"] == "b") & (rows["slice"] == 3))]
    with pytest.raises(InputError, match=r"p3 c3 3 *.*\[runs-slices\]"):
        against_baselines(lacking, "ours", ["b", "c"])


def test_without_a_baseline_the_table_is_empty() -> None:
    found = against_baselines(three(), "ours", [])
    assert list(found) == COMPARISON_COLUMNS
    assert found.empty
    assert patient_differences(three(), "ours", [], "dice").empty


def test_ranks_of_every_metric_sum_to_those_of_as_many_places() -> None:
    found = ranking(three())
    assert list(found) == RANKS_COLUMNS
    for _, of_one in found.groupby("metric"):
        assert of_one["share_first"].sum() == pytest.approx(1)
    dice = found[found["metric"] == "dice"].set_index("method")
    assert dice.loc["b", ["rank", "low", "high", "share_first"]].tolist() == [
        3,
        3,
        3,
        0,
    ]
    assert dice.loc["ours", ["rank", "share_first"]].tolist() == [1.5, 0.5]


def test_the_smallest_distance_ranks_first() -> None:
    found = ranking(three()).set_index(["metric", "method"])["rank"]
    assert found["hd_diagonal", "b"] == 3


def test_one_patient_has_plain_ranks() -> None:
    found = ranking(three(patients=1))
    assert set(found[found["metric"] == "dice"]["rank"]) == {3, 1.5}
    assert found[["low", "high", "share_first"]].isna().all(axis=None)


def test_patients_are_those_who_have_a_value_of_the_metric() -> None:
    rows = three()
    nothing = rows["patient"] == rows["patient"].iloc[0]
    rows.loc[nothing & (rows["method"] == "b"), "hd"] = np.nan
    table = against_baselines(rows, "ours", ["b", "c"]).set_index(
        ["metric", "baseline"]
    )
    everyone = rows["patient"].nunique()
    assert table["patients"]["hd", "b"] == everyone - 1
    assert table["patients"]["hd", "c"] == table["patients"]["dice", "b"] == everyone


def test_told_apart_is_what_interval_and_test_agree_on() -> None:
    agree = {"difference": 0.1, "low": 0.05, "high": 0.2, "p_holm": 0.01, "side": 1.0}
    turned = agree | {"difference": -0.1, "low": -0.2, "high": -0.05, "side": -1.0}
    open_ones = [
        agree | {"low": -0.01},
        agree | {"p_holm": 0.05},
        agree | {"side": -1.0},  # ranks and mean to other sides
        turned | {"high": 0.01},
        turned | {"side": 1.0},
    ]
    table = pd.DataFrame([agree, *open_ones, turned])
    assert told_apart(table).tolist() == [1, *[0] * len(open_ones), -1]
