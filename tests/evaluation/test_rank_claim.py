"""C4, first of ten in every metric: by shares of draws, tests, and HD's three rules."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from claim_rows import by_first_folds, of_methods

from mscf.evaluation import rank_claim as rank_claim_module
from mscf.evaluation.claims import word_of_all
from mscf.evaluation.outcome import CONTRADICTED, REPRODUCED
from mscf.evaluation.rank_claim import TEN, of_share, rank_claim
from mscf.evaluation.results_table import SEVEN
from mscf.evaluation.runs import read_runs
from mscf.evaluation.statistics import ranks, share_first
from mscf.models import METHODS

EXCERPT = Path(__file__).parents[2] / "results/excerpt-448/patient"
HOLDS, FAILS, OPEN = (
    "holds on the excerpt", "does not hold on the excerpt", "undecided at this size",
)  # fmt: skip
RATES = ["dice", "jaccard", "precision", "recall", "specificity", "f1"]
DISTANCES = ["hd", "hd_diagonal", "hd_farthest"]


def ten(lead: float = 0.1, patients: int = 22, noise: float = 0.005) -> pd.DataFrame:
    """Ten methods; Ours is ahead of the nine by ``lead`` in every metric."""
    means = dict.fromkeys(TEN, 0.0) | {"mscf": lead}
    table = of_methods(means, patients, noise)
    table[RATES] = np.column_stack([table["dice"]] * len(RATES))
    table[DISTANCES] = np.column_stack([100 - table["dice"]] * len(DISTANCES))
    return table.reset_index(drop=True)


def worse(table: pd.DataFrame, *metrics: str) -> pd.DataFrame:
    """Ours is far behind in these metrics, in which more is better or less."""
    found, ours = table.copy(), table["method"] == "mscf"
    for metric in metrics:
        found.loc[ours, metric] += 500 if metric in DISTANCES else -1
    return found


def test_the_ten_are_those_of_the_papers_table() -> None:
    assert sorted(TEN) == sorted(METHODS)


def test_first_in_every_metric_by_nearly_all_draws_holds() -> None:
    table = rank_claim(ten())
    assert [*table.index] == [*SEVEN]
    assert (table["rank"] == 1).all()
    assert (table["share_first"] == 1).all()
    assert (table["outcome"] == HOLDS).all()
    assert word_of_all(table) == HOLDS
    assert table["p"].notna().tolist() == [True] + [False] * 6


def test_one_metric_in_which_it_is_hardly_ever_first_is_enough_against_it() -> None:
    table = rank_claim(worse(ten(), "specificity"))
    assert table.loc["specificity", "share_first"] < 0.05
    assert table["outcome"].value_counts().to_dict() == {HOLDS: 6, FAILS: 1}
    assert word_of_all(table) == FAILS


def test_a_lead_in_some_draws_alone_is_open() -> None:
    rows = ten()
    rows.loc[rows["method"] == "danet", "recall"] = rows.loc[
        rows["method"] == "mscf", "recall"
    ].to_numpy()  # the same: each is first in half of the draws
    table = rank_claim(rows)
    assert table.loc["recall", "share_first"] == pytest.approx(0.5)
    assert table.loc["recall", "outcome"] == OPEN
    assert word_of_all(table) == OPEN


def test_of_dice_all_nine_tests_must_tell_it_apart() -> None:
    """A few patients with a large lead move every draw, and no test on patients."""
    rows = ten(lead=0.0, noise=0.0)
    number = rows["patient"].str[1:].astype(int)
    up = np.where(number < 8, 0.5, -0.01)
    ours = rows["method"] == "mscf"
    rows.loc[ours, RATES] = rows.loc[ours, RATES].add(up[ours], axis=0)
    rows.loc[ours, DISTANCES] = rows.loc[ours, DISTANCES].sub(up[ours], axis=0)
    table = rank_claim(rows)
    assert (table["share_first"] >= 0.95).all()
    assert table.loc["dice", "p"] > 0.05
    assert table["outcome"].value_counts().to_dict() == {HOLDS: 6, OPEN: 1}
    assert word_of_all(table) == OPEN


def test_it_takes_95_percent_of_draws_and_patients_who_lean_to_ours(
    monkeypatch,
) -> None:
    assert [of_share(s, sure=True) for s in (0.949, 0.95)] == ["undecided", REPRODUCED]
    tested = rank_claim_module.against_baselines

    def leaning(*given) -> pd.DataFrame:
        return tested(*given).assign(side=-1)

    monkeypatch.setattr(rank_claim_module, "against_baselines", leaning)
    said = rank_claim(ten())["outcome"]
    assert said.value_counts().to_dict() == {HOLDS: 6, OPEN: 1}
    assert said["dice"] == OPEN


@pytest.mark.parametrize("other", ["hd", "hd_farthest"])
def test_a_place_in_distance_that_hangs_on_the_rule_leaves_the_claim_open(
    other,
) -> None:
    table = rank_claim(worse(ten(), other))
    assert table.loc["hd_diagonal", "share_first"] == 1
    assert table.loc["hd_diagonal", "outcome"] == OPEN
    assert word_of_all(table) == OPEN
    against = rank_claim(worse(ten(), "hd_diagonal"))  # with the other two it is first
    assert against.loc["hd_diagonal", "outcome"] == OPEN
    assert word_of_all(rank_claim(worse(ten(), other, "dice"))) == FAILS
    assert word_of_all(rank_claim(worse(ten(), *DISTANCES))) == FAILS


@pytest.mark.parametrize(
    "rows",
    [
        ten(patients=19),
        by_first_folds(ten()),
        ten()[lambda table: table["method"] != "csnet"],
    ],
    ids=["patients", "folds", "methods"],
)
def test_without_its_conditions_nothing_is_decided(rows) -> None:
    for table in (rows, worse(rows, "dice")):
        assert (rank_claim(table)["outcome"] == OPEN).all()


def test_other_methods_are_no_part_of_it() -> None:
    rows = ten()
    variant = rows[rows["method"] == "mscf"].assign(method="mscf+channel", dice=1.0)
    pd.testing.assert_frame_equal(
        rank_claim(pd.concat([rows, variant[variant["fold"] == 0]])), rank_claim(rows)
    )


def test_on_the_excerpt_ten_are_on_one_fold_and_it_is_open() -> None:
    table = rank_claim(read_runs(EXCERPT, list(METHODS)).rows)
    assert (table["patients"] == 5).all()
    assert (table["outcome"] == OPEN).all()


@pytest.mark.parametrize(("lead", "percent"), [(0, 54), (0.5, 28), (1, 11)])
def test_how_often_not_first_is_said_of_ten_that_are_equal_or_of_one_that_leads(
    lead, percent
) -> None:
    """The rates that the page gives beside the rule, in one metric."""
    random, trials, said = np.random.default_rng(0), 600, 0
    for found in random.normal(size=(trials, 10)):  # each known to an error of 1
        found[0] += lead * np.sqrt(2)  # in errors of the difference of two
        drawn = found + random.normal(size=(500, 10))
        said += of_share(share_first(ranks(drawn))[0], sure=True) == CONTRADICTED
    assert 100 * said / trials == pytest.approx(percent, abs=5)
    page = (EXCERPT.parents[2] / "book/reproduced.md").read_text(encoding="utf-8")
    rule = page.split("(claim-4)=")[1].split("(claim-5)=")[0]
    assert f"{percent} %" in rule
