"""What the page on the excerpt says of other metrics, rules, lesions and sizes."""

import math
import re

import numpy as np
import pandas as pd
import pytest

from mscf.evaluation.differences import against_baselines, told_apart
from mscf.evaluation.kept_run import THRESHOLD
from mscf.evaluation.lesion_claim import lesions_table
from mscf.evaluation.ranking import ranking
from mscf.evaluation.results_table import (
    BOUNDARIES,
    RULES,
    SEVEN,
    THREE_RULES,
    results_table,
    where_all_draw,
)
from mscf.evaluation.runs import Runs, read_runs
from mscf.evaluation.statistics import LEVEL, holm
from mscf.evaluation.tables import summary, under_rule
from mscf.kept.results import read_beside
from mscf.paths import root

PLACE = root() / "results/excerpt-448/patient"
FOUR = ("cenet", "self_attention", "mscf+channel", "mscf")
OTHERS = FOUR[:3]


@pytest.fixture(scope="module")
def runs() -> Runs:
    return read_runs(PLACE, FOUR, [THRESHOLD])


@pytest.fixture(scope="module")
def both(runs) -> pd.DataFrame:
    return pd.concat([runs.rows, runs.beside])


@pytest.fixture(scope="module")
def against_ours(runs) -> pd.DataFrame:
    return against_baselines(runs.rows, "mscf", OTHERS)


def test_only_in_precision_and_only_from_self_attention_is_ours_told_apart(
    against_ours,
) -> None:
    of_seven = against_ours[against_ours["metric"].isin(SEVEN)]
    (row,) = of_seven[told_apart(of_seven) < 0].to_dict("records")
    assert not (told_apart(of_seven) > 0).any()
    assert (row["metric"], row["baseline"]) == ("precision", "self_attention")
    assert -0.09 < row["difference"] < -0.08
    assert 0.03 < row["p_holm"] < 0.05
    paper = pd.read_csv(root() / "results/paper/table1.csv", index_col="key")
    ahead = paper["precision"]["mscf"] - paper["precision"]["self_attention"]
    assert round(ahead) == 6
    assert holm(of_seven["p"]).min() > 0.2  # over all tests nothing is left


def test_by_the_other_rules_ours_is_not_told_from_self_attention_in_precision(
    runs,
) -> None:
    told = {}
    for rule in RULES:
        table = against_baselines(under_rule(runs.rows, rule), "mscf", OTHERS)
        table["told"] = told_apart(table)
        table = table.query("metric == 'precision'").set_index("baseline")
        assert (table["difference"] < 0).all()
        assert table["high"]["self_attention"] < 0
        told[rule] = [*table.index[table["told"] != 0]]
    assert told == {"strict": ["self_attention"], "nan": [], "one": ["mscf+channel"]}


def test_drawn_on_by_both_ours_is_half_as_far_behind_and_not_told(
    runs, against_ours
) -> None:
    of_hd = against_ours[against_ours["metric"] == "hd"].set_index("baseline")
    assert not told_apart(of_hd).any()
    own = runs.rows.groupby("method")["hd"].mean()
    behind = own["mscf"] - own["mscf+channel"]
    assert 0 < of_hd["difference"]["mscf+channel"] < behind / 2


def test_where_only_one_of_interval_and_test_speaks_is_named_whole(
    against_ours,
) -> None:
    of_seven = against_ours[against_ours["metric"].isin(SEVEN)]
    beyond = of_seven["low"] * of_seven["high"] > 0
    alone = {
        name: set(map(tuple, of_seven.loc[one, ["metric", "baseline"]].to_numpy()))
        for name, one in (
            ("interval", beyond & (of_seven["p_holm"] >= LEVEL)),
            ("test", ~beyond & (of_seven["p_holm"] < LEVEL)),
        )
    }
    assert alone == {
        "interval": {
            ("hd_diagonal", "mscf+channel"),
            ("specificity", "self_attention"),
        },
        "test": {("specificity", "mscf+channel")},
    }
    of_test = of_seven.query("metric == 'specificity' and baseline != 'cenet'")
    assert (of_test["side"] < 0).all()


def test_c4_cannot_hold_as_three_of_the_ten_show_in_precision(runs) -> None:
    three = runs.rows[runs.rows["method"] != "mscf+channel"]
    table = ranking(three).query("metric == 'precision'").set_index("method")
    assert table.loc["mscf", "share_first"] == 0


def test_recall_is_below_precision_for_all_four_and_highest_for_ours(runs) -> None:
    means = runs.rows.groupby("method")[["recall", "precision"]].mean()
    assert (means["recall"] < means["precision"]).all()
    assert means["recall"].idxmax() == "mscf"
    wrong = runs.rows.groupby("method")["fp"].sum().sort_values()
    assert wrong.index[-2:].tolist() == ["mscf", "cenet"]
    paper = pd.read_csv(root() / "results/paper/table1.csv", index_col="key")
    assert (paper["recall"] > paper["precision"]).all()


def test_who_is_first_moves_with_the_rules_as_the_page_says(runs) -> None:
    means = results_table(runs).loc[[*FOUR]]
    first = {rule: means[rule].astype(float).idxmin() for rule in THREE_RULES}
    assert first == {
        "hd_diagonal": "mscf", "hd": "mscf+channel", "hd_farthest": "mscf",
    }  # fmt: skip
    assert means["hd"].astype(float).rank()["mscf"] == 3
    assert means["missed"].idxmax() == "mscf+channel"
    assert means["dice"].astype(float).idxmax() == "mscf"
    pooled = means["dice_pooled"].astype(float)
    assert (pooled.idxmax(), pooled.idxmin()) == ("mscf+channel", "cenet")
    precision = means[["precision_pooled", "precision"]].astype(float)
    order = precision["precision_pooled"].sort_values()
    assert (order.index[0], order.index[-1]) == ("cenet", "mscf+channel")
    assert order.iloc[0] < order.iloc[1] / 2
    ahead = precision.loc["self_attention"] - precision.loc["mscf"]
    assert 0 < ahead["precision_pooled"] < ahead["precision"] / 3
    most = {}
    for rule in ("strict", "nan", "one"):
        table = summary(runs.rows, empty=rule)
        table = table[table["seed"].isna()].set_index("method")
        assert table["precision"].idxmin() == "mscf"
        assert table["f1"].idxmax() == "mscf"
        most[rule] = table["precision"].idxmax()
    assert set(most.values()) == {"self_attention", "mscf+channel"}
    assert most["one"] == "mscf+channel"


def test_distances_to_cenet_are_undecided_and_shorter_by_each_rule(
    runs, against_ours
) -> None:
    of_cenet = against_ours[against_ours["baseline"] == "cenet"].set_index("metric")
    for rule in THREE_RULES:
        assert of_cenet.loc[rule, "difference"] < -1
        assert of_cenet.loc[rule, "low"] < 0 < of_cenet.loc[rule, "high"]
    edges = runs.rows.groupby("method")[["hd", "hd_edge"]].mean()
    assert (edges["hd"] - edges["hd_edge"]).abs().max() < 0.25


def test_in_boundaries_ours_is_last_by_little(runs) -> None:
    table = results_table(where_all_draw(runs)).loc[[*FOUR]]
    for name in BOUNDARIES:
        distances = table[name].astype(float)
        assert distances.idxmax() == "mscf"
        assert distances["mscf"] < 1.2 * distances.min()


def test_the_threshold_s_distance_has_the_sign_of_the_rule(both) -> None:
    table = against_baselines(both, THRESHOLD, FOUR)
    table = table[told_apart(table) != 0]
    by_diagonal = table[table["metric"] == "hd_diagonal"]
    left_out = table[table["metric"] == "hd"]
    assert len(by_diagonal) == len(left_out) == 4
    assert (by_diagonal["high"] < 0).all()
    assert (left_out["low"] > 0).all()
    of_it = both[both["method"] == THRESHOLD]
    assert (of_it["predicted_px"] > 0).all()
    assert not (table["metric"] == "dice").any()


def test_lesions_are_hardly_found_as_the_page_says() -> None:
    cases = {key: read_beside(PLACE, key, "per_case") for key in FOUR}
    table = lesions_table(cases)
    assert table["below_10"].str.startswith("0 of").all()
    assert (table["above_20"] == "1 of 16").all()
    for of in cases.values():  # most finds are of lesions without a size
        sized = of["lesions_below_10"].notna()
        assert of["detected_50"][~sized].sum() > of["detected_50"][sized].sum()
        share = of["lesions_truth"][~sized].sum() / of["lesions_truth"].sum()
        assert 0.3 < share < 0.4
        small = of.groupby("patient")["lesions_below_10"].sum()
        assert (small > 0).sum() == 6
        assert 0.5 < small.max() / small.sum() < 0.65
        assert small.idxmax() == "P46"  # whose slices' distance is tested below
    assert (table["found"] / table["lesions"]).between(0.09, 0.115).all()
    false = table["false"] / table["found"]
    assert 58 < false["cenet"] < 63
    of_patients = cases["cenet"].groupby("patient")["false_50"].sum()
    share = of_patients.nlargest(2).sum() / of_patients.sum()
    assert share == pytest.approx(5 / 6, abs=0.02)
    large = {
        (row.case, key)
        for key, of in cases.items()
        for row in of.itertuples()
        if row.detected_above_20 > 0
    }
    assert len({case for case, _ in large}) == 1
    assert false.drop("cenet").between(8, 14.5).all()
    assert table["Dice of a case"].idxmax() == "self_attention"
    assert table["Dice of all voxels"].idxmax() == "mscf+channel"


def test_most_small_lesions_are_of_a_patient_whose_slices_lie_far_apart() -> None:
    half = root() / "results/lits_excerpt-224/patient"
    lesions = read_beside(half, "cenet+third-seed", "lesions")
    lesions = lesions[lesions["patient"] == "P46"]
    volume = math.pi / 6 * lesions["diameter_mm"] ** 3 / lesions["voxels"]
    rows = read_runs(half, ["cenet+third-seed"]).rows
    (pixel,) = {*rows["spacing_y"][rows["patient"] == "P46"]}
    np.testing.assert_allclose(volume / pixel**2, 8.0, rtol=1e-6)


def test_misses_and_wrong_pixels_by_size_are_as_the_page_says(both) -> None:
    small = both[both["truth_px"] <= 100]
    nothing = (small["tp"] == 0).groupby(small["method"]).mean()
    assert (nothing[[*FOUR]] > 0.5).all()
    assert nothing["mscf"] > nothing["cenet"]
    assert 0.77 < nothing["mscf"] < 0.83
    wrong = small.groupby("method")["fp"].mean()
    assert wrong["cenet"] / wrong[[*FOUR]].drop("cenet").max() > 19
    of_cenet = both[both["method"] == "cenet"]
    share = of_cenet["fp"][of_cenet["truth_px"] <= 100].sum() / of_cenet["fp"].sum()
    assert 0.5 < share < 0.65
    for _, of_size in both.groupby(pd.cut(both["truth_px"], [0, 100, 400, 1600, 1e6])):
        missed = (of_size["tp"] == 0).groupby(of_size["method"]).mean()
        assert missed.idxmin() == THRESHOLD


def test_the_plan_for_lits_has_what_the_page_says_of_it() -> None:
    for profile in ("lits", "claims"):
        text = (root() / f"grid/{profile}.yaml").read_text("utf-8")
        assert re.search(r"epochs: 400\b.*require-pretrained: true", text)
        assert "log-odds-bias" not in text
    own = (root() / "grid/excerpt-448.yaml").read_text("utf-8")
    assert {"name:", "cases:"} <= set(re.findall(r"^\w+:", own, re.MULTILINE))
