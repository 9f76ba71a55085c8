import hashlib
import json
import math

import numpy as np
import pandas as pd
import pytest

from mscf.errors import InputError, StorageError
from mscf.evaluation.metrics import slice_metrics, summarise
from mscf.evaluation.statistics import draw_patients, interval, redrawn_means
from mscf.evaluation.tables import (
    SUMMARY,
    identify,
    read_rows,
    summary,
    write_rows,
    write_summary,
)

HEADER = (
    "data,split,fold,method,seed,case,patient,slice,height,width,spacing_y,spacing_x,"
    "outcome,truth_px,predicted_px,tp,fp,fn,tn,dice,jaccard,precision,recall,"
    "specificity,f1,hd,hd_diagonal,hd_farthest,hd_edge,hd95,assd,hd_mm,hd_diagonal_mm,"
    "hd_farthest_mm,hd_edge_mm,hd95_mm,assd_mm"
)  # metrics.md, 8


def measured(seed=0, patients=5, slices=40, surface=True, size=24):
    """Rows of slices with every outcome, one patient without known spacing."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(slices):
        truth, prediction = np.zeros((2, size, size), dtype=bool)
        y, x = rng.integers(0, size - 9, 2)
        truth[y : y + 5, x : x + 4] = i % 11 != 0
        prediction[y + 1 : y + 6, x : x + rng.integers(1, 6)] = i % 7 != 0
        patient = i % patients
        spacing = None if patient == 0 else (0.1 + 0.2, 0.7)
        row = slice_metrics(prediction, truth, spacing, surface=surface)
        rows.append({
            "case": f"case {patient}", "patient": f"p{patient}", "slice": i,
            "height": size, "width": size,
            "spacing_y": spacing[0] if spacing else math.nan,
            "spacing_x": spacing[1] if spacing else math.nan, **row,
        })  # fmt: skip
    return pd.DataFrame(rows)


def signed(rows, method="mscf", seed=0, fold=0):
    return identify(rows, "phantoms", "patient", fold, method, seed)


# per_slice.csv


def test_columns_and_their_order_are_those_promised(tmp_path) -> None:
    write_rows(signed(measured(surface=False)), tmp_path / "per_slice.csv")
    lines = (tmp_path / "per_slice.csv").read_text().split("\n")
    assert lines[0] == HEADER
    assert len(lines) == 42
    assert lines[-1] == ""


def test_rows_read_back_are_equal_and_written_again_the_same_bytes(tmp_path) -> None:
    rows = signed(measured())
    write_rows(rows, tmp_path / "a.csv")
    again = read_rows(tmp_path / "a.csv")
    pd.testing.assert_frame_equal(again, rows, check_exact=True)
    write_rows(again.sample(frac=1, random_state=0), tmp_path / "b.csv")
    content = (tmp_path / "a.csv").read_bytes()
    assert (tmp_path / "b.csv").read_bytes() == content
    assert b"0.30000000000000004" in content  # spacing: the shortest that is exact
    assert b"nan" not in content.lower()
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".csv"] == []


def test_rows_are_sorted_by_key_with_slices_as_numbers(tmp_path) -> None:
    rows = pd.concat(
        [signed(measured(), seed=s, fold=f) for s in (1, 0) for f in (1, 0)]
    )
    write_rows(rows, tmp_path / "rows.csv")
    found = read_rows(tmp_path / "rows.csv")
    key = list(
        found[["fold", "seed", "case", "slice"]].itertuples(index=False, name=None)
    )
    assert key == sorted(key)


def test_names_that_look_like_nothing_or_like_numbers_stay_names(tmp_path) -> None:
    rows = measured(slices=4)
    rows["case"] = ["NA", "007", 'a,"b"', "é"]
    rows["patient"] = ["nan", "1e5", "None", "x"]
    write_rows(signed(rows), tmp_path / "rows.csv")
    found = read_rows(tmp_path / "rows.csv")
    assert set(found["case"]) == set(rows["case"])
    assert set(found["patient"]) == set(rows["patient"])


def test_a_slice_may_come_once(tmp_path) -> None:
    rows = signed(measured())
    with pytest.raises(InputError, match=r"one row a slice.*rows-unique"):
        write_rows(pd.concat([rows, rows[3:4]]), tmp_path / "rows.csv")
    assert not list(tmp_path.iterdir())


def test_a_failed_writing_leaves_the_old_rows(tmp_path) -> None:
    path = tmp_path / "rows.csv"
    write_rows(signed(measured(slices=3)), path)
    before = path.read_bytes()
    with pytest.raises(InputError, match="rows-columns"):
        write_rows(signed(measured()).drop(columns="tp"), path)
    with pytest.raises(StorageError):
        write_rows(signed(measured()), tmp_path / "no folder" / "rows.csv")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text.replace("outcome", "result", 1),
        lambda text: text.replace(",40,", ",forty,"),
        lambda text: text[: len(text) // 2],
        lambda text: text + text.split("\n")[3] + "\n",
        lambda text: text.replace("patient,0,", "patient,0.5,"),
        lambda text: text.replace("patient,0,", "patient,,"),
        lambda text: text.replace("patient,0,", "patient,99999999999999999999999,"),
        lambda text: '"' + text,
        lambda text: text.replace("case 3", "case\0\n3"),
    ],
)  # fmt: skip
def test_a_damaged_table_is_refused_by_name(tmp_path, damage) -> None:
    path = tmp_path / "rows.csv"
    write_rows(signed(measured(size=40)), path)
    path.write_text(damage(path.read_text()))
    with pytest.raises(InputError, match=r"rows\.csv: must .* \[rows-") as caught:
        read_rows(path)
    assert "\n" not in str(caught.value)


def test_a_missing_table_is_refused_by_name(tmp_path) -> None:
    with pytest.raises(InputError, match=r"rows\.csv.*rows-unreadable"):
        read_rows(tmp_path / "rows.csv")


# summary


def test_a_seed_s_row_holds_means_numbers_and_intervals_of_its_slices() -> None:
    rows = signed(measured())
    row = summary(rows, commit="abc123").iloc[0]
    means = summarise(rows)
    for name in SUMMARY:
        assert row[name] == means[name]
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
        assert math.isnan(row[f"{name}_sd_seeds"])
    assert (row["slices"], row["patients"], row["size"]) == (40, 5, 24)
    counts = rows["outcome"].value_counts()
    assert len(counts) >= 4
    assert all(row[name] == n for name, n in counts.items())
    assert row["hd_n"] == 40 - row["missed"] - row["false_alarm"]
    assert row["dice_n"] == row["f1_n"] == row["hd_diagonal_n"] == 40
    pixels = rows[["tp", "fp", "fn", "tn"]].sum()
    dice = 2 * pixels["tp"] / (2 * pixels["tp"] + pixels["fp"] + pixels["fn"])
    assert row["dice_pooled"] == dice
    assert row["specificity_pooled"] == pixels["tn"] / (pixels["tn"] + pixels["fp"])
    assert (row["commit"], row["empty_rule"]) == ("abc123", "strict")


def test_the_interval_of_f1_comes_from_redrawn_precision_and_recall() -> None:
    rows = signed(measured())
    redrawn = redrawn_means(
        rows[["precision", "recall"]], rows["patient"], draw_patients(5)
    )
    p, r = redrawn.T
    low, high = interval(2 * p * r / (p + r))
    row = summary(rows).iloc[0]
    assert (row["f1_low"], row["f1_high"]) == (low, high)


def test_over_seeds_come_mean_deviation_and_the_interval_of_averaged_slices() -> None:
    seeds = [signed(measured(seed=s), seed=s) for s in range(3)]
    table = summary(pd.concat(seeds))
    assert table["seed"].tolist()[:3] == [0, 1, 2]
    over = table.iloc[3]
    assert pd.isna(over["seed"])
    assert (over["seeds"], over["slices"], over["patients"]) == (3, 120, 5)
    for name in ("dice", "precision", "recall", "hd_diagonal", "f1_mean"):
        assert over[name] == pytest.approx(np.mean(table[name][:3]))
    p, r = over["precision"], over["recall"]
    assert over["f1"] == pytest.approx(2 * p * r / (p + r))
    pixels = pd.concat(seeds)[["tp", "fp", "fn"]].sum()
    overlap = 2 * pixels["tp"] / (2 * pixels["tp"] + pixels["fp"] + pixels["fn"])
    assert over["dice_pooled"] == pytest.approx(overlap)
    for name in SUMMARY:
        assert over[f"{name}_sd_seeds"] == pytest.approx(
            np.std(table[name][:3], ddof=1)
        )
    assert over["missed"] == table["missed"][:3].sum()
    dice = np.mean([rows["dice"] for rows in seeds], axis=0)[:, None]
    redrawn = redrawn_means(dice, seeds[0]["patient"], draw_patients(5))[:, 0]
    assert (over["dice_low"], over["dice_high"]) == pytest.approx(interval(redrawn))


def test_a_seed_of_fewer_folds_weighs_by_its_slices_and_has_no_deviation() -> None:
    folds = [signed(measured(seed=f).assign(slice=range(40 * f, 40 * f + 40)), fold=f)
             for f in range(5)]  # fmt: skip
    again = signed(measured(seed=7), seed=1)
    over = summary(pd.concat([*folds, again])).iloc[-1]
    first = (folds[0]["dice"] + again["dice"]) / 2
    averaged = np.concatenate([first, *(fold["dice"] for fold in folds[1:])])
    assert over["dice"] == pytest.approx(averaged.mean())
    counts = [fold[["tp", "fp", "fn"]] for fold in folds]
    counts[0] = (counts[0] + again[["tp", "fp", "fn"]]) / 2  # a slice counts once
    tp, fp, fn = pd.concat(counts).sum()
    assert over["dice_pooled"] == pytest.approx(2 * tp / (2 * tp + fp + fn))
    assert over["dice_low"] < over["dice"] < over["dice_high"]
    assert math.isnan(over["dice_sd_seeds"])


def test_methods_and_data_sets_have_rows_of_their_own() -> None:
    rows = pd.concat([signed(measured()), signed(measured(seed=1), method="cenet")])
    table = summary(rows)
    assert table["method"].tolist() == ["cenet", "cenet", "mscf", "mscf"]
    assert table["dice"][2] == summarise(signed(measured()))["dice"]


def test_only_precision_parts_the_rules_where_every_slice_has_tumour() -> None:
    rows = signed(measured())
    rows = rows[rows["truth_px"] > 0]
    tables = {rule: summary(rows, empty=rule).iloc[0] for rule in
              ("strict", "nan", "one", "zero")}  # fmt: skip
    missed = tables["strict"]["missed"]
    assert missed > 0
    assert tables["nan"]["precision_n"] == tables["nan"]["f1_n"] == len(rows) - missed
    assert tables["one"]["precision"] > tables["nan"]["precision"]
    assert tables["nan"]["precision"] > tables["strict"]["precision"]
    assert tables["zero"]["precision"] == tables["strict"]["precision"]
    for name in ("dice", "jaccard", "recall", "specificity", "hd_diagonal"):
        assert len({table[name] for table in tables.values()}) == 1


def test_the_checksum_of_a_run_is_that_of_its_file(tmp_path) -> None:
    rows = signed(measured())
    write_rows(rows, tmp_path / "per_slice.csv")
    digest = hashlib.sha256((tmp_path / "per_slice.csv").read_bytes()).hexdigest()
    for rule in ("strict", "one"):
        assert set(summary(rows, empty=rule)["checksum"]) == {digest}


def test_json_and_csv_hold_the_same_summary_with_nothing_for_undefined(
    tmp_path,
) -> None:
    rows = signed(measured(surface=False))
    write_summary(rows, tmp_path / "summary.json", "abc")
    write_summary(rows, tmp_path / "summary.csv", "abc")
    records = json.loads((tmp_path / "summary.json").read_text())
    table = pd.read_csv(tmp_path / "summary.csv")
    assert list(records[0]) == table.columns.tolist()
    assert "NaN" not in (tmp_path / "summary.json").read_text()
    assert records[0]["assd"] is None
    assert records[0]["assd_n"] == 0
    assert (records[0]["seed"], records[1]["seed"]) == (0, None)
    assert records[0]["dice"] == pytest.approx(table["dice"][0], rel=1e-15)
    assert table["seed"].astype("Int64").tolist()[0] == 0
    assert (
        "\n" + "phantoms,patient,mscf,0,1,24,strict"
        in (tmp_path / "summary.csv").read_text()
    )


def test_one_patient_has_no_interval_and_one_message(capsys) -> None:
    row = summary(signed(measured(patients=1, slices=9))).iloc[0]
    assert math.isnan(row["dice_low"])
    assert math.isnan(row["f1_high"])
    assert not math.isnan(row["dice"])
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "one-patient" in said


def test_pixels_of_two_sizes_never_share_a_table() -> None:
    rows = pd.concat([signed(measured()), signed(measured(size=32), seed=1)])
    with pytest.raises(InputError, match="rows-size"):
        summary(rows)
