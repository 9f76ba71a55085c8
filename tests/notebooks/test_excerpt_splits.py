"""What the page on the excerpt says of C6 on all folds, against its kept runs."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from mscf.evaluation.claims import dice_claim, split_claim, under_both_splits
from mscf.evaluation.outcome import UNDECIDED
from mscf.evaluation.runs import Runs, read_runs
from mscf.evaluation.statistics import signed_rank_p
from mscf.paths import root

HALF = root() / "results/lits_excerpt-224"
METHODS = ("cenet", "mscf")


def runs_of(split: str, label: str) -> Runs:
    return read_runs(HALF / split, [f"{key}+{label}" for key in METHODS])


def first_seed(runs: Runs) -> pd.DataFrame:
    """Its rows, by the method without the label."""
    rows = runs.rows[runs.rows["seed"] == 0]
    return rows.assign(method=rows["method"].str.split("+").str[0])


@pytest.fixture(scope="module")
def by_slice() -> pd.DataFrame:
    return first_seed(runs_of("slice", "19-epochs"))


@pytest.fixture(scope="module")
def by_patient() -> pd.DataFrame:
    return first_seed(runs_of("patient", "16-patients"))


def test_c6_holds_for_cenet_alone(by_slice, by_patient) -> None:
    table = split_claim(by_slice, by_patient, METHODS)
    assert table["outcome"].str.startswith("holds").tolist() == [True, False]
    assert table["outcome"].str.contains(UNDECIDED).tolist() == [False, True]
    assert (table["by slice"] > 1.5 * table["by patient"]).all()
    assert table.loc["cenet", "low"] > 2 * table.loc["cenet", "margin"]
    assert table.loc["mscf", "difference"] > 0.75 * table.loc["cenet", "difference"]


def test_all_trainings_have_more_by_slice(by_slice, by_patient) -> None:
    pairs = by_slice.merge(by_patient, on=["method", "case", "slice"])
    gain = pairs["dice_x"] - pairs["dice_y"]
    assert gain.groupby([pairs["method"], pairs["fold_x"]]).mean().min() > 0


def test_two_patients_make_most_of_the_difference(by_slice, by_patient) -> None:
    both = under_both_splits(by_slice, by_patient)
    means = both.groupby(["method", "split", "patient"])["dice"].mean().unstack("split")
    sizes = by_slice.groupby(["method", "patient"]).size()
    gain = means["slice"] - means["patient"]
    more, less = (of.groupby("method").sum().tolist() for of in (gain > 0, gain < 0))
    assert (more, less) == ([15, 11], [2, 7])
    of_all = gain * sizes
    share = of_all / of_all.groupby("method").transform("sum")
    two = share["mscf"].nlargest(2).index
    assert 0.45 < share["cenet"][two].sum() < 0.55
    assert 0.7 < share["mscf"][two].sum() < 0.8
    whole = means["slice"].unstack("method").loc[two]
    assert whole.to_numpy().min() > 0.8


def test_a_network_that_only_copied_would_score_higher(by_slice) -> None:
    copying = json.loads((root() / "results/scans/copying_folds.json").read_text())
    assert copying["slice"]["dice"] > by_slice.groupby("method")["dice"].mean().max()


def test_under_the_paper_s_split_ours_is_behind_by_two_folds(
    by_slice, by_patient
) -> None:
    behind = dice_claim(by_slice, *METHODS[::-1])
    assert -5.5 < behind["difference"] < -4.5
    assert behind["high"] < 0
    assert behind["p"] < 0.05
    level = dice_claim(by_patient, *METHODS[::-1])
    assert level["low"] < 0 < level["high"]
    folds = by_slice.groupby(["fold", "method"])["dice"].mean().unstack()
    lead = (folds["mscf"] - folds["cenet"]).sort_values()
    assert lead.iloc[1] < -0.1
    assert -0.005 < lead.iloc[2] < lead.iloc[4] < 0.03
    over_trainings = ttest_1samp(lead, 0).confidence_interval()
    assert over_trainings.low < 0 < over_trainings.high


def test_by_slice_a_small_p_is_the_luck_of_five_trainings_in_half_of_cases(
    by_slice,
) -> None:
    tested = by_slice.groupby("patient")["fold"].nunique()
    assert (tested >= 3).sum() >= len(tested) - 1
    slices = ["fold", "patient", "case", "slice"]
    dice = by_slice.pivot(index=slices, columns="method", values="dice")
    gains = (dice["mscf"] - dice["cenet"]).rename("gain").reset_index()
    observed = signed_rank_p(gains.groupby("patient")["gain"].mean().to_numpy())
    as_small = []
    for signs in itertools.product([1, -1], repeat=5):  # of whole folds
        turned = gains["gain"] * np.array(signs)[gains["fold"]]
        p = signed_rank_p(turned.groupby(gains["patient"]).mean().to_numpy())
        as_small.append(p <= observed)
    assert np.mean(as_small) == 0.5


def test_the_splits_were_trained_as_declared() -> None:
    """The same commands but for method and split, and about as many steps."""
    by_slice, by_patient = (
        runs_of("slice", "19-epochs"),
        runs_of("patient", "16-patients"),
    )
    differ = {"method", "split", "out", "data", "epochs", "patients"}
    assert {(0, fold) for fold in range(5)} <= {
        (seed, fold) for _, fold, seed in by_slice.records
    }
    for (key, fold, seed), run in by_slice.records.items():
        label = key.replace("19-epochs", "16-patients")
        other = by_patient.records[label, fold, seed]
        settings = [
            {k: v for k, v in record["settings"].items() if k not in differ}
            for record in (run, other)
        ]
        assert settings[0] == settings[1]
        steps = [
            record["epochs_done"] * -(-record["slices"]["training"] // 8)
            for record in (run, other)
        ]
        assert 0.9 < steps[0] / steps[1] < 1.1
