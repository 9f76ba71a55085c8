from dataclasses import replace

import numpy as np
import pytest

from mscf.data.dataset import SliceDataset
from mscf.data.store import open_store
from mscf.evaluation.metrics import volume_metrics
from mscf.evaluation.volumes import case_rows, lesion_rows, stacked


def test_every_case_has_a_row_with_its_volume_and_its_lesions(tiny_store) -> None:
    store = open_store(tiny_store)  # one tumour a case, three slices deep
    slices = SliceDataset(store, range(len(store.index))[::-1])
    truth = store.masks[slices.index["row"].to_numpy()] == 2
    rows = case_rows(slices, truth).set_index("case")
    assert rows["slices"].tolist() == [3] * 6
    assert (rows["dice"] == 1).all()
    assert (rows["lesions_truth"] == 1).all()
    assert rows["truth_voxels"].sum() == truth.sum()
    assert (rows["lesions_above_20"] == 1).all()  # 24 pixels of 1.5 mm
    none = case_rows(slices, np.zeros_like(truth))
    assert (none["missed_50"] == 1).all()
    assert (none["dice"] == 0).all()


def test_a_row_is_that_of_the_volume_whatever_the_order_of_its_slices(
    tiny_store,
) -> None:
    random, store = np.random.default_rng(0), open_store(tiny_store)
    truth = random.random((4, 12, 12)) < 0.3
    prediction = np.roll(truth, (1, 2), axis=(1, 2))
    index = store.index.iloc[:4].assign(case="c", slice=range(5, 9))
    index = index.assign(spacing_y=0.5, spacing_x=0.8, spacing_z=4.0)
    order = [2, 0, 3, 1]
    slices = SliceDataset(replace(store, index=index, masks=2 * truth), order)
    (row,) = case_rows(slices, prediction[order]).to_dict("records")
    volumes = (x.transpose(1, 2, 0) for x in (prediction, truth))
    expected = volume_metrics(*volumes, (0.5, 0.8, 4.0))
    assert expected.keys() - row.keys() == {"assd_mm", "rmsd_mm", "msd_mm"}
    measured = expected.keys() & row.keys()
    expected = {name: expected[name] for name in measured}
    assert {name: row[name] for name in measured} == pytest.approx(expected)
    assert 0.1 < row["dice"] < 0.9
    assert (row["case"], row["slices"]) == ("c", 4)


def test_lesions_are_those_of_the_case_in_mm_where_these_are_known(tiny_store) -> None:
    store = open_store(tiny_store)
    cases = store.index["case"].unique()
    known = store.index["case"] != cases[0]
    store.index["spacing_known"] = known
    slices = SliceDataset(store, range(len(store.index)))
    truth = store.masks == 2
    rows = lesion_rows(slices, np.zeros_like(truth))
    assert rows["case"].tolist() == [*cases]
    assert rows["lesion"].tolist() == [1] * 6
    assert rows["voxels"].sum() == truth.sum()
    assert rows["diameter_mm"].isna().tolist() == [True] + [False] * 5
    assert (rows["common"] == 0).all()
    found = lesion_rows(slices, truth)
    assert found.groupby("case")["lesion"].agg(list).tolist() == [[1, 0]] * 6
    assert (found["iou"] == 1).all()


def test_slices_that_are_missing_keep_lesions_apart() -> None:
    slices = np.ones((4, 1, 1), bool)
    together = stacked(slices, np.array([4, 5, 6, 7]))
    assert together.shape == (1, 1, 4)
    apart = stacked(slices, np.array([4, 5, 9, 12]))[0, 0].tolist()
    assert apart == [True, True, False, True, False, True]


def test_slices_that_are_missing_leave_no_distance_in_mm(tiny_store) -> None:
    """Lesions that lie far apart are near each other in what is stacked."""
    store = open_store(tiny_store)
    index = store.index.iloc[:3].assign(case="c", slice=[0, 1, 40])
    slices = SliceDataset(replace(store, index=index), range(3))
    truth = store.masks[:3] == 2
    (row,) = case_rows(slices, truth).to_dict("records")
    assert row["lesions_truth"] == row["detected_50"] == 2
    assert not [name for name in row if name.endswith("_mm")]


def test_without_a_known_spacing_there_are_no_classes_of_size(tiny_store) -> None:
    store = open_store(tiny_store)
    store.index["spacing_known"] = False
    rows = case_rows(SliceDataset(store, [0, 1]), np.zeros((2, 192, 192), bool))
    assert "lesions_above_20" not in rows
    assert rows["lesions_truth"].tolist() == [1]
