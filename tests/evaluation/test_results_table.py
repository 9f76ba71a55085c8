"""Table 1 of kept runs: its numbers, its gain, and how it is shown."""

import json
from pathlib import Path

import pandas as pd
import pytest
from kept_runs import keep, measured

from mscf import METHODS
from mscf.evaluation.differences import against_baselines, patient_differences
from mscf.evaluation.metrics import summarise
from mscf.evaluation.ranking import ranking
from mscf.evaluation.results_table import (
    GROUPS,
    SEVEN,
    TABLE_1,
    as_latex,
    average_gain,
    cost_table,
    empty_rules_table,
    grouped,
    in_percent,
    p_as_text,
    results_table,
    runs_table,
    several_runs,
    shown,
    shown_comparison,
    shown_differences,
    shown_gain,
    shown_p,
    shown_ranks,
    shown_with_interval,
    where_all_draw,
)
from mscf.evaluation.runs import read_runs
from mscf.evaluation.statements import (
    notes,
    sides_alike,
    verdicts,
    verdicts_of_all,
    where_from,
)
from mscf.evaluation.tables import summary

RESULTS = Path(__file__).parents[2] / "results"

PAPER = Path(__file__).parents[2] / "results/paper/table1.csv"
NAMES = {key: method.title for key, method in METHODS.items()}


@pytest.fixture
def place(tmp_path):
    return tmp_path / "results/phantoms-24/patient"


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Two baselines, one with three seeds, and a threshold beside them, in a folder.

    Do not write here.
    """
    place = tmp_path_factory.mktemp("kept") / "results/phantoms-24/patient"
    keep(place, "unet", measured(0.6, seed=1))
    keep(place, "hu_threshold", measured(0.3, seed=9), trained=False)
    for seed in range(3):
        keep(place, "cenet", measured(0.7, seed=20 + seed), seed=seed)
        keep(place, "mscf", measured(0.9, seed=30 + seed), seed=seed)
    return place


@pytest.fixture(scope="module")
def runs(kept):
    return read_runs(kept, list(METHODS), ["hu_threshold"])


def test_every_method_is_in_one_group() -> None:
    assert sorted(k for keys in GROUPS.values() for k in keys) == sorted(METHODS)


def test_the_papers_average_gain_is_the_printed_one() -> None:
    paper = pd.read_csv(PAPER, index_col="key")
    gain = average_gain(paper, "mscf", list(METHODS)[:9], TABLE_1)
    printed = [5.26, 9.79, 6.14, 5.87, 2.49, 0.058, 4.46]
    for value, text in zip(gain.loc["average gain"], printed, strict=True):
        assert value == pytest.approx(
            text, abs=0.5 * 10 ** -len(str(text).split(".")[1])
        )
    assert gain.loc[["smallest", "largest"], "dice"].tolist() == pytest.approx(
        [2.19, 8.58]
    )


def test_rows_are_those_of_the_summary_of_the_shared_runs(runs) -> None:
    table = results_table(runs)
    assert list(table.index) == ["unet", "cenet", "mscf", "hu_threshold"]
    assert set(table["seeds"]) == {1}  # unet has one
    expected = summarise(measured(0.9, seed=30))
    assert table.loc["mscf", "f1"] == pytest.approx(expected["f1"])
    own = summary(runs.rows[(runs.rows["method"] == "mscf") & (runs.rows["seed"] == 0)])
    assert table.loc["mscf", "dice_low"] == own["dice_low"].iloc[0]
    assert (table["data"] + table["split"]).unique() == ["phantoms-24patient"]


def test_boundaries_are_compared_where_all_draw(place) -> None:
    """A network that draws nothing takes no slice away when it stands beside them."""
    whole = {"unet": measured(0.6), "mscf": measured(0.9)}
    half = pd.concat([measured(empty=True)[:10], whole["mscf"][10:]])
    whole["hu_threshold"] = measured(0.3)
    beside = {"hu_threshold": measured(0.3), "mscf+untrained": measured(empty=True)}
    for method, rows in (whole | {"mscf": half} | beside).items():
        distances = {"hd95": rows["hd"], "assd": rows["hd"] / 2}
        keep(place, method, rows.assign(**distances), trained=method in METHODS)
    runs = read_runs(place, ["unet", "mscf"], [*beside])
    table, together = results_table(runs), results_table(where_all_draw(runs))
    for method, rows in whole.items():
        expected = rows["hd"][10:].mean()
        assert together.loc[method, "hd95"] == pytest.approx(expected)
        assert together.loc[method, "assd"] == pytest.approx(expected / 2)
    assert table.loc["unet", "hd95"] == pytest.approx(whole["unet"]["hd"].mean())
    assert pd.isna(together.loc["mscf+untrained", "hd95"])
    columns = [name for name in table if not name.startswith(("hd95", "assd"))]
    pd.testing.assert_frame_equal(together[columns], table[columns])


def test_our_gain_reverses_distances(runs) -> None:
    table = in_percent(results_table(runs)[list(SEVEN)])
    gain = average_gain(table, "mscf", ["unet", "cenet"], SEVEN)
    hd = table["hd_diagonal"]
    expected = (hd["unet"] + hd["cenet"]) / 2 - hd["mscf"]
    assert gain.loc["average gain", "hd_diagonal"] == pytest.approx(expected)
    assert gain.loc["average gain", "dice"] > 0


def test_without_a_baseline_the_gain_is_a_dash(runs) -> None:
    gain = shown_gain(average_gain(results_table(runs), "mscf", [], SEVEN))
    assert set(gain.to_numpy().ravel()) == {"–"}


def test_without_ours_nothing_is_compared_and_everything_shown(runs) -> None:
    rows = runs.shared()
    rows = rows[rows["method"] != "mscf"]
    assert against_baselines(rows, "mscf", ["unet", "cenet"]).empty
    assert patient_differences(rows, "mscf", ["unet"], "dice").empty
    assert several_runs(rows, "mscf").empty
    gain = average_gain(results_table(runs).drop(index="mscf"), "mscf", ["unet"], SEVEN)
    assert gain.isna().all(axis=None)
    assert set(ranking(rows)["method"]) == {"unet", "cenet"}


def test_numbers_are_shown_as_the_paper_prints_them(runs, kept) -> None:
    table = results_table(runs)
    text = shown(table, SEVEN)
    assert text.loc["mscf", "dice"] == f"{100 * table.loc['mscf', 'dice']:.2f}"
    assert text.loc["mscf", "hd_diagonal"] == f"{table.loc['mscf', 'hd_diagonal']:.2f}"
    assert len(text.loc["mscf", "specificity"].split(".")[1]) == 3
    ends = shown_with_interval(table, ["dice"]).loc["mscf", "dice"]
    low, high = 100 * table.loc["mscf", ["dice_low", "dice_high"]]
    assert ends == f"{text.loc['mscf', 'dice']} ({low:.2f}\xa0to\xa0{high:.2f})"
    repeated = results_table(read_runs(kept, ["cenet", "mscf"]))
    spread = 100 * repeated.loc["mscf", "dice_sd_seeds"]
    assert shown(repeated, ["dice"]).loc["mscf", "dice"].endswith(f"± {spread:.2f}")


def test_all_ten_have_a_row_and_who_was_not_run_a_dash(runs) -> None:
    table = grouped(shown(results_table(runs), SEVEN), NAMES)
    assert len(table) == 11
    assert table.loc[("attention", "DANet"), "dice"] == "–"
    assert table.loc[("U-Net", "U-Net"), "dice"] != "–"
    assert table.index[-2:].tolist() == [("ours", "Ours"), ("beside", "hu_threshold")]


def test_runs_are_listed_one_by_one_and_the_repeated_compared(runs) -> None:
    table = runs_table(runs.rows)
    seed_1 = "fold\xa00, seed\xa01"
    assert table.loc["unet", [seed_1, "deviation", "runs"]].tolist() == ["–", "–", 1]
    assert table.loc["mscf", "runs"] == 3
    each = 100 * runs.rows.query("method == 'mscf'").groupby("seed")["dice"].mean()
    found = table.loc["mscf", ["mean", "deviation"]].tolist()
    assert found == [f"{each.mean():.2f}", f"{each.std():.2f}"]
    repeated = several_runs(runs.rows, "mscf")
    assert set(repeated["method"]) == {"cenet", "mscf"}
    assert set(repeated["seed"]) == {0, 1, 2}
    assert set(several_runs(runs.rows, "unet")["method"]) == {"unet"}


def test_costs_are_those_of_the_records(runs) -> None:
    table = cost_table(runs, {k: {"parameters": 1234.0, "GMAC": 1.5} for k in METHODS})
    assert table.loc["mscf"].tolist() == ["1,234", "1.50", "2", "1.00", "cpu"]
    assert table.loc["danet", ["epochs", "hours", "device"]].isna().all()


def test_costs_are_means_over_the_runs_of_a_method(place) -> None:
    for seed, (epochs, device) in enumerate([(2, "cpu"), (9, "gpu"), (4, "gpu")]):
        run = keep(place, "mscf", measured(seed=seed), seed=seed) / "run.json"
        changed = {"epochs_done": epochs, "seconds": 360.0 * epochs}
        record = json.loads(run.read_text()) | changed | {"machine": {"device": device}}
        run.write_text(json.dumps(record))
    table = cost_table(
        read_runs(place, ["mscf"]), {"mscf": {"parameters": 1.0, "GMAC": 1.0}}
    )
    assert table.loc["mscf"].tolist() == ["1", "1.00", "5", "0.50", "cpu, gpu"]


def test_precision_and_f1_depend_on_the_rule_when_masks_are_empty(place) -> None:
    half = measured(0.6)
    empty = measured(empty=True)
    half.loc[half["slice"] % 2 == 0] = empty[empty["slice"] % 2 == 0]
    keep(place, "mscf", half)
    table = empty_rules_table(read_runs(place, ["mscf"])).loc["mscf"].astype(float)
    strict, nan = table["Precision, strict"], table["Precision, left out"]
    assert nan == pytest.approx(2 * strict, abs=0.02)
    assert table["Precision, as 1"] == pytest.approx(strict + 50, abs=0.01)
    recall = half["recall"].mean()
    for rule in ("strict", "left out", "as 1"):
        precision = table[f"Precision, {rule}"] / 100
        f1 = 2 * precision * recall / (precision + recall)
        assert table[f"F1, {rule}"] == pytest.approx(100 * f1, abs=0.02)
    dice = 2 * half["tp"].sum() / (half["predicted_px"] + half["truth_px"]).sum()
    assert table["Dice, pooled"] == pytest.approx(100 * dice, abs=0.01)


def test_the_rule_of_the_page_gives_the_means_of_the_page() -> None:
    """Also of seeds that tested different slices, where a slice counts once."""
    runs = read_runs(RESULTS / "phantoms-192/patient", ["cenet", "mscf"])
    assert runs.shared()["seed"].nunique() > 1
    means = shown_with_interval(results_table(runs), ["precision"])["precision"]
    rules = empty_rules_table(runs)
    assert means.str.partition(" ")[0].tolist() == rules["Precision, strict"].tolist()


def test_comparisons_and_ranks_are_shown_by_title(runs) -> None:
    comparison = against_baselines(runs.shared(), "mscf", ["unet", "cenet"])
    table = shown_comparison(comparison, "dice", NAMES)
    assert list(table.index) == ["U-Net", "CE-Net"]
    difference = comparison.set_index(["metric", "baseline"])["difference"]
    assert table["difference"]["U-Net"] == f"{100 * difference['dice', 'unet']:.2f}"
    row = comparison.set_index(["metric", "baseline"]).loc["dice", "unet"]
    ends = [f"{100 * row[end]:.2f}" for end in ("low", "high")]
    found = table.loc["U-Net", ["from", "to", "p", "p, Holm"]].tolist()
    assert found == [*ends, "0.008", "0.016"]
    both = shown_differences(comparison, ["dice", "hd_diagonal"], NAMES)
    assert list(both.index) == ["Dice", "HD"]
    of_dice = f"{100 * row['difference']:.2f} ({ends[0]} to {ends[1]})"
    assert both.loc["Dice", "U-Net"].replace("\N{NO-BREAK SPACE}", " ") == of_dice
    pixels = difference["hd_diagonal", "cenet"]
    assert both.loc["HD", "CE-Net"].startswith(f"{pixels:.2f} (")
    p = shown_p(comparison, NAMES, {"dice": "Dice"})
    assert p["Dice"].tolist() == ["0.016", "0.016"]  # twice 2 / 2^8
    first = shown_ranks(ranking(runs.shared()), NAMES, {"dice": "Dice"})
    assert first["Dice"].tolist() == ["0.0", "0.0", "100.0"]
    assert [p_as_text(value) for value in (0.0004, 0.5)] == ["< 0.001", "0.500"]


def test_latex_has_a_row_a_method_and_no_open_special_character() -> None:
    table = pd.DataFrame(
        {"Dice": ["1.0 ± 0.1", "–"]}, index=pd.Index(["a_b", "50 %"], name="method")
    )
    text = as_latex(table, "Means & more")
    assert r"\begin{tabular}{lr}" in text
    assert r"a\_b & 1.0 $\pm$ 0.1 \\" in text
    assert r"50 \% & -- \\" in text
    assert r"\caption{Means \& more}" in text


def test_the_page_says_what_is_there_and_what_is_not(runs) -> None:
    text = where_from(runs, NAMES)
    assert "**phantoms-24**, split by patient, fold 0, seed 0: 40 test slices" in text
    assert (
        "of 8 patients, 24 × 24 pixels. Here: U-Net, CE-Net and Ours, trained" in text
    )
    assert (
        "trained for 2 epochs. **Synthetic CT: nothing here is about patients" in text
    )
    assert "**Not run: Attention UNet, R2U-Net" in text
    assert "(7 of 10)" in text
    assert "besides fold-0/seed-1, fold-0/seed-2" in notes(runs)


def test_phantoms_are_told_by_the_record_and_not_by_the_name(tmp_path) -> None:
    place = tmp_path / "store-24/patient"
    folder = keep(place, "cenet", measured())
    assert "Synthetic" not in where_from(read_runs(place, ["cenet"]), NAMES)
    record = json.loads((folder / "run.json").read_text())
    record["store"]["phantoms"] = True
    (folder / "run.json").write_text(json.dumps(record))
    assert "Synthetic CT" in where_from(read_runs(place, ["cenet"]), NAMES)


def test_verdicts_name_above_below_and_undecided() -> None:
    table = pd.DataFrame({
        "metric": "dice", "baseline": ["unet", "cenet", "danet"],
        "difference": [0.1, -0.1, 0.0], "low": [0.05, -0.2, 0.0],
        "high": [0.2, -0.05, 0.0], "p": [0.001, 0.001, 1], "p_holm": [0.003, 0.003, 1],
        "patients": 22, "side": [1, -1, 0],
    })  # fmt: skip
    for changed in ({"side": [-1, -1, 0]}, {"low": [-0.05, -0.2, 0.0]}):
        said = verdicts(table.assign(**changed), NAMES)  # interval and test disagree
        assert "below CE-Net; not told apart from U-Net and DANet" in said
    assert verdicts(table, NAMES) == (
        "By Dice, over 22 patients and after Holm's correction over 3 baselines, "
        "*Ours* is above U-Net; below CE-Net; not told apart from DANet. "
        "Against DANet all differences are zero, so p is 1."
    )
    assert "intervals cover less" in verdicts(table.assign(patients=12), NAMES)
    few = verdicts(table.assign(patients=5), NAMES)
    assert few.startswith(
        "**Cannot decide**: with 5 patients the smallest possible p is"
    )
    assert "one patient" in verdicts(table.assign(patients=1), NAMES)
    assert "not there yet" in verdicts(table[:0], NAMES)


def test_sides_are_those_of_who_differs_in_both_and_ranks_of_all() -> None:
    gains = pd.DataFrame(
        {"first": [1.0, 2.0, -3.0, 0.0], "again": [4.0, -5.0, -9.0, 2.0]}
    )
    assert sides_alike(gains, "first", "again") == (
        "*first* and *again*: of 3 patients who differ in both, 2 do so to the same "
        "side; the rank correlation over all 4 is +0.40."
    )


def test_verdicts_of_all_metrics_name_a_loss_as_they_do_a_gain() -> None:
    table = pd.DataFrame({
        "metric": ["precision", "hd_diagonal", "recall", "jaccard", "hd"],
        "baseline": "cenet", "difference": [-0.1, -9.0, 0.2, 0.1, 5.0],
        "low": [-0.2, -12.0, 0.1, 0.05, 1.0], "high": [-0.05, -3.0, 0.3, 0.2, 9.0],
        "p": [0.01, 0.03, 0.01, 0.2, 0.001], "p_holm": [0.02, 0.04, 0.02, 0.2, 0.001],
        "side": [-1, -1, -1, 1, 1],
    })  # fmt: skip
    metrics = ["precision", "hd_diagonal", "recall", "jaccard"]
    titles = NAMES | {"precision": "Precision", "hd_diagonal": "HD"}
    first, _, *told = verdicts_of_all(table, metrics, titles).splitlines()
    assert first.startswith("Of 4 differences, in 4 metrics to 1 baseline,")
    assert first.endswith("tell 2 from 0.")  # ranks may speak against, or the test
    assert told == [
        "- **Precision: *Ours* is worse than CE-Net**, -10.00 points (-20.00 to -5.00),"
        " p 0.010, by Holm over the baseline 0.020; over all 4 tests 0.040.",
        "- **HD: *Ours* is better than CE-Net**, -9.00 pixels (-12.00 to -3.00),"
        " p 0.030, by Holm over the baseline 0.040; over all 4 tests 0.060.",
    ]
    none = verdicts_of_all(table, ["jaccard"], titles)
    assert none.endswith("interval and test together tell none from 0.")
    assert verdicts_of_all(table[:0], metrics, titles) == "Nothing to test."
