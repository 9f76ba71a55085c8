"""Lesions over cases, seeds and methods, and C5: small ones found, false ones fewer."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from claim_rows import by_first_folds

from mscf.evaluation.claims import word_of_all
from mscf.evaluation.lesion_claim import lesion_claim, lesions_table
from mscf.evaluation.statistics import signed_rank_p
from mscf.kept.results import read_beside

EXCERPT = Path(__file__).parents[2] / "results/excerpt-448/patient"
HOLDS, FAILS, OPEN = (
    "holds on the excerpt", "does not hold on the excerpt", "undecided at this size",
)  # fmt: skip


def cases(
    found: float | list, false: float | list, lesions=4, patients: int = 22, seed=0
) -> pd.DataFrame:
    """Rows of ``per_case.csv``, a patient each; ``found`` of so many small lesions."""
    return pd.DataFrame({
        "case": [f"c{n}" for n in range(patients)],
        "patient": [f"p{n}" for n in range(patients)],
        "dice": 0.5, "voe": 0.5, "rvd": 0.0, "tp": 10, "truth_voxels": 20,
        "predicted_voxels": 20, "lesions_truth": lesions, "lesions_predicted": 9,
        "detected_50": found, "false_50": false, "lesions_below_10": lesions,
        "detected_below_10": found, "lesions_10_20": 0, "detected_10_20": 0,
        "lesions_above_20": 0, "detected_above_20": 0,
        "fold": [n % 5 for n in range(patients)], "seed": seed,
    })  # fmt: skip


def test_lesions_are_counted_over_all_cases() -> None:
    table = pd.DataFrame({
        "case": ["a", "b"], "patient": ["a", "b"], "fold": 0, "seed": 0,
        "dice": [1.0, 0.0], "voe": 0.0, "rvd": 0.0, "tp": [10, 0],
        "truth_voxels": [10, 10], "predicted_voxels": [10, 0],
        "lesions_truth": [1, 2], "lesions_predicted": [1, 3], "detected_50": [1, 0],
        "false_50": [0, 3], "lesions_below_10": [1, np.nan],
        "detected_below_10": [1, np.nan], "lesions_10_20": [0, np.nan],
        "detected_10_20": [0, np.nan], "lesions_above_20": [0, np.nan],
        "detected_above_20": [0, np.nan],
    })  # fmt: skip
    row = lesions_table({"mscf": table}).loc["mscf"]
    assert (row["lesions"], row["found"], row["false"]) == (3, 1, 3)
    assert row["Dice of a case"] == 50
    assert row["Dice of all voxels"] == pytest.approx(2000 / 30)
    assert row["below_10"] == "1 of 1"


def test_a_second_seed_makes_no_second_lesion() -> None:
    once = lesions_table({"mscf": cases(1, 3)})
    twice = pd.concat([cases(1, 3), cases(2, 4, seed=1)])
    row = lesions_table({"mscf": twice}).loc["mscf"]
    assert once.loc["mscf", ["lesions", "found", "false"]].tolist() == [88, 22, 66]
    assert row[["lesions", "found", "false"]].tolist() == [88, 33, 77]
    assert row["below_10"] == "33 of 88"


def test_lesions_are_of_the_runs_that_all_methods_share() -> None:
    ours = pd.concat([cases(1, 3), cases(4, 9, seed=1)])
    other = cases(1, 3)
    table = lesions_table({"mscf": ours, "cenet": other[other["fold"] == 2]})
    assert table.loc["mscf", "lesions"] == table.loc["cenet", "lesions"] == 4 * 4
    assert table.loc["mscf", "false"] == 3 * 4


@pytest.mark.parametrize(
    ("found", "false", "words"),
    [
        ([2, 1] * 11, 5, [HOLDS, HOLDS]),  # 38 against 25 %, half of the components
        ([2, 1] * 11, [10, 9] * 11, [HOLDS, FAILS]),  # 5 % fewer are not 10
        (1, 5, [FAILS, HOLDS]),  # as many are found: 5 points more are excluded
        ([4, 0, 0, 0, 1] * 4 + [1, 1], 5, [OPEN, HOLDS]),
    ],
)
def test_the_claim_of_lesions_follows_the_rules(found, false, words) -> None:
    of = {"mscf": cases(found, false), "cenet": cases(1, 10)}
    table = lesion_claim(of, "excerpt-448")
    expected = 100 * (np.mean(found) - 1) / 4, 10 * (10 - np.mean(false))
    assert table["difference"].tolist() == pytest.approx(expected)
    assert table["margin"].tolist() == [5, 10]
    assert table["outcome"].tolist() == words
    said = HOLDS if words == [HOLDS] * 2 else FAILS if FAILS in words else OPEN
    assert word_of_all(table) == said


def test_shares_are_of_all_lesions_and_the_test_is_on_patients_that_have_some() -> None:
    lesions = [8, 1] * 10 + [0, 0]
    ours = cases([2, 1] * 10 + [0, 0], 5, lesions)
    other = cases(0, 10, lesions)
    table = lesion_claim({"mscf": ours, "cenet": other}, "excerpt-448")
    assert table["patients"].tolist() == [20, 22]
    assert table["difference"].tolist() == pytest.approx([100 * 30 / 90, 50])
    low, high = table[["low", "high"]].iloc[0]
    assert 25 < low < 100 / 3 < high < 100
    assert table["p"].max() < 0.05
    # Every second patient has one lesion, and half of these lose it: most in shares,
    # least in numbers.
    other = cases([0, 1] * 5 + [0, 0] * 6, 10, lesions)
    table = lesion_claim(
        {"mscf": cases([2, 0] * 10 + [0, 0], 5, lesions), "cenet": other}
    )
    shares, numbers = ([gain, -1] * 5 + [gain, 0] * 5 for gain in (2 / 8, 2))
    assert table["p"].iloc[0] == pytest.approx(signed_rank_p(shares))
    assert signed_rank_p(numbers) < 0.1 < signed_rank_p(shares)


@pytest.mark.parametrize("ours", [3, 0])
def test_without_its_conditions_no_claim_of_lesions_is_decided(ours) -> None:
    of = {"mscf": cases(ours, 1), "cenet": cases(1, 10)}
    assert OPEN not in [*lesion_claim(of)["outcome"]]
    few = {key: t.assign(lesions_below_10=[4] * 19 + [np.nan] * 3)
           for key, t in of.items()}  # fmt: skip
    part = {key: by_first_folds(table) for key, table in of.items()}
    sizes = [name for name in of["mscf"] if name.endswith(("_10", "_20"))]
    unknown = {key: table.drop(columns=sizes) for key, table in of.items()}
    for without, patients in ((few, 19), (part, 22), (unknown, 0)):
        table = lesion_claim(without)
        assert table["patients"].tolist() == [patients, 22]
        assert (table["outcome"] == OPEN).all()


def test_seeds_are_averaged_and_of_the_runs_that_both_have() -> None:
    ours = pd.concat([cases(3, 4), cases(1, 6, seed=1), cases(4, 0, seed=2)])
    other = pd.concat([cases(1, 10), cases(1, 10, seed=1)])
    table = lesion_claim({"mscf": ours, "cenet": other})
    assert table["difference"].tolist() == pytest.approx([25, 50])


def test_a_network_without_false_components_leaves_no_share_and_no_error() -> None:
    table = lesion_claim({"mscf": cases(1, 0), "cenet": cases(1, 0)})
    row = table.iloc[1]
    assert np.isnan(row[["difference", "low", "high"]].astype(float)).all()
    assert row["outcome"] == OPEN


def test_on_the_excerpt_too_few_patients_have_a_known_small_lesion() -> None:
    of = {key: read_beside(EXCERPT, key, "per_case") for key in ("mscf", "cenet")}
    table = lesion_claim(of, "excerpt-448")
    assert table["patients"].tolist() == [6, 22]
    assert (table["outcome"] == OPEN).all()
    assert lesions_table(of).loc["mscf", ["lesions", "found"]].tolist() == [127, 14]
