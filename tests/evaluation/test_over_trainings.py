"""A training as the unit: it takes a word away and gives none."""

import numpy as np
import pandas as pd
import pytest
from claim_rows import rows as rows_with
from hypothesis import given
from hypothesis import strategies as st

from mscf.evaluation.claims import dice_claim
from mscf.evaluation.over_trainings import (
    gains_by_slice,
    over_trainings,
    split_claim_over_trainings,
)
from mscf.evaluation.spread import single_gains

HOLDS, NOT, OPEN = (
    "holds on the excerpt", "does not hold on the excerpt", "undecided at this size",
)  # fmt: skip


def of_folds(gain: float, lucky: int) -> pd.DataFrame:
    """Every patient is tested by all five networks; those of one fold are lucky."""
    rows = rows_with(0.0)
    rows = pd.concat(rows.assign(fold=fold, slice=2 * fold + rows["slice"])
                     for fold in range(5))  # fmt: skip
    there = rows["method"] == "mscf"
    rows["dice"] += gain * (there & (rows["fold"] == lucky))
    return rows


@pytest.mark.parametrize("gain", [0.3, -0.3])
def test_one_fold_s_luck_loses_its_word(gain: float) -> None:
    rows = of_folds(gain, lucky=3)
    claim = dice_claim(rows, "mscf", "cenet")
    assert claim["outcome"] == (HOLDS if gain > 0 else NOT)
    gains = 100 * single_gains(rows, "mscf", ["cenet"])["difference"]
    again = over_trainings(claim, gains)
    assert again["outcome"] == OPEN
    assert again["low, trainings"] < 0 < again["high, trainings"]
    assert {key: again[key] for key in claim if key != "outcome"} == {
        key: claim[key] for key in claim if key != "outcome"
    }


@pytest.mark.parametrize(("gain", "word"), [(0.05, HOLDS), (-0.05, NOT)])
def test_what_all_trainings_show_keeps_its_word(gain: float, word: str) -> None:
    rows = rows_with(gain)
    gains = 100 * single_gains(rows, "mscf", ["cenet"])["difference"]
    found = over_trainings(dice_claim(rows, "mscf", "cenet"), gains)
    assert found["outcome"] == word
    # Student's t by hand: 2.776 standard errors with four degrees of freedom.
    reach = 2.7764451 * gains.std() / np.sqrt(5)
    assert found["low, trainings"] == pytest.approx(gains.mean() - reach)
    assert found["high, trainings"] == pytest.approx(gains.mean() + reach)


@pytest.mark.filterwarnings("ignore:Precision loss")
@given(
    st.lists(st.floats(-50, 50), max_size=10), st.sampled_from([HOLDS, NOT, OPEN]),
    st.floats(0, 5),
)  # fmt: skip
def test_it_gives_no_word(gains: list[float], word: str, margin: float) -> None:
    found = over_trainings({"outcome": word, "margin": margin}, gains)
    assert found["outcome"] in {word, OPEN}
    if len(gains) < 2:
        assert found["outcome"] == OPEN


def test_a_word_against_needs_the_trainings_below_the_margin() -> None:
    claim = {"outcome": NOT, "margin": 1.0}
    assert over_trainings(claim, [0.4, 0.5, 0.6])["outcome"] == NOT
    assert over_trainings(claim, [0.9, 1.0, 1.1])["outcome"] == OPEN


def test_gains_by_slice_are_those_of_the_same_slices_and_seed() -> None:
    by_patient = pd.concat(rows_with(0.0).assign(seed=seed) for seed in (0, 2))
    by_patient.loc[by_patient["seed"] == 2, "dice"] += 0.1  # not the other seed's
    by_slice = by_patient.assign(split="slice")
    by_slice["fold"] = (by_slice["fold"] + by_slice["slice"]) % 5  # other folds
    by_slice["dice"] += 0.01 * by_slice["fold"] + 0.1 * (by_slice["method"] == "mscf")
    gains = gains_by_slice(by_slice, by_patient)
    assert len(gains) == 20
    for (method, fold, _), gain in gains.items():
        assert gain == pytest.approx(0.01 * fold + 0.1 * (method == "mscf"))
    table = split_claim_over_trainings(by_slice, by_patient)
    folds = by_slice.groupby(["method", "fold", "seed"]).size()
    means = (gains * folds).groupby("method").sum() / folds.groupby("method").sum()
    assert table["difference"].to_dict() == pytest.approx((100 * means).to_dict())
    for method, row in table.iterrows():  # 2.262 standard errors of ten trainings
        of_ten = 100 * gains[method]
        reach = 2.2621572 * of_ten.std() / np.sqrt(10)
        assert row["low, trainings"] == pytest.approx(of_ten.mean() - reach)
