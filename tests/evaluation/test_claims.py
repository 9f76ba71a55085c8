import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from claim_rows import by_first_folds, of_methods, rows

from mscf.errors import InputError
from mscf.evaluation.claims import (
    BRANCHES,
    ONE_SCALE,
    channel_claim,
    dice_claim,
    judged,
    pairs_claim,
    scales_claim,
    separation_claim,
    separation_table,
    split_claim,
    under_both_splits,
    with_interval,
    word_of_all,
)
from mscf.evaluation.outcome import OUTCOMES, on_all_folds, outcome, words_on
from mscf.evaluation.runs import read_runs
from mscf.kept.results import read_beside

RESULTS = Path(__file__).parents[2] / "results"
EXCERPT = RESULTS / "excerpt-448"
HOLDS, FAILS, OPEN = (
    "holds on the excerpt", "does not hold on the excerpt", "undecided at this size",
)  # fmt: skip


@pytest.mark.parametrize(
    ("gain", "patients", "word"),
    [
        (0.03, 22, HOLDS),
        (0.03, 19, OPEN),  # too few patients, whatever is seen
        (0.005, 22, FAILS),  # above 0 for sure, but below the margin
        (-0.03, 22, FAILS),
        (0.011, 22, OPEN),  # drawn with much noise
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


def test_a_claim_takes_the_runs_that_its_methods_share() -> None:
    """A seed that one of them lacks is no part of it, and no reason to be open."""
    table = rows(0.03)
    more = table[table["method"] == "mscf"].assign(seed=1, dice=0.0)
    alone = dice_claim(table, "mscf", "cenet")
    assert dice_claim(pd.concat([table, more]), "mscf", "cenet") == alone
    assert alone["seeds"] == 1


def test_pairs_are_claims_of_dice_with_p_corrected_over_all() -> None:
    table = of_methods({"cenet": 0.0, "mscf": 0.03, "mscf+channel": 0.03})
    pairs = {"all": ("mscf", "cenet"), "one part": ("mscf", "mscf+channel")}
    claims = pairs_claim(table, pairs)
    assert claims["outcome"].tolist() == [HOLDS, FAILS]
    assert pairs_claim(table, {"c": ("cenet", "mscf")})["outcome"].tolist() == [FAILS]
    for name, pair in pairs.items():
        alone = dice_claim(table, *pair)
        for number in ("difference", "low", "high", "patients", "margin"):
            assert claims.loc[name, number] == pytest.approx(alone[number])
    assert claims.loc["all", "p"] == 2 * dice_claim(table, "mscf", "cenet")["p"]
    lone = table[table["method"] == "mscf"].assign(seed=1)  # of one method alone
    assert pairs_claim(pd.concat([table, lone]), pairs).equals(claims)


def test_the_papers_own_difference_stands_beside_a_claim() -> None:
    table, paper = rows(0.03), {"mscf": 82.16, "cenet": 78.41}
    claim = dice_claim(table, "mscf", "cenet", paper)
    assert claim["paper"] == pytest.approx(3.75)
    assert claim["in interval"] == "no"  # it is around 3 here
    assert claim["outcome"] == HOLDS  # which it does not change
    assert dice_claim(rows(0.0375), "mscf", "cenet", paper)["in interval"] == "yes"
    lacking = dice_claim(table, "mscf", "cenet", {"mscf": 82.16})
    assert np.isnan(lacking["paper"])
    assert lacking["in interval"] == ""


def test_the_rules_ask_for_margin_interval_and_test_together() -> None:
    assert outcome(1.2, 0.1, 2.3, 0.01, 1, 22) == "reproduced"
    for changed in (
        (0.9, 0.1, 2.3, 0.01, 1),
        (1.2, -0.1, 2.3, 0.01, 1),
        (1.2, 0.1, 2.3, 0.06, 1),
        (1.2, 0.1, 2.3, 0.01, -1),
    ):
        assert outcome(*changed, 22) == "undecided"
    assert outcome(0.4, 0.1, 0.9, 0.01, 1, 22) == "contradicted"
    assert outcome(0.4, 0.1, 0.9, 0.01, 1, 19) == "undecided"
    assert outcome(1.2, 0.1, 2.3, 0.01, 1, 22, whole=False) == "undecided"
    assert outcome(0.4, 0.1, 0.9, 0.01, 1, 22, whole=False) == "undecided"


def test_a_gain_of_slices_against_which_the_patients_speak_is_undecided() -> None:
    """Six of many slices gain three points, sixteen of few lose four."""
    gains = np.repeat([3.0, -4.0], [6 * 60, 16 * 3])
    patients = np.repeat(np.arange(22), [60] * 6 + [3] * 16)
    found = with_interval(pd.Series(gains), pd.Series(patients))
    assert found["difference"] > 2
    assert found["low"] > 0
    assert found["p"] < 0.001  # against the gain
    as_they_are = {word: word for word in OUTCOMES}
    table = judged({"gain": found}, [1.0], whole=True, words=as_they_are)
    assert table["outcome"].tolist() == ["undecided"]


def test_runs_are_whole_when_each_seed_of_each_method_is_on_all_folds() -> None:
    one = rows(0.0)
    again = one.assign(seed=1)
    ours = again["method"] == "mscf"
    assert on_all_folds(one)
    assert on_all_folds(pd.concat([one, again]))
    assert on_all_folds(one.drop(columns="method"))  # of one method, not named
    for not_whole in (
        one[one["fold"] < 4],
        one[(one["fold"] > 0) | (one["method"] == "cenet")],
        pd.concat([one, again[again["fold"] == 0]]),
        pd.concat([one, again[~ours], again[ours & (again["fold"] < 4)]]),
        by_first_folds(one),
        one.drop(columns=["fold", "seed"]),
        one[:0],
    ):
        assert not on_all_folds(not_whole)


@pytest.mark.parametrize("gain", [0.1, -0.1])
def test_parts_of_the_folds_decide_nothing_however_many_patients(gain) -> None:
    whole = rows(gain)
    parts = by_first_folds(whole)
    assert dice_claim(whole, "mscf", "cenet")["outcome"] != OPEN
    claim = dice_claim(parts, "mscf", "cenet")
    assert claim["patients"] == 22
    assert claim["outcome"] == OPEN
    more = parts.assign(split="slice", dice=parts["dice"] + gain)
    assert (split_claim(more, parts)["outcome"] == OPEN).all()
    all_folds = whole.assign(dice=whole["dice"] + gain)
    assert (split_claim(all_folds, whole)["outcome"] != OPEN).all()
    assert (split_claim(all_folds.assign(fold=0), whole)["outcome"] == OPEN).all()
    keys = [*BRANCHES.values()]
    means = dict(zip(keys, (gain, 0, gain / 2, 0, 0), strict=True))
    assert (channel_claim(by_first_folds(of_methods(means)))["outcome"] == OPEN).all()
    means = {"mscf": gain} | dict.fromkeys(ONE_SCALE, 0.0)
    assert (scales_claim(by_first_folds(of_methods(means)))["outcome"] == OPEN).all()


def test_the_page_of_the_grid_says_how_lits_is_judged() -> None:
    page = (RESULTS.parent / "book/grid.md").read_text(encoding="utf-8")
    assert all(f"*{word}*" in page for word in words_on("lits-448").values())


@pytest.mark.parametrize(
    ("data", "word"),
    [
        ("excerpt-448", HOLDS),
        ("excerpt", HOLDS),
        ("lits_excerpt-224", HOLDS),
        ("phantoms-shown-192", "holds on phantoms-shown"),
        ("lits-448", "holds on lits"),
        ("", "holds on these data"),
    ],
)
def test_an_outcome_names_the_data_that_it_is_about(data, word) -> None:
    said = words_on(data)
    assert said["reproduced"] == word
    assert said["contradicted"] == word.replace("holds", "does not hold")
    assert said["undecided"] == OPEN


@pytest.mark.parametrize(
    ("gain", "patients", "word"),
    [
        (0.10, 22, HOLDS),
        (0.10, 19, OPEN),
        (0.015, 22, FAILS),  # above 0 for sure, but below the margin
        (-0.10, 22, FAILS),
    ],
)
def test_the_split_is_judged_on_the_slices_tested_under_both(
    gain, patients, word
) -> None:
    by_patient = rows(0.05, patients)
    fold = (by_patient["fold"] + by_patient["slice"]) % 5
    dice = by_patient["dice"] + gain
    by_slice = by_patient.assign(split="slice", fold=fold, dice=dice)
    lonely = by_slice[by_slice["slice"] == 0].assign(slice=7, dice=0.0)
    table = split_claim(pd.concat([lonely, by_slice]), by_patient)
    assert (table["outcome"] == OPEN).all()  # of other slices, or not all run
    np.testing.assert_allclose(table["difference"], 100 * gain)
    table = split_claim(by_slice, by_patient)
    assert [*table.index] == ["cenet", "mscf"]
    assert (table["outcome"] == word).all()
    assert (table["margin"] == 2.19).all()
    assert (table[["slices", "patients"]] == [2 * patients, patients]).all(axis=None)
    np.testing.assert_allclose(table["difference"], 100 * gain)
    np.testing.assert_allclose(table["by slice"] - table["by patient"], 100 * gain)


def test_the_split_is_open_until_both_methods_are_there() -> None:
    by_patient = rows(0.0)
    by_slice = by_patient.assign(split="slice", dice=by_patient["dice"] + 0.1)
    one = by_slice[by_slice["method"] == "mscf"]
    assert (split_claim(one, by_patient)["outcome"] == OPEN).all()
    assert (split_claim(one, by_patient, ["mscf"])["outcome"] == HOLDS).all()


def test_a_slice_with_two_truths_is_of_two_stores() -> None:
    by_patient = rows(0.0)
    other = by_patient.assign(split="slice", truth_px=by_patient["truth_px"] + 1)
    with pytest.raises(InputError, match=r"must be of one store .* tumour pixels in"):
        split_claim(other, by_patient)


def test_splits_are_compared_seed_by_seed_and_corrected_over_methods() -> None:
    by_patient = pd.concat([rows(0.0).assign(seed=n) for n in (0, 1)])
    patient = by_patient["patient"].str[1:].astype(int)
    up = by_patient["seed"].map({0: 0.2, 1: 0.0}) + 0.01 * (patient - 8)
    by_slice = by_patient.assign(dice=by_patient["dice"] + up)
    first = (by_slice["seed"] == 0) & (by_slice["fold"] == 0)
    alone = by_slice[first].assign(seed=2, dice=1.0)  # has no partner
    by_slice = by_slice.assign(split="slice")
    table = split_claim(pd.concat([by_slice, alone]), by_patient)
    assert (table["slices"] == 44).all()  # of two seeds one mean
    np.testing.assert_allclose(table["difference"], 100 * (0.1 + 0.025))
    assert (table["outcome"] == HOLDS).all()  # what has no partner is not asked of
    one = split_claim(by_slice, by_patient, ["mscf"])
    assert table.loc["mscf", "p"] == pytest.approx(2 * one.loc["mscf", "p"])
    drawn = under_both_splits(pd.concat([by_slice, alone]), by_patient)
    counts = drawn.groupby(["split", "method", "seed"]).size()
    assert counts.to_dict() == dict.fromkeys(
        itertools.product(("patient", "slice"), ("cenet", "mscf"), (0, 1)), 44
    )


def test_on_the_excerpt_every_network_scores_higher_by_slice_and_none_decides() -> None:
    """What the pages Excerpt and Leakage say in words."""
    methods = ["cenet", "self_attention", "mscf+channel", "mscf"]
    of = {s: read_runs(EXCERPT / s, methods).rows for s in ("slice", "patient")}
    table = split_claim(of["slice"], of["patient"], methods)
    assert [*table.index] == methods
    assert (table["slices"] == len(of["slice"]) / len(methods)).all()  # each has both
    assert (table["difference"] > 0).all()
    assert (table["outcome"] == OPEN).all()
    assert not on_all_folds(of["slice"])  # whatever the number of patients


def test_claims_of_the_excerpt_are_open_but_for_separation_which_does_not_hold() -> (
    None
):
    methods = ["cenet", "self_attention", "mscf+channel", "mscf"]
    table = read_runs(EXCERPT / "patient", methods).rows
    paper = pd.read_csv(RESULTS / "paper/table1.csv", index_col="key")["dice"]
    for (better, worse), printed in {
        ("mscf", "cenet"): 3.75,
        ("cenet", "self_attention"): 1.92,
    }.items():
        claim = dice_claim(table, better, worse, paper)
        assert claim["outcome"] == OPEN
        assert (claim["patients"], claim["seeds"]) == (22, 1)
        assert claim["paper"] == pytest.approx(printed)
        assert claim["in interval"] == "yes"
    separations = read_beside(EXCERPT / "patient", "mscf", "separation")
    assert separation_claim(separations, "excerpt-448")["outcome"] == FAILS


def separations(gains: list[float], fold: list[int] | int = 0, seed=0) -> pd.DataFrame:
    """Rows of ``separation.csv``, a patient each."""
    return pd.DataFrame({
        "case": "c", "patient": [f"p{n}" for n in range(len(gains))], "slice": 0,
        "before_64": 0.1, "after_64": np.add(0.1, gains), "fold": fold, "seed": seed,
    })  # fmt: skip


def test_separation_is_averaged_over_seeds_slice_by_slice() -> None:
    """A slice that three seeds tested counts as much as one that a single seed did."""
    first = separations([0.3, 0.1], fold=[0, 1])
    again = separations([0.9, 0.1], fold=[0, 1], seed=1)[:1]
    both = pd.concat([first, again], ignore_index=True)
    claim, table = separation_claim(both), separation_table(both)
    assert claim["difference"] == pytest.approx((0.6 + 0.1) / 2)
    assert table.loc[64, "difference"] == pytest.approx((0.6 + 0.1) / 2)
    assert table.loc[64, "slices"] == 2
    assert claim["seeds"] == 2


def test_separation_decides_on_all_folds_alone() -> None:
    gains = [0.2 + 0.001 * n for n in range(22)]
    whole = separations(gains, fold=[n % 5 for n in range(22)])
    claim = separation_claim(whole, "excerpt-448")
    assert (claim["outcome"], claim["margin"]) == (HOLDS, 0.05)
    parts = by_first_folds(whole)
    assert separation_claim(parts)["patients"] == 22
    assert separation_claim(parts)["outcome"] == OPEN
    just_made = whole.drop(columns=["fold", "seed"])
    assert separation_claim(just_made)["outcome"] == OPEN


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
    assert claim["outcome"] == OPEN
    assert np.isnan(separation_table(table)["low"]).all()


def test_separation_is_averaged_over_the_scales_that_a_slice_has() -> None:
    table = pd.DataFrame({
        "case": "c", "patient": [f"p{n}" for n in range(21)], "slice": 0,
        "before_64": 0.1, "after_64": 0.3, "before_128": 0.2, "after_128": 0.2,
    })  # fmt: skip
    table.loc[0, ["before_128", "after_128"]] = np.nan
    table.loc[1, ["before_64", "after_64", "before_128", "after_128"]] = np.nan
    table = table.assign(fold=[n % 5 for n in range(21)], seed=0)
    claim = separation_claim(table, "excerpt-448")
    assert claim["patients"] == 20
    assert claim["difference"] == pytest.approx((0.2 + 19 * 0.1) / 20)
    assert claim["outcome"] == HOLDS


def test_the_gain_of_a_scale_is_over_the_slices_that_have_it() -> None:
    found = pd.DataFrame(
        {
            "case": "c", "slice": 0, "patient": [f"p{n}" for n in range(8)],
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


@pytest.mark.parametrize(
    ("means", "words"),
    [
        # The channel branch brings 3 points, the spatial one 1, a gain nothing.
        ((0.04, 0.01, 0.03, 0.0, 0.01), [HOLDS, HOLDS, HOLDS]),
        # As much by a gain alone: the branch helps, but not by context.
        ((0.04, 0.01, 0.03, 0.0, 0.04), [HOLDS, HOLDS, FAILS]),
        # The spatial branch brings more.
        ((0.045, 0.03, 0.015, 0.0, 0.03), [HOLDS, FAILS, HOLDS]),
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
    assert table["outcome"].tolist() == words
    assert word_of_all(table) == (FAILS if FAILS in words else HOLDS)


def test_three_scales_must_lead_each_of_them() -> None:
    means = {"mscf": 0.05} | dict(zip(ONE_SCALE, (0.0, 0.02, 0.048), strict=True))
    table = scales_claim(of_methods(means))
    assert list(table.index) == [*ONE_SCALE]
    assert table["outcome"].tolist() == [HOLDS] * 2 + [FAILS]
    assert word_of_all(table) == FAILS
    few = scales_claim(of_methods(means, patients=19))
    assert word_of_all(few) == OPEN


def test_a_claim_on_other_slices_is_refused() -> None:
    table = of_methods(dict.fromkeys(["mscf", *ONE_SCALE], 0.0))
    lost = (table["method"] == ONE_SCALE[1]) & (table["case"] == "c3")
    with pytest.raises(InputError, match="must have the slices of"):
        scales_claim(table[~lost])
