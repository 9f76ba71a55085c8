"""What the page on the excerpt says of the split by slice on all folds."""

import itertools
import json
import re
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from mscf.evaluation.claims import (
    SPLIT_MARGIN,
    dice_claim,
    split_claim,
    under_both_splits,
    with_interval,
)
from mscf.evaluation.over_trainings import (
    gains_by_slice,
    over_trainings,
    split_claim_over_trainings,
)
from mscf.evaluation.runs import Runs, read_runs
from mscf.evaluation.spread import single_gains
from mscf.evaluation.statistics import LEVEL, signed_rank_p
from mscf.paths import root

HALF = root() / "results/lits_excerpt-224"
METHODS = ("cenet", "mscf")
ENDS = ["low, trainings", "high, trainings"]
HOLDS, UNDECIDED = "holds on the excerpt", "undecided at this size"


def runs_of(split: str, label: str) -> Runs:
    return read_runs(HALF / split, [f"{key}+{label}" for key in METHODS])


def of_both_seeds(split: str, label: str) -> pd.DataFrame:
    """Its rows, by the method without the label."""
    rows = runs_of(split, label).rows
    return rows.assign(method=rows["method"].str.split("+").str[0])


@pytest.fixture(scope="module")
def by_slice() -> pd.DataFrame:
    return of_both_seeds("slice", "19-epochs")


@pytest.fixture(scope="module")
def by_patient() -> pd.DataFrame:
    return of_both_seeds("patient", "16-patients")


def test_c6_holds_over_both_seeds_and_for_ours_by_neither_alone(
    by_slice, by_patient
) -> None:
    table = split_claim_over_trainings(by_slice, by_patient, METHODS)
    assert table["outcome"].tolist() == [HOLDS] * 2
    assert (table[["low", ENDS[0]]].min(axis=1) > table["margin"]).all()
    assert (table["difference"] > 7 * table["margin"]).all()
    for seed, least in ((0, 1), (2, 2)):
        of_seed = (of[of["seed"] == seed] for of in (by_slice, by_patient))
        alone = split_claim(*of_seed, METHODS)
        assert alone["outcome"].tolist() == [HOLDS, UNDECIDED]
        assert alone.loc["mscf", "p"] > LEVEL
        assert alone.loc["mscf", "low"] > least
    assert 2 * table.loc["cenet", "p"] < 0.001 < LEVEL < 2 * table.loc["mscf", "p"]
    said(
        "Corrected for two looks the p of *Ours* would no longer pass, that of CE-Net",
        "Table 1 is less than a seventh of either difference",
        "By either seed alone the test leaves *Ours* open",
    )


def test_the_first_pages_say_that_c6_holds() -> None:
    welcome, readme = (
        " ".join((root() / page).read_text("utf-8").split())
        for page in ("book/welcome.md", "README.md")
    )
    assert "short trainings of two seeds: the doubt, {ref}`C6 <claim-6>`, holds" in (
        welcome
    )
    assert "On the excerpt two networks score far higher by the paper's split" in readme


@pytest.mark.parametrize(
    "page",
    ["book/welcome.md", "notebooks/excerpt.ipynb", "notebooks/leakage.ipynb",
     "notebooks/explore_data.ipynb", "CHANGELOG.md"],
)  # fmt: skip
def test_wherever_c6_holds_it_does_narrowly(page: str) -> None:
    assert "than on the same slices by patient, *Ours* just told;" in words("README.md")
    said = words(page)
    places = [at.start() for at in re.finditer(r"(?i)\bholds on the excerpt\b", said)]
    places += [at.start() for at in re.finditer(r"C6 <claim-6>`, holds there", said)]
    named = [at for at in places if "C6" in said[max(0, at - 90) : at + 90]]
    assert named
    for at in named:
        assert "narrowly" in said[at - 60 : at + 420], said[at - 60 : at + 420]


@cache
def words(page: str) -> str:
    """What a page says, in one line."""
    text = (root() / page).read_text("utf-8")
    if page.endswith(".ipynb"):
        cells = json.loads(text)["cells"]
        text = " ".join("".join(c["source"]) for c in cells if c["cell_type"] != "code")
    return " ".join(text.split())


def said(*parts: str) -> None:
    """The page on the excerpt says so in these words."""
    for part in parts:
        assert part in words("notebooks/excerpt.ipynb"), part


def test_all_trainings_have_more_by_slice(by_slice, by_patient) -> None:
    gains = gains_by_slice(by_slice, by_patient)
    assert len(gains) == 20
    assert gains.min() > 0
    said("each of the twenty trainings by slice has more on its slices")


def test_two_patients_make_most_of_the_difference(by_slice, by_patient) -> None:
    both = under_both_splits(by_slice, by_patient)
    means = both.groupby(["method", "split", "patient"])["dice"].mean().unstack("split")
    sizes = by_slice.groupby(["method", "patient"]).size()
    gain = means["slice"] - means["patient"]
    more, less = (of.groupby("method").sum().tolist() for of in (gain > 0, gain < 0))
    assert (more, less) == ([17, 14], [2, 4])
    assert (means[gain == 0] == 0).all(axis=None)
    of_all = gain * sizes
    share = of_all / of_all.groupby("method").transform("sum")
    two = share["mscf"].nlargest(2).index
    assert 0.5 < share["cenet"][two].sum() < 0.6
    assert 0.65 < share["mscf"][two].sum() < 0.75
    whole = means["slice"].unstack("method").loc[two]
    assert whole.to_numpy().min() > 0.75
    found = means["slice"].unstack("method")
    assert all({*found[method].nlargest(2).index} == {*two} for method in METHODS)
    said(
        "seventeen patients gain and two lose, of *Ours* fourteen and four",
        "more than half of CE-Net's difference and seven tenths of that of *Ours*",
    )


def test_without_one_of_three_patients_ours_is_open(by_slice, by_patient) -> None:
    p = {}
    for patient in by_slice["patient"].unique():
        others = (of[of["patient"] != patient] for of in (by_slice, by_patient))
        p[patient] = split_claim(*others, METHODS)["p"]
    p = pd.DataFrame(p).T
    assert (p["mscf"] > LEVEL).sum() == 3
    assert {"P04", "P39"} < {*p.index[p["mscf"] > LEVEL]}
    assert p["cenet"].max() < 0.001
    said("once one patient is left out, if it is one of three, which was not declared")


def test_by_the_luck_of_trainings_it_would_hold_by_patients_alone(
    by_slice, by_patient
) -> None:
    """With the signs of the ten trainings by slice turned in all ways."""
    same = ["method", "seed", "patient", "case", "slice"]
    pairs = by_slice.merge(by_patient, on=same)
    turned = np.array([*itertools.product([1, -1], repeat=10)])
    shares = {}
    for method, of in pairs.groupby("method"):
        gains = 100 * (of["dice_x"] - of["dice_y"])
        training = of.groupby(["fold_x", "seed"]).ngroup().to_numpy()
        slices = [of["patient"], of["case"], of["slice"]]
        of_trainings = gains.groupby(training).mean().to_numpy()
        shares[method] = np.zeros(2)
        for signs in turned:
            luck = (gains * signs[training]).groupby(slices).mean()
            p = signed_rank_p(luck.groupby("patient").mean().to_numpy())
            if luck.mean() < SPLIT_MARGIN or p >= LEVEL:
                continue
            patients = luck.index.to_frame()["patient"]
            low = with_interval(luck, patients)["low"]
            low_of_trainings = (
                ttest_1samp(of_trainings * signs, 0).confidence_interval().low
            )
            shares[method] += low > 0, min(low, low_of_trainings) > 0
        shares[method] /= len(turned)
    assert shares["mscf"][0] == pytest.approx(1 / 8, abs=0.01)
    assert shares["cenet"][0] == pytest.approx(1 / 4, abs=0.03)
    for of_method in shares.values():
        assert of_method[1] == pytest.approx(1 / 50, abs=0.005)
    said(
        "for *Ours* in one case of eight by the patients alone, for CE-Net in nearly "
        "one of four; with the interval over trainings in one of fifty"
    )


def test_a_network_that_only_copied_would_score_higher(by_slice) -> None:
    copying = json.loads((root() / "results/scans/copying_folds.json").read_text())
    dice = by_slice.groupby(["method", "seed"])["dice"].mean()
    assert copying["seed"] == 0
    assert copying["slice"]["dice"] > dice.max()


def judged(rows: pd.DataFrame) -> dict[str, object]:
    """C1 of these rows as the page judges it."""
    gaps = 100 * single_gains(rows, "mscf", ["cenet"])["difference"]
    return over_trainings(dice_claim(rows, "mscf", "cenet"), gaps)


def test_c1_by_slice_is_undecided_by_the_second_seed(by_slice) -> None:
    first, second = (judged(of) for _, of in by_slice.groupby("seed"))
    assert second["outcome"] == UNDECIDED
    assert 0.5 < second["difference"] < 1.5
    assert -5.5 < first["difference"] < -4.5
    assert first["high"] < 0
    assert first["p"] < LEVEL
    both = judged(by_slice)
    assert both["p"] < LEVEL
    for found in (first, second, both):
        assert found["low, trainings"] < -5
        assert found["high, trainings"] > 5
    said("By the first seed it is five points behind, by the second a point ahead")


def test_who_gains_by_slice_and_on_which_fold_is_luck(by_slice) -> None:
    dice = by_slice.groupby(["patient", "seed", "method"])["dice"].mean().unstack()
    gains = (dice["mscf"] - dice["cenet"]).unstack("seed")
    differ = gains[(gains != 0).all(axis=1)]
    same = differ[0] * differ[2] > 0
    assert 0.5 < same.mean() < 0.6
    said("hardly more than half do so to the same side")
    folds = 100 * by_slice.groupby(["seed", "fold", "method"])["dice"].mean().unstack()
    lead = folds["mscf"] - folds["cenet"]
    assert 14 < -lead.min() < 15
    assert 17.5 < lead.max() < 18.5
    which = ["cenet", *lead.idxmax()]
    of = by_slice[(by_slice[["method", "seed", "fold"]] == which).all(axis=1)]
    drawn = of["predicted_px"].sum() / of["truth_px"].sum()
    assert round(drawn) == 6
    said(
        "CE-Net is up to fifteen points ahead, on another *Ours* eighteen, where "
        "CE-Net draws six times the tumour that is there",
    )


def test_by_slice_a_small_p_is_the_luck_of_five_trainings_in_half_of_cases(
    by_slice,
) -> None:
    first = by_slice[by_slice["seed"] == 0]
    tested = first.groupby("patient")["fold"].nunique()
    assert (tested >= 3).sum() >= len(tested) - 1
    slices = ["fold", "patient", "case", "slice"]
    dice = first.pivot(index=slices, columns="method", values="dice")
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
    assert {*by_slice.records} == {
        (f"{key}+19-epochs", fold, seed)
        for key in METHODS
        for fold in range(5)
        for seed in (0, 2)
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
