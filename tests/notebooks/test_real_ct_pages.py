"""What the pages Ablation, Table 1 and Leakage say of real CT, by their own cells."""

import ast
import re
from functools import cache

import nbformat
import pandas as pd
import pytest

from mscf import METHODS
from mscf.evaluation.claims import BRANCHES, ONE_SCALE, dice_claim, word_of_all
from mscf.evaluation.differences import told_apart
from mscf.evaluation.outcome import MARGIN
from mscf.evaluation.over_trainings import split_claim_over_trainings
from mscf.evaluation.rank_claim import rank_claim
from mscf.evaluation.results_table import SEVEN, TITLES, empty_rules_table
from mscf.evaluation.runs import read_runs
from mscf.evaluation.statistics import ENOUGH_PATIENTS, LEVEL
from mscf.kept.results import read_beside
from mscf.models import VARIANTS, find_method
from mscf.paths import root

pytestmark = pytest.mark.check
EXCERPT = root() / "results/excerpt-448/patient"
KEYS = (*METHODS, "mscf+channel")
UNDECIDED = "undecided at this size"


@cache
def cells(page: str) -> list[nbformat.NotebookNode]:
    return nbformat.read(root() / f"notebooks/{page}.ipynb", as_version=4).cells


@cache
def words(page: str) -> str:
    """All that it says, in one line."""
    text = " ".join(c.source for c in cells(page) if c.cell_type == "markdown")
    return " ".join(text.split())


@cache
def shown(page: str) -> dict[str, object]:
    """The names that the cells on real CT make, without the rest of the page."""
    paper = pd.read_csv(root() / "results/paper/table1.csv", index_col="key")
    names: dict[str, object] = {
        "ours": "mscf", "paper": paper, "seven": {key: TITLES[key] for key in SEVEN},
        "titles": {key: find_method(key).title for key in KEYS},
        "display": lambda *_: None,
    }  # fmt: skip
    for cell in cells(page):
        if cell.cell_type != "code":
            continue
        code = ast.parse(cell.source)
        if not cell.id.startswith("real"):
            imports = ast.Import | ast.ImportFrom
            code.body = [line for line in code.body if isinstance(line, imports)]
        exec(compile(code, f"{page}, {cell.id}", "exec"), names)
    return names


def test_all_four_contrasts_of_parts_are_undecided() -> None:
    contrasts = shown("ablation")["contrasts"]
    assert "**All four are undecided.**" in words("ablation")
    assert contrasts["outcome"].tolist() == [UNDECIDED] * 4
    assert contrasts["low"].max() < -MARGIN
    assert contrasts["high"].min() > MARGIN
    assert contrasts["patients"].min() >= ENOUGH_PATIENTS
    assert contrasts["difference"].idxmax() == "Ours minus CE-Net"


def test_what_the_ablation_says_was_not_run_on_the_excerpt_was_not() -> None:
    assert "so C3 and C9 are undecided there, too" in words("ablation")
    run = {folder.name for folder in EXCERPT.iterdir()}
    kept = {"mscf", "mscf+channel"}
    of_claims = {*BRANCHES.values(), *ONE_SCALE}
    readings = {f"mscf+{name}" for name in VARIANTS}
    assert (of_claims | readings) & run == kept


def test_the_factors_of_both_networks_with_blocks_are_below_a_tenth() -> None:
    assert "every factor of either context is below a tenth" in words("ablation")
    for key in ("mscf", "mscf+channel"):
        last = read_beside(EXCERPT, key, "context").groupby("fold").last()
        factors = last.filter(regex="alpha|beta").abs()
        assert len(factors) == 5
        assert factors.max().max() < 0.1


def test_the_largest_contrast_is_less_than_a_point_in_other_trainings() -> None:
    place = root() / "results/lits_excerpt-224/patient"
    pair = ["mscf+16-patients", "cenet+16-patients"]
    again = dice_claim(read_runs(place, pair).rows, *pair)
    assert 0 < again["difference"] < 1
    assert again["seeds"] == 2


def test_precision_is_the_one_difference_that_is_told_and_it_is_a_loss() -> None:
    of_all = shown("table1")["of_all"]
    seven = of_all[of_all["metric"].isin(SEVEN)]
    assert len(seven) == 7 * 3
    told = seven[told_apart(seven) != 0]
    assert told[["metric", "baseline"]].to_numpy().tolist() == [
        ["precision", "self_attention"]
    ]
    assert (told["high"] < 0).all()
    said = shown("table1")["words"]
    assert "not told apart from CE-Net, Self-attention and Ours: channel" in said[0]
    assert "**Precision: *Ours* is worse than Self-attention**" in said[1]
    over_all = re.search(r"over all 21 tests (\d\.\d+)", said[1])[1]
    assert float(over_all) > LEVEL
    for text in (
        "**Precision speaks against *Ours*.**",
        "In precision it is *worse* than Self-attention by interval and test",
        "corrected over all of these tests, it is not",
    ):
        assert text in words("table1")


def test_what_is_said_beside_the_loss_of_precision() -> None:
    of_all = shown("table1")["of_all"].set_index(["metric", "baseline"])
    of = of_all.xs("self_attention", level="baseline")
    assert abs(of["difference"]["precision"] + of["difference"]["recall"]) < 0.01
    assert of["p_holm"]["recall"] > LEVEL
    channel = of_all.xs("mscf+channel", level="baseline")
    by_test, by_interval = channel.loc["specificity"], channel.loc["hd_diagonal"]
    assert by_test["p_holm"] < LEVEL
    assert by_test["side"] < 0
    assert by_test["low"] < 0 < by_test["high"]
    assert by_interval["high"] < 0
    assert by_interval["p_holm"] > LEVEL

    rules = empty_rules_table(shown("table1")["real"]).astype(float)
    gap = rules.loc["mscf"] - rules.loc["self_attention"]
    of_precision = gap.filter(like="Precision")
    assert (of_precision < 0).all()
    pooled = of_precision.pop("Precision, pooled")
    assert pooled > of_precision.max() / 3
    missed = shown("table1")["table_real"]
    assert "missed" in missed
    assert missed["missed"]["Ours"] < missed["missed"]["Self-attention"]


def test_the_claims_of_the_table_are_undecided() -> None:
    assert "C1, C2 and C4 are undecided" in words("table1")
    names = shown("table1")
    assert [claim["outcome"] for claim in names["claims"].values()] == [UNDECIDED] * 2
    assert word_of_all(rank_claim(names["ten"].rows)) == UNDECIDED
    first = names["ten"].shared()
    assert {*first["fold"]} == {0}
    assert 2 / 2 ** first["patient"].nunique() > LEVEL


def test_c6_on_all_folds_is_as_the_page_on_leakage_says() -> None:
    names = shown("leakage")
    table, copying = names["c6_all"], names["copying"]
    assert "**C6 holds on the excerpt: both" in words("leakage")
    assert "**claim C6 holds on the excerpt**" in words("leakage")
    assert table.loc["outcome"].tolist() == ["holds on the excerpt"] * 2 + [""]
    claim = split_claim_over_trainings(*names["of_half"].values())
    assert word_of_all(claim) == "holds on the excerpt"
    begin = claim[["low", "low, trainings"]].min(axis=1)
    assert (begin > claim["margin"]).all()
    assert (claim["p"] < LEVEL).all()
    for method, split in (("cenet", "slice"), ("mscf", "patient")):
        mean = 100 * names["of_half"][split].groupby("method")["dice"].mean()[method]
        assert table.loc[f"by {split}", method].startswith(f"{mean:.2f} (")
    reached = table.loc["by slice"].str.split(" ").str[0].astype(float)
    assert reached.idxmax() == "copying"
    assert float(table.loc["by patient", "copying"].split(" ")[0]) < 5
    assert copying["slice"]["dice"] > 0.7


def test_the_words_on_leakage_are_of_the_seeds_that_it_shows() -> None:
    names = shown("leakage")
    assert "Trained on a processor, two seeds" in words("leakage")
    for rows in names["of_half"].values():
        runs = rows.groupby(["method", "seed"])["fold"].nunique()
        assert {seed for _, seed in runs.index} == {0, 2}
        assert len(runs) == 4
        assert (runs == 5).all()


def test_c6_on_one_fold_has_too_few_patients() -> None:
    table = shown("leakage")["c6_one"]
    assert table.loc["outcome"].tolist() == [UNDECIDED, UNDECIDED, ""]
    assert (table.loc["patients", ["cenet", "mscf"]] < ENOUGH_PATIENTS).all()
    assert float(table.loc["by slice", "copying"]) > 70
