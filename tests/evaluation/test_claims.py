from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mscf.errors import InputError
from mscf.evaluation.claims import (
    BRANCHES,
    ONE_SCALE,
    channel_claim,
    dice_claim,
    lesions_table,
    scales_claim,
    separation_claim,
    separation_table,
    split_claim,
    word_of_all,
)
from mscf.evaluation.outcome import outcome
from mscf.evaluation.runs import read_runs

EXCERPT = Path(__file__).parents[2] / "results/excerpt-448"


def rows(gain: float, patients: int = 22, noise: float = 0.01) -> pd.DataFrame:
    """Two methods on two slices a patient, the second better by ``gain``."""
    random = np.random.default_rng(0)
    found = []
    for n in range(patients):
        base = random.uniform(0.2, 0.7)
        for z in range(2):
            dice = {"cenet": base, "mscf": base + gain + random.normal(0, noise)}
            found += [
                {
                    "data": "d", "split": "patient", "fold": 0, "seed": 0,
                    "method": method, "case": f"c{n}", "patient": f"p{n}",
                    "slice": z, "tp": 1, "fp": 1, "fn": 1, "tn": 1, "dice": value,
                    **dict.fromkeys(
                        ("jaccard", "precision", "recall", "specificity", "f1", "hd",
                         "hd_diagonal", "hd_farthest", "hd95", "assd"), 0.5,
                    ),
                }
                for method, value in dice.items()
            ]  # fmt: skip
    return pd.DataFrame(found)


@pytest.mark.parametrize(
    ("gain", "patients", "word"),
    [
        (0.03, 22, "holds here"),
        (0.03, 19, "undecided at this size"),  # too few patients, whatever is seen
        (0.005, 22, "does not hold here"),  # above 0 for sure, but below the margin
        (-0.03, 22, "does not hold here"),
        (0.011, 22, "undecided at this size"),  # drawn with much noise
    ],
)
def test_a_claim_of_dice_follows_the_rules(gain, patients, word) -> None:
    noise = 0.2 if gain == 0.011 else 0.01
    claim = dice_claim(rows(gain, patients, noise), "mscf", "cenet")
    assert claim["outcome"] == word
    assert claim["low"] < claim["difference"] < claim["high"]
    assert claim["patients"] == patients
    other = dice_claim(rows(gain, patients, noise), "cenet", "mscf")
    assert other["difference"] == pytest.approx(-claim["difference"])


def test_the_rules_ask_for_margin_interval_and_test_together() -> None:
    assert outcome(1.2, 0.1, 2.3, 0.01, 22) == "reproduced"
    for changed in (
        (0.9, 0.1, 2.3, 0.01),
        (1.2, -0.1, 2.3, 0.01),
        (1.2, 0.1, 2.3, 0.06),
    ):
        assert outcome(*changed, 22) == "undecided"
    assert outcome(0.4, 0.1, 0.9, 0.01, 22) == "contradicted"
    assert outcome(0.4, 0.1, 0.9, 0.01, 19) == "undecided"


@pytest.mark.parametrize(
    ("gain", "patients", "word"),
    [
        (0.10, 22, "holds here"),
        (0.10, 19, "undecided at this size"),
        (0.015, 22, "does not hold here"),  # above 0 for sure, but below the margin
        (-0.10, 22, "does not hold here"),
    ],
)
def test_the_split_is_judged_on_the_slices_tested_under_both(
    gain, patients, word
) -> None:
    by_patient = rows(0.05, patients)
    by_slice = by_patient.assign(split="slice", fold=3, dice=by_patient["dice"] + gain)
    lonely = by_slice[by_slice["slice"] == 0].assign(slice=7, dice=0.0)
    table = split_claim(pd.concat([lonely, by_slice]), by_patient)
    assert [*table.index] == ["cenet", "mscf"]
    assert (table["outcome"] == word).all()
    assert (table[["slices", "patients"]] == [2 * patients, patients]).all(axis=None)
    np.testing.assert_allclose(table["difference"], 100 * gain)
    np.testing.assert_allclose(table["by slice"] - table["by patient"], 100 * gain)


def test_splits_are_compared_seed_by_seed_and_corrected_over_methods() -> None:
    by_patient = pd.concat([rows(0.0).assign(seed=n) for n in (0, 1)])
    patient = by_patient["patient"].str[1:].astype(int)
    up = by_patient["seed"].map({0: 0.2, 1: 0.0}) + 0.01 * (patient - 8)
    by_slice = by_patient.assign(dice=by_patient["dice"] + up)
    alone = by_slice[by_slice["seed"] == 0].assign(seed=2, dice=1.0)  # has no partner
    table = split_claim(pd.concat([by_slice, alone]), by_patient)
    assert (table["slices"] == 44).all()  # of two seeds one mean
    np.testing.assert_allclose(table["difference"], 100 * (0.1 + 0.025))
    one = split_claim(*(t[t["method"] == "mscf"] for t in (by_slice, by_patient)))
    assert table.loc["mscf", "p"] == pytest.approx(2 * one.loc["mscf", "p"])


def test_on_the_excerpt_every_network_scores_higher_by_slice_and_none_decides() -> None:
    """What the pages Excerpt and Leakage say in words."""
    methods = ["cenet", "self_attention", "mscf+channel", "mscf"]
    of = {s: read_runs(EXCERPT / s, methods).rows for s in ("slice", "patient")}
    table = split_claim(of["slice"], of["patient"])
    assert [*table.index] == methods
    assert (table["slices"] == len(of["slice"]) / len(methods)).all()  # each has both
    assert (table["difference"] > 0).all()
    assert (table["outcome"] == "undecided at this size").all()


@pytest.mark.parametrize("patients", [0, 1])
def test_of_one_patient_or_none_separation_has_no_interval(patients) -> None:
    table = pd.DataFrame({
        "case": "c", "patient": ["p0", "p1"], "slice": 0,
        "before_64": 0.1, "after_64": 0.3,
    })  # fmt: skip
    table.loc[patients:, "after_64"] = np.nan
    claim = separation_claim(table)
    assert claim["patients"] == patients
    assert np.isnan([claim["low"], claim["high"], claim["p"]]).all()
    assert claim["outcome"] == "undecided at this size"
    assert np.isnan(separation_table(table)["low"]).all()


def test_separation_is_averaged_over_the_scales_that_a_slice_has() -> None:
    table = pd.DataFrame({
        "case": "c", "patient": [f"p{n}" for n in range(21)], "slice": 0,
        "before_64": 0.1, "after_64": 0.3, "before_128": 0.2, "after_128": 0.2,
    })  # fmt: skip
    table.loc[0, ["before_128", "after_128"]] = np.nan
    table.loc[1, ["before_64", "after_64", "before_128", "after_128"]] = np.nan
    claim = separation_claim(table)
    assert claim["patients"] == 20
    assert claim["difference"] == pytest.approx((0.2 + 19 * 0.1) / 20)
    assert claim["outcome"] == "holds here"


def test_lesions_are_counted_over_all_cases() -> None:
    cases = pd.DataFrame({
        "dice": [1.0, 0.0], "voe": 0.0, "rvd": 0.0, "tp": [10, 0],
        "truth_voxels": [10, 10], "predicted_voxels": [10, 0],
        "lesions_truth": [1, 2], "lesions_predicted": [1, 3], "detected_50": [1, 0],
        "false_50": [0, 3], "lesions_below_10": [1, np.nan],
        "detected_below_10": [1, np.nan], "lesions_10_20": [0, np.nan],
        "detected_10_20": [0, np.nan], "lesions_above_20": [0, np.nan],
        "detected_above_20": [0, np.nan],
    })  # fmt: skip
    row = lesions_table({"mscf": cases}).loc["mscf"]
    assert (row["lesions"], row["found"], row["false"]) == (3, 1, 3)
    assert row["Dice of a case"] == 50
    assert row["Dice of all voxels"] == pytest.approx(2000 / 30)
    assert row["below_10"] == "1 of 1"


def test_the_gain_of_a_scale_is_over_the_slices_that_have_it() -> None:
    found = pd.DataFrame(
        {
            "patient": [f"p{n}" for n in range(8)],
            "before_64": 0.5, "after_64": np.linspace(0.55, 0.62, 8),
            "before_128": [0.2] * 4 + [np.nan] * 4,
            "after_128": [0.1] * 4 + [np.nan] * 4,
        }
    )  # fmt: skip
    table = separation_table(found)
    assert table.loc[64, "slices"] == table.loc[64, "patients"] == 8
    assert table.loc[64, "difference"] == pytest.approx(0.085)
    assert 0.05 < table.loc[64, "low"] < 0.085 < table.loc[64, "high"] < 0.12
    assert table.loc[128, "slices"] == table.loc[128, "patients"] == 4
    assert {table[name].dtype.kind for name in ("slices", "patients")} == {"i"}
    assert table.loc[128, "before"] == pytest.approx(0.2)
    assert table.loc[128, "high"] == pytest.approx(-0.1)


def of_methods(means: dict[str, float], patients: int = 22) -> pd.DataFrame:
    """Every method on the same slices, its Dice around its own mean."""
    one = rows(0.0, patients)
    one = one[one["method"] == "cenet"]
    random = np.random.default_rng(1)
    return pd.concat(
        one.assign(
            method=key, dice=one["dice"] + mean + random.normal(0, 0.005, len(one))
        )
        for key, mean in means.items()
    )


@pytest.mark.parametrize(
    ("means", "words"),
    [
        # The channel branch brings 3 points, the spatial one 1, a gain nothing.
        ((0.04, 0.01, 0.03, 0.0, 0.01), ("holds", "holds", "holds")),
        # As much by a gain alone: the branch helps, but not by context.
        ((0.04, 0.01, 0.03, 0.0, 0.04), ("holds", "holds", "does not hold")),
        # The spatial branch brings more.
        ((0.04, 0.03, 0.01, 0.0, 0.03), ("undecided", "does not hold", "undecided")),
    ],
)
def test_the_channel_branch_is_judged_by_its_three_contrasts(means, words) -> None:
    table = channel_claim(of_methods(dict(zip(BRANCHES.values(), means, strict=True))))
    both, spatial, channel, neither, gain = (100 * mean for mean in means)
    expected = [
        (both - spatial + channel - neither) / 2,
        channel - spatial,
        both - gain,
    ]
    assert table["difference"].to_numpy() == pytest.approx(expected, abs=0.4)
    assert table["margin"].tolist() == [1, 0, 1]
    for found, word in zip(table["outcome"], words, strict=True):
        assert found.startswith(word) or word == "undecided"
    assert word_of_all(table) == (
        "holds here" if set(words) == {"holds"} else "does not hold here"
    )


def test_three_scales_must_lead_each_of_them() -> None:
    means = {"mscf": 0.05} | dict(zip(ONE_SCALE, (0.0, 0.02, 0.048), strict=True))
    table = scales_claim(of_methods(means))
    assert list(table.index) == [*ONE_SCALE]
    assert table["outcome"].tolist() == ["holds here"] * 2 + ["does not hold here"]
    assert word_of_all(table) == "does not hold here"
    few = scales_claim(of_methods(means, patients=19))
    assert word_of_all(few) == "undecided at this size"


def test_a_claim_on_other_slices_is_refused() -> None:
    table = of_methods(dict.fromkeys(["mscf", *ONE_SCALE], 0.0))
    lost = (table["method"] == ONE_SCALE[1]) & (table["case"] == "c3")
    with pytest.raises(InputError, match="must have the slices of"):
        scales_claim(table[~lost])
