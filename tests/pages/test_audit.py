"""The paper's arithmetic, number by number: each test is an entry of the audit page."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mscf import METHODS
from mscf.errors import InputError
from mscf.evaluation.copying import expected_neighbours
from mscf.evaluation.metrics import f1_of
from mscf.evaluation.results_table import average_gain
from mscf.evaluation.runs import read_runs
from mscf.evaluation.tables import read_rows, write_rows
from mscf.models import on_meta
from mscf.models.context import ChannelContext
from mscf.models.cost import multiply_accumulates, parameters
from mscf.pages.audit import (
    CASES,
    COLUMNS,
    DIAGONAL,
    SIDE,
    SLICES,
    TEST_SLICES,
    attention_map_bytes,
    block_parameters,
    dice_bounds,
    disc_with_margin,
    epochs_to_the_lowest_rate,
    error_over_patients,
    f1_from_means,
    false_pixels,
    missed_slices,
    one_fact,
    own_rows,
    points,
    read_table1,
    readings_of_037,
    recall_over_precision,
    shared_convolutions,
    slice_spread,
    standard_error,
    tumour_share,
)

RESULTS = Path(__file__).parents[2] / "results"
NINE = [key for key in METHODS if key != "mscf"]
CENET, RESNET = 29_003_093, 21_797_672


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return read_table1(RESULTS / "paper/table1.csv")


@pytest.fixture(scope="module")
def gain(table) -> pd.DataFrame:
    return average_gain(table, "mscf", NINE, COLUMNS)


def test_the_table_has_the_ten_methods_in_order(table) -> None:
    assert list(table.index) == list(METHODS)


def test_a1_average_gains_hold(gain) -> None:
    exact = [5.26, 9.79, 6.1389, 5.8689, 2.4922, 0.0578, 4.46]
    assert gain.loc["average gain"].tolist() == pytest.approx(exact, abs=5e-5)


def test_a2_ranges_hold_in_points(gain, table) -> None:
    ranges = gain.loc[["smallest", "largest"], ["dice", "jaccard", "precision"]].round(
        2
    )
    assert ranges.to_numpy().T.tolist() == [[2.19, 8.58], [2.46, 9.91], [2.46, 9.57]]
    relative = {
        name: 100 * (abs(table.loc["mscf", name] - table.loc[NINE, name])
                     / table.loc[NINE, name]).mean()
        for name in COLUMNS
    }  # fmt: skip
    assert relative["dice"] == pytest.approx(6.94, abs=0.005)
    assert relative["f1"] == pytest.approx(5.73, abs=0.005)


def test_a3_f1_of_nine_rows_is_that_of_the_means_and_ours_is_off(table) -> None:
    check = f1_from_means(table)
    assert check["fits"].tolist() == [True] * 9 + [False]
    ours = check.loc["mscf"]
    assert (ours["low"], ours["computed"], ours["high"]) == pytest.approx(
        (83.4637, 83.4687, 83.4737), abs=5e-5
    )
    assert ours["printed"] == 83.37


def test_a3a_the_average_gain_of_f1_has_the_wrong_value_in_it(table, gain) -> None:
    assert gain.loc["average gain", "f1"] == pytest.approx(4.46, abs=1e-9)
    right = table.copy()
    right.loc["mscf", "f1"] = f1_from_means(table).loc["mscf", "computed"]
    mended = average_gain(right, "mscf", NINE, ["f1"]).loc["average gain", "f1"]
    assert mended == pytest.approx(4.5587, abs=5e-5)
    assert f1_of(76.79, 91.18) == pytest.approx(83.369, abs=5e-4)
    assert f1_of(76.96, 90.95) == pytest.approx(83.372, abs=5e-4)


def test_a4_f1_exceeds_dice_in_all_rows(table) -> None:
    above = table["f1"] - table["dice"]
    assert (above.min(), above.max()) == pytest.approx((1.21, 2.35))
    assert (above.idxmin(), above.idxmax()) == ("mscf", "nested_unet")


def test_a5_dice_lies_within_jensens_bounds(table) -> None:
    bounds = dice_bounds(table)
    assert (bounds["lower"] <= bounds["dice"]).all()
    assert bounds["shortfall"].min() == pytest.approx(2.54, abs=0.005)
    assert bounds["shortfall"].max() == pytest.approx(4.18, abs=0.005)


def test_a6_specificity_and_recall_are_not_of_two_classes(table) -> None:
    assert (table["specificity"] - table["recall"]).min() > 8


@pytest.mark.parametrize(
    ("key", "lowest", "highest", "at_0"),
    [("mscf", 17.2, 22.2, 5.35), ("unet", 22.3, 28.1, 9.54)],
)
def test_a7_slices_with_these_means_exist(key, lowest, highest, at_0, table) -> None:
    found = slice_spread(table.loc[key])
    assert found["lowest"] == pytest.approx(lowest, abs=0.3)
    assert found["highest"] == pytest.approx(highest, abs=0.3)
    assert found["at 0"] == pytest.approx(at_0, abs=0.3)


def test_a7_every_row_is_possible_and_an_impossible_one_is_seen(table) -> None:
    spread = pd.DataFrame({key: slice_spread(row) for key, row in table.iterrows()}).T
    assert spread.notna().all(axis=None)
    pooled = table.loc["mscf"] + [4, 0, 0, 0, 0, 0, 0]  # beyond 2J / (1 + J)
    assert math.isnan(slice_spread(pooled)["lowest"])


def test_a7_slices_that_are_all_perfect_do_not_spread(table) -> None:
    spread = slice_spread(table.loc["mscf"] * 0 + 100)
    assert spread["lowest"] == 0
    assert spread["highest"] < 1  # the means are known to 0.01


@pytest.mark.parametrize("content", [None, "key,dice\nmscf,82\n", "", "\xff\xfe"])
def test_a_table_that_is_none_is_one_line(content, tmp_path) -> None:
    path = tmp_path / "table1.csv"
    if content is not None:
        path.write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=r"table1.csv.*\[table1\]"):
        read_table1(path)


def test_a8_specificity_in_pixels(table) -> None:
    assert SIDE**2 == 200_704
    found = false_pixels(table)
    assert found[["mscf", "danet", "unet"]].round().tolist() == [281, 321, 482]


def test_a9_ours_is_first_in_seven_columns_that_say_one_thing(table) -> None:
    ranks = table.assign(hd=-table["hd"]).rank(ascending=False)
    assert (ranks.loc["mscf"] == 1).all()
    assert (ranks.loc["danet"] == 2).all()
    assert one_fact(table) == pytest.approx((0.948, 0.984), abs=5e-4)


@pytest.mark.parametrize("change", [{"recall": 0.0}, {"hd": 63.0}])
def test_columns_without_spread_are_alike_to_none(table, change) -> None:
    """As of networks that all draw nothing, or of one method."""
    assert one_fact(table.assign(**change)) == pytest.approx(
        (math.nan, math.nan), nan_ok=True
    )
    assert one_fact(table[:1]) == pytest.approx((math.nan, math.nan), nan_ok=True)


def test_b10_two_missed_slices_are_the_gap_in_hausdorff_distance(table) -> None:
    assert pytest.approx(633.56768, abs=5e-6) == DIAGONAL
    gap = table.loc["danet", "hd"] - table.loc["mscf", "hd"]
    assert gap / (DIAGONAL / TEST_SLICES) == pytest.approx(2.11, abs=0.005)
    assert missed_slices(table).loc["danet", "hd"] == pytest.approx(2.22, abs=0.005)


def test_b10a_missed_slices_could_make_the_whole_column(table) -> None:
    missed = missed_slices(table)
    hd = [53.9, 17.0, 38.2, 40.2, 9.0, 21.6, 20.9, 2.2, 6.9]
    assert missed["hd"].tolist() == pytest.approx(hd, abs=0.05)
    recall = [64, 22, 56, 61, 27, 29, 35, 11.5, 16.5]
    assert missed["recall"].tolist() == pytest.approx(recall, abs=0.5)
    assert (missed["hd"] < missed["recall"]).all()


def test_b10b_distances_are_not_of_images_taken_as_points(table) -> None:
    assert table["hd"].min() > math.sqrt(SIDE)


def test_b11_every_method_draws_too_much(table) -> None:
    ratio = table["recall"] / table["precision"]
    assert (ratio.min(), ratio.max()) == pytest.approx((1.185, 1.290), abs=5e-4)
    assert disc_with_margin(5) == pytest.approx(81 / 113)


@pytest.fixture(scope="module")
def own() -> dict[str, pd.DataFrame]:
    names = {"excerpt": "excerpt-448", "phantoms": "phantoms-192"}
    return {name: own_rows(RESULTS / data / "patient") for name, data in names.items()}


def of_the_pixels(data: str) -> pd.DataFrame:
    """P, R and S of our rows over all pixels together, percent."""
    means = pd.read_csv(RESULTS / data / "patient/summary.csv")
    means = means[means["seed"].isna()].set_index("method").loc[list(METHODS)]
    names = ["precision", "recall", "specificity"]
    return means[[f"{name}_pooled" for name in names]].set_axis(names, axis=1) * 100


def test_b11_ours_draw_too_much_in_no_row_on_ct_and_in_three_on_phantoms(own) -> None:
    above = {name: (of["recall"] > of["precision"]).sum() for name, of in own.items()}
    assert above == {"excerpt": 0, "phantoms": 3}
    patient = RESULTS / "excerpt-448/patient"
    folds = {key: len(list((patient / key).glob("fold-*"))) for key in METHODS}
    assert sorted(folds.values()) == [1] * 7 + [5] * 3
    runs = [json.loads(p.read_text()) for p in patient.glob("*/*/*/run.json")]
    assert len({run["epochs_done"] for run in runs}) == 1
    together = of_the_pixels("excerpt-448")
    drawn = together["recall"] / together["precision"]
    assert list(drawn[drawn > 1].index) == ["cenet"]


@pytest.fixture(scope="module")
def by_slice() -> pd.DataFrame:
    """As on the page: all kept networks of the excerpt by slice, a row a seed."""
    four = recall_over_precision(
        RESULTS / "excerpt-448/slice",
        ["cenet", "self_attention", "mscf", "mscf+channel"],
    )
    keys = ["cenet+19-epochs", "mscf+19-epochs"]
    return pd.concat(
        [four, recall_over_precision(RESULTS / "lits_excerpt-224/slice", keys)]
    )


def test_b11_by_slice_ours_draw_too_much_in_one_of_eight(by_slice) -> None:
    kept = {
        (p.parent.parent.name, int(p.name.removeprefix("seed-")))
        for p in RESULTS.glob("*excerpt-*/slice/*/fold-0/seed-*")
    }
    assert set(by_slice.index) == kept
    assert len(by_slice) == 8
    again = ("cenet+19-epochs", 2)
    assert list(by_slice.index[by_slice["R / P"] > 1]) == [again]
    open_to = {("self_attention", 0), again}
    assert {*by_slice.index[by_slice["high"] >= 1]} == open_to
    assert by_slice.loc[again, "low"] < 1
    ratio = [0.639, 0.978, 0.713, 0.591, 0.790, 1.057, 0.803, 0.746]
    assert by_slice["R / P"].tolist() == pytest.approx(ratio, abs=5e-4)
    assert by_slice["slices"].tolist() == [74] * 4 + [366] * 4


def test_b11_by_patient_at_half_the_side_ours_draw_too_little() -> None:
    four = recall_over_precision(
        RESULTS / "lits_excerpt-224/patient", ["cenet+16-patients", "mscf+16-patients"]
    )
    assert four["R / P"].round(2).tolist() == [0.63, 0.75, 0.66, 0.85]
    assert (four["high"] < 1).tolist() == [False, False, True, False]


def test_b11_that_one_is_above_by_one_training_of_five() -> None:
    rows = read_runs(RESULTS / "lits_excerpt-224/slice", ["cenet+19-epochs"]).rows
    again = rows[rows["seed"] == 2]
    sums = again.groupby("fold")[["predicted_px", "truth_px"]].sum()
    drawn = sums["predicted_px"] / sums["truth_px"]
    assert 5.9 < drawn.max() < 6.1
    for of in (again[again["fold"] != drawn.idxmax()], rows):
        assert of["recall"].mean() / of["precision"].mean() < 0.95


def test_b11_the_threshold_draws_too_much_in_the_mean() -> None:
    found = recall_over_precision(RESULTS / "excerpt-448/patient", ["hu_threshold"])
    assert (found["R / P"] > 1).all()
    assert (found["low"] < 1).all()


def test_b11_the_pages_say_so() -> None:
    root = RESULTS.parent
    cells = json.loads((root / "notebooks/audit.ipynb").read_text("utf-8"))["cells"]
    page = " ".join(" ".join("".join(c["source"]) for c in cells).split())
    assert "by slice one of the eight is, the second seed of CE-Net" in page
    assert "ends below 1 for all but that one and Self-attention, which it" in page
    assert "of four at half the side none" in page
    assert "by patient at half the side it leaves three of four open" in page
    assert "by one of its five trainings, which draws six times the tumour that is" in (
        page
    )
    assert "without that fold, or both seeds together, it is below 1" in page
    assert "threshold on HU draws too much in the mean, and its interval leaves" in page
    paper = " ".join((root / "book/paper.md").read_text("utf-8").split())
    assert "eight on the excerpt, a seed a row, by one training of five" in paper


def test_b11_the_interval_is_that_of_redrawn_patients(tmp_path) -> None:
    """Two of whom one has R / P of 1 and the other of 1/2: no draw is outside."""
    runs = RESULTS / "excerpt-448/slice/mscf/fold-0/seed-0"
    rows = read_rows(runs / "per_slice.csv")
    first, other = rows["patient"].unique()[:2]
    rows = pd.concat([rows[rows["patient"] == one].head(1) for one in (first, other)])
    rows = rows.assign(precision=[0.5, 0.5], recall=[0.5, 0.25])
    folder = tmp_path / "excerpt-448/slice/mscf/fold-0/seed-0"
    folder.mkdir(parents=True)
    write_rows(rows, folder / "per_slice.csv")
    record = json.loads((runs / "run.json").read_text())
    record["slices"]["test"] = 2
    (folder / "run.json").write_text(json.dumps(record))
    found = recall_over_precision(tmp_path / "excerpt-448/slice", ["mscf"])
    assert found.loc["mscf", 0].tolist() == pytest.approx([0.75, 0.5, 1, 2, 2])


def test_b11_one_training_of_ours_on_smaller_slices_draws_too_much() -> None:
    rows = read_rows(
        RESULTS / "lits_excerpt-224/patient/mscf/fold-0/seed-0/per_slice.csv"
    )
    assert rows["recall"].mean() > rows["precision"].mean()


def test_b12_tumour_share_that_a_row_implies(table) -> None:
    found = tumour_share(table)
    percent = [0.57, 0.51, 0.57, 0.57, 0.54, 0.53, 0.57, 0.51, 0.51, 0.51]
    assert found["share"].tolist() == pytest.approx(percent, abs=0.005)
    reach = (found["high"] - found["low"]) / 2
    assert (reach["unet"], reach["mscf"]) == pytest.approx((0.012, 0.018), abs=5e-4)
    other = tumour_share(table, exchanged=True)["share"]
    assert (other.min(), other.max()) == pytest.approx((1.85, 2.32), abs=0.005)


def test_b12_of_pooled_counts_the_formula_gives_the_true_share(own) -> None:
    for name, data in (("excerpt", "excerpt-448"), ("phantoms", "phantoms-192")):
        implied = tumour_share(of_the_pixels(data))["share"]
        truth = own[name]["tumour"]
        assert implied.tolist() == pytest.approx(truth.tolist(), rel=1e-9)


def test_b12_of_means_it_gives_too_little_in_all_rows_of_ours_but_one(own) -> None:
    part = {name: tumour_share(of)["share"] / of["tumour"] for name, of in own.items()}
    assert (part["phantoms"] < 1).all()
    assert part["phantoms"].min() < 0.5
    excerpt = part["excerpt"]
    assert list(excerpt[excerpt >= 1].index) == ["cenet"]
    rows = read_runs(RESULTS / "excerpt-448/patient", ["cenet"]).rows
    wrong = rows["fp"].sort_values()
    assert wrong.iloc[-len(wrong) // 10 :].sum() > 0.8 * wrong.sum()  # a few slices


def test_b12_the_share_of_the_excerpt_lies_between_both_readings(own, table) -> None:
    rows = read_runs(RESULTS / "excerpt-448/patient", list(METHODS)).rows
    each = rows.drop_duplicates(["case", "slice"])
    share = 100 * each["truth_px"] / SIDE**2
    measured = own["excerpt"].loc["mscf", "tumour"]
    assert len(each) == 370
    assert measured == pytest.approx(share.mean())
    assert measured == pytest.approx(0.88, abs=0.005)
    printed = tumour_share(table)["share"]
    exchanged = tumour_share(table, exchanged=True)["share"]
    assert 0 < measured - printed.max() < exchanged.min() - measured
    of_folds = share.groupby(each["fold"]).mean()
    assert of_folds.max() > 20 * of_folds.min()


def test_b13_four_to_one() -> None:
    assert (SLICES * 4 / 5, SLICES - SLICES * 4 / 5) == (5752, TEST_SLICES)


def test_b14_nearly_all_test_slices_touch_a_training_slice() -> None:
    beside = 100 * expected_neighbours(SLICES, CASES)
    assert beside == pytest.approx(95.5, abs=0.05)
    one_side = 0.8**61  # a patient of 61 slices
    assert one_side == pytest.approx(1.2e-6, abs=5e-8)


def test_b15_standard_errors(table) -> None:
    assert standard_error(17) == pytest.approx(0.45, abs=0.005)
    assert standard_error(28) == pytest.approx(0.74, abs=0.005)
    assert (standard_error(17, 4), standard_error(28, 4)) == pytest.approx(
        (0.9, 1.48), abs=0.005
    )
    ours, second = (slice_spread(table.loc[key]) for key in ("mscf", "danet"))
    gap = table.loc["mscf", "dice"] - table.loc["danet", "dice"]
    for end, expected in (("lowest", 1.6), ("highest", 1.3)):
        error = math.hypot(*(standard_error(row[end], 4) for row in (ours, second)))
        assert gap / error == pytest.approx(expected, abs=0.05)


def test_more_slices_of_the_same_patients_tell_little_more() -> None:
    """Five folds are five times the slices, and of the same 118 patients."""
    tested = error_over_patients(20, TEST_SLICES, CASES)
    assert tested == pytest.approx(standard_error(20, 4.36), rel=0.001)
    five_folds = error_over_patients(20, SLICES, CASES)
    assert five_folds == pytest.approx(20 * math.sqrt(18.98 / SLICES), rel=0.001)
    assert 0.9 < five_folds / tested < 0.95  # not 1 / sqrt(5)
    one_fold = error_over_patients(20, TEST_SLICES, CASES / 5)
    assert one_fold == pytest.approx(math.sqrt(5) * five_folds)


def test_c17_the_blocks_add_0_37_percent() -> None:
    assert parameters(on_meta("cenet")) == CENET
    blocks = [block_parameters(channels) for channels in (64, 128, 256)]
    assert blocks == [5_202, 20_642, 82_242]
    assert parameters(on_meta("mscf")) - CENET == sum(blocks) == 108_086
    assert 100 * sum(blocks) / CENET == pytest.approx(0.3727, abs=5e-5)
    channel = [m for m in on_meta("mscf").modules() if isinstance(m, ChannelContext)]
    assert sum(map(parameters, channel)) == 3


def test_c17_neighbouring_readings() -> None:
    found = readings_of_037(CENET, RESNET)
    expected = {
        "without biases": 0.3707, "without alpha and beta": 0.3726,
        "batch norm after Q, K, F": 0.3765, "over the larger network": 0.3713,
        "Q and K to C/4": 0.447, "Q and K to C/16": 0.335, "Q and K to C": 0.894,
        "a fourth scale, 512": 1.50, "the stem's 64 channels too": 0.391,
        "the 256 channels alone": 0.284, "F with 3 × 3": 2.75, "over ResNet-34": 0.496,
        "skips concatenated": 0.3698,
    }  # fmt: skip
    for name, value in expected.items():
        places = len(str(value).split(".")[1])
        assert found[name] == pytest.approx(value, abs=0.51 * 10**-places), name


@pytest.mark.parametrize(
    ("side", "shared", "original", "percent", "of_original"),
    [(448, 20.505, 21.892, 65.5, 61.3), (224, 5.126, 5.473, 18.2, 17.0)],
)
def test_c18_what_the_blocks_compute(
    side, shared, original, percent, of_original
) -> None:
    cenet = multiply_accumulates(on_meta("cenet"), side, side)
    added = multiply_accumulates(on_meta("mscf"), side, side) - cenet
    published = cenet + shared_convolutions(side)
    assert cenet / 1e9 == pytest.approx(shared, abs=5e-4)
    assert published / 1e9 == pytest.approx(original, abs=5e-4)
    assert 100 * added / cenet == pytest.approx(percent, abs=0.1)
    assert 100 * added / published == pytest.approx(of_original, abs=0.1)


def test_c19_memory_of_the_attention_maps() -> None:
    assert attention_map_bytes(4) == 629_407_744
    assert [round(attention_map_bytes(s) / 2**20, 1) for s in (8, 16)] == [37.5, 2.3]


def test_c20_passes_over_the_data() -> None:
    assert (400 * 5752, 400 * 5752 / 8) == (2_300_800, 287_600)


def test_c21_nine_halvings_and_not_before_epoch_98() -> None:
    assert epochs_to_the_lowest_rate() == (9, pytest.approx(3.9e-7, abs=1e-8), 98)


@pytest.mark.parametrize(
    ("item", "one", "other", "differences"),
    [
        ("d23", "attention_unet", "unet",
         {"dice": 5.08, "jaccard": 5.65, "precision": 5.47, "f1": 4.55,
          "recall": 2.95, "specificity": 0.07}),
        ("d24", "r2unet", "unet",
         {"dice": 0.93, "jaccard": 0.79, "precision": 0.92, "recall": 0.57,
          "f1": 0.80}),
        ("d25", "self_attention", "cenet",
         {"dice": -1.92, "jaccard": -2.29, "precision": -2.10, "recall": -0.61,
          "f1": -1.54, "hd": 5.00}),
        ("d26", "senet", "attention_unet", {"dice": -0.82}),
        ("d28", "csnet", "attention_unet",
         {"dice": 0.20, "jaccard": 0.13, "precision": 0.10, "specificity": 0.00}),
        ("e", "mscf", "cenet",
         {"dice": 3.75, "hd": -3.77, "jaccard": 4.37, "precision": 4.04,
          "recall": 1.85, "f1": 3.07}),
        ("e", "mscf", "self_attention", {"dice": 5.67, "precision": 6.14, "hd": -8.77}),
    ],
)  # fmt: skip
def test_d_sentences_against_the_table(item, one, other, differences, table) -> None:
    found = points(table, {item: (one, other)}).loc[item]
    for name, value in differences.items():
        assert found[name] == pytest.approx(value, abs=1e-9)


def test_d27_attention_unet_is_ahead_of_cenet_in_all_but_distance(table) -> None:
    ahead = points(table, {"27": ("attention_unet", "cenet")}).loc["27"]
    assert (ahead.drop("hd") > 0).all()
    assert ahead["hd"] > 0  # larger, so worse


def test_d29_nested_unet_beside_unet(table) -> None:
    found = points(table, {"29": ("nested_unet", "unet")}).loc["29"]
    assert (found[["dice", "jaccard", "precision"]] < 0).all()
    assert (found[["recall", "f1"]] > 0).all()
    assert found["hd"] < 0
    assert found["specificity"] == 0
    assert np.isfinite(found).all()
