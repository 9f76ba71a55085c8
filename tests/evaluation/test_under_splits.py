"""The same methods under both splits: means, differences, and what is said of them."""

import re

import pandas as pd
import pytest
from claim_rows import rows as claim_rows
from kept_runs import keep, measured

from mscf.evaluation.claims import split_claim
from mscf.evaluation.over_trainings import split_claim_over_trainings
from mscf.evaluation.under_splits import (
    SPLITS,
    agreement_in_words,
    dice_under_splits,
    differences_under_splits,
    shown_split_claim,
)


def test_a_split_that_was_not_run_has_no_line(tmp_path) -> None:
    results = tmp_path / "phantoms-24"
    assert dice_under_splits(results, ["mscf"]).empty
    assert differences_under_splits(results, "mscf", ["cenet"]).empty
    rows = measured()
    keep(results / "patient", "cenet", rows)
    table = dice_under_splits(results, ["mscf", "cenet"])
    assert table[["split", "method"]].to_numpy().tolist() == [["patient", "cenet"]]
    assert table["dice"].iloc[0] == pytest.approx(rows["dice"].mean())
    keep(results / "slice", "cenet", rows)
    table = dice_under_splits(results, ["mscf", "cenet"])
    assert table["split"].tolist() == ["slice", "patient"]
    assert (table["dice_low"] <= table["dice"]).all()


def test_a_difference_is_that_of_its_own_split(tmp_path) -> None:
    results = tmp_path / "phantoms-24"
    quality = {("slice", "mscf"): 0.9, ("slice", "cenet"): 0.5,
               ("patient", "mscf"): 0.4, ("patient", "cenet"): 0.7}  # fmt: skip
    dice = {}
    for (split, method), drawn in quality.items():
        rows = measured(drawn)
        dice[split, method] = rows["dice"].mean()
        keep(results / split, method, rows)
    keep(results / "patient", "mscf", measured(0.9, seed=1), seed=1)  # alone
    for method in ("mscf", "cenet"):
        again = measured(quality["slice", method], seed=1)
        keep(results / "slice", method, again, seed=1)
        dice["slice", method] = (dice["slice", method] + again["dice"].mean()) / 2
    table = differences_under_splits(results, "mscf", ["cenet", "senet"])
    assert table["seeds"].tolist() == [2, 1]
    assert table[["split", "baseline"]].to_numpy().tolist() == [
        ["slice", "cenet"], ["patient", "cenet"],
    ]  # fmt: skip
    for split, found in zip(table["split"], table["difference"], strict=True):
        assert found == pytest.approx(dice[split, "mscf"] - dice[split, "cenet"])
    assert (table["low"] <= table["difference"]).all()


def test_c6_is_shown_beside_what_copying_reaches() -> None:
    by_patient = claim_rows(0.0).assign(
        height=24, width=24, spacing_y=1.0, spacing_x=1.0, predicted_px=2,
        outcome="overlap", dice=0.5,
    )  # fmt: skip
    whole = {"tp": 2, "fp": 0, "fn": 0, "dice": 1.0}
    by_slice = by_patient.assign(split="slice", **whole)
    unmoved = by_slice["method"] == "cenet"
    by_slice[unmoved] = by_patient[unmoved].assign(split="slice")
    copied = {"slice": {"dice": 0.7, "low": 0.6, "high": 0.8}, "patient": {"dice": 0.1}}
    claim = split_claim(by_slice, by_patient)
    table = shown_split_claim(claim, by_slice, by_patient, copied)
    table = table.replace("\N{NO-BREAK SPACE}", " ", regex=True)
    half, more = "50.00 (50.00 to 50.00)", "100.00 (100.00 to 100.00)"
    assert table["mscf"].tolist() == [
        more, half, half, "< 0.001", 44, 22, "holds on the excerpt",
    ]  # fmt: skip
    assert table["cenet"].tolist() == [
        half, half, "0.00 (0.00 to 0.00)", "1.000", 44, 22,
        "does not hold on the excerpt",
    ]  # fmt: skip
    assert table["copying"].tolist() == ["70.00 (60.00 to 80.00)", "10.00", *[""] * 5]
    claim = split_claim_over_trainings(by_slice, by_patient)
    table = shown_split_claim(claim, by_slice, by_patient, copied)
    assert table.loc["low, trainings", "mscf"] == "50.00"


def test_c6_is_shown_from_the_lower_to_the_upper_end() -> None:
    by_patient = claim_rows(0.1, noise=0.1).assign(
        height=24, width=24, spacing_y=1.0, spacing_x=1.0, predicted_px=2,
        outcome="overlap",
    )  # fmt: skip
    by_slice = by_patient.assign(split="slice", dice=by_patient["dice"] ** 2)
    claim = split_claim(by_slice, by_patient)
    table = shown_split_claim(claim, by_slice, by_patient, {})
    for method, row in claim.iterrows():
        numbers = re.findall(r"-?\d+\.\d\d", table.loc["difference", method])
        gain, low, high = map(float, numbers)
        assert low < gain < high < 0
        assert [gain, low, high] == pytest.approx(
            row[["difference", "low", "high"]].tolist(), abs=0.006
        )


def table_of(p=0.01, **intervals) -> pd.DataFrame:
    """A baseline's (low, high) under slice and patient, halfway the difference."""
    return pd.DataFrame(
        [
            {"split": split, "seeds": 2, "baseline": key, "low": low, "high": high,
             "difference": (low + high) / 2, "p": p}
            for key, both in intervals.items()
            for split, (low, high) in zip(SPLITS, both, strict=True)
        ]
    )  # fmt: skip


def test_words_count_signs_and_name_what_interval_and_test_say() -> None:
    agree, sure = ((0.1, 0.3), (-0.1, 0.2)), ((0.1, 0.3), (0.2, 0.4))
    opposed = ((0.1, 0.3), (-0.3, -0.1))
    assert agreement_in_words(table_of(cenet=agree, senet=opposed), {}) == (
        "Over 2 seeds by slice and 2 seeds by patient: of 2 differences 1 have one "
        "sign under both splits, where about half would by chance; by interval and "
        "test (Holm over 2) under both none is told from 0."
    )
    text = agreement_in_words(table_of(cenet=sure, senet=opposed), {"cenet": "CE-Net"})
    assert text.endswith(
        "by interval and test (Holm over 2) under both those to CE-Net are told from 0."
    )
    for p, told in ((0.02, True), (0.03, False)):  # twice that, by Holm
        table = table_of(p, cenet=sure, senet=opposed)
        assert ("to cenet are" in agreement_in_words(table, {})) == told
    one = table_of(cenet=sure)
    assert "Only one split" in agreement_in_words(one[one["split"] == "slice"], {})


def test_a_method_of_one_split_only_is_not_counted() -> None:
    both = table_of(cenet=((0.1, 0.3), (0.2, 0.4)), senet=((0.1, 0.3), (0.2, 0.4)))
    table = both[(both["baseline"] == "cenet") | (both["split"] == "slice")]
    assert agreement_in_words(table, {}).count(": of 1 differences") == 1
