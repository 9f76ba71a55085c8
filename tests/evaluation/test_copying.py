import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mscf.data.dataset import WINDOW
from mscf.data.resize import resize_images
from mscf.data.splits import make_split, train_and_test_rows
from mscf.evaluation.copying import (
    SIDE,
    STACK,
    evaluate_copying,
    expected_neighbours,
    nearest_training_rows,
)
from mscf.evaluation.tables import identify
from mscf.visualisation.statistics import has_neighbour


def store_of_scans(scans=6, n=8, size=96, noise=5.0, seed=0):
    """Scans of which each slice is like its neighbours, and unlike other scans."""
    rng = np.random.default_rng(seed)
    images = np.empty((scans * n, size, size))
    masks = np.ones((scans * n, size, size), np.uint8)
    rows, columns = np.mgrid[:size, :size]
    for i in range(len(images)):
        scan, number = divmod(i, n)
        organ = np.hypot(rows - 40 - number, columns - 12 * scan - 10) < 15
        images[i] = np.where(organ, 120, 0) + rng.normal(0, noise, organ.shape)
        masks[i][np.hypot(rows - 40 - number, columns - 12 * scan - 10) < 6] = 2
    number = np.arange(len(images))
    index = pd.DataFrame({
        "row": number, "case": [f"c{i // n}" for i in number],
        "patient": [f"p{i // n}" for i in number], "slice": number % n,
        "spacing_known": True, "spacing_y": 0.7, "spacing_x": 0.7,
        "stored_tumour_px": (masks == 2).sum(axis=(1, 2)), "tumour_lost": False,
    }, index=number)  # fmt: skip
    return SimpleNamespace(
        folder=Path("store"), index=index,
        images=images.round().astype(np.int16), masks=masks,
    )  # fmt: skip


def test_the_nearest_is_that_of_a_search_slice_by_slice() -> None:
    store = store_of_scans(noise=60)
    rows = np.random.default_rng(1).permutation(len(store.images))
    training, test = rows[:30], rows[30:]
    small = resize_images(np.clip(store.images, *WINDOW), SIDE).astype(np.int64)
    expected = [
        training[np.argmin([((small[t] - small[r]) ** 2).sum() for r in training])]
        for t in test
    ]
    assert nearest_training_rows(store, training, test).tolist() == expected


def test_more_slices_than_a_stack_holds_are_all_searched() -> None:
    store = store_of_scans(scans=3, n=STACK // 2 + 1, size=64)
    rows = np.arange(len(store.images))
    assert len(rows) > STACK
    assert nearest_training_rows(store, rows, rows).tolist() == rows.tolist()


def test_nothing_outside_the_window_decides() -> None:
    store = store_of_scans()
    training, test = np.arange(0, 40, 2), np.arange(1, 41, 2)
    nearest = nearest_training_rows(store, training, test)
    bone = store_of_scans()
    bone.images[training[::3], :30] = 160  # all of this is white in the window
    bone.images[test[::3], :30] = 160
    brighter = store_of_scans()
    brighter.images[training[::3], :30] = 900
    brighter.images[test[::3], :30] = 160
    assert nearest_training_rows(brighter, training, test).tolist() == (
        nearest_training_rows(bone, training, test).tolist()
    )
    assert nearest.tolist() != nearest_training_rows(bone, training, test).tolist()


def test_the_copied_truth_is_judged_and_its_origin_named() -> None:
    store = store_of_scans()
    rows = evaluate_copying(store, np.array([0, 1, 2, 5, 9, 17]), np.array([4, 8]))
    assert rows["copied_row"].tolist() == [5, 9]
    assert rows["same_case"].tolist() == [True, True]
    assert rows["slices_away"].tolist() == [1, 1]
    first, copied = store.masks[4] == 2, store.masks[5] == 2
    assert rows["tp"].iloc[0] == (first & copied).sum()
    assert rows["fp"].iloc[0] == (copied & ~first).sum()


def test_another_scan_has_no_distance_in_slices() -> None:
    store = store_of_scans()
    rows = evaluate_copying(store, np.arange(8, 48), np.arange(8))
    assert not rows["same_case"].any()
    assert not rows["same_patient"].any()
    assert rows["slices_away"].isna().all()


def test_two_scans_of_one_patient_are_told_from_one_scan() -> None:
    store = store_of_scans()
    store.index["patient"] = "p0"
    rows = evaluate_copying(store, np.arange(8, 48), np.arange(8))
    assert rows["same_patient"].all()
    assert not rows["same_case"].any()


def test_by_slice_neighbours_are_copied_and_by_patient_they_are_not() -> None:
    store = store_of_scans(scans=10)
    dice = {}
    for kind in ("slice", "patient"):
        split = make_split(store.index, kind, seed=0)
        training, test = train_and_test_rows(store.index, split, fold=0)
        rows = evaluate_copying(store, training, test)
        assert rows["same_case"].all() == (kind == "slice")
        assert identify(rows, "d", kind, 0, "copying", 0)["case"].size == len(test)
        dice[kind] = rows["dice"].mean()
    assert dice["slice"] > 0.7
    assert dice["patient"] < 0.2


@pytest.mark.parametrize(("runs", "length"), [(118, 61), (40, 5), (300, 2)])
def test_the_expected_share_of_neighbours_is_that_of_drawn_splits(runs, length) -> None:
    index = pd.DataFrame({
        "case": np.repeat(np.arange(runs).astype(str), length),
        "patient": np.repeat(np.arange(runs).astype(str), length),
        "slice": np.tile(np.arange(length), runs), "stored_tumour_px": 1,
        "tumour_lost": False,
    })  # fmt: skip
    index["row"] = index.index
    shares = []
    for seed in range(12):
        split = make_split(index, "slice", seed)
        training, test = train_and_test_rows(index, split, fold=0)
        shares.append(has_neighbour(index, test, training).mean())
    # Four standard errors of the mean of so many slices.
    tolerance = 4 * np.std(shares, ddof=1) / np.sqrt(len(shares))
    expected = expected_neighbours(runs * length, runs)
    assert np.mean(shares) == pytest.approx(expected, abs=tolerance + 1e-3)


def test_of_the_papers_slices_95_in_100_have_a_neighbour_in_training() -> None:
    assert expected_neighbours(7190, 118) == pytest.approx(0.955, abs=5e-4)
    assert expected_neighbours(7190, 3 * 118) == pytest.approx(0.944, abs=5e-4)


@pytest.mark.shared
@pytest.mark.check
def test_on_the_excerpt_copying_is_as_the_page_says(tmp_path) -> None:
    excerpt = Path(__file__).parents[3] / "shared/data/lits_excerpt"
    if not excerpt.is_dir():
        pytest.skip("the founders' excerpt of LiTS is not beside the project")
    from mscf.data.store import prepare

    store = prepare(excerpt, tmp_path / "store", size=448, processes=1)
    found = {}
    for kind in ("slice", "patient"):
        split = make_split(store.index, kind, seed=0)
        training, test = train_and_test_rows(store.index, split, fold=0)
        rows = evaluate_copying(store, training, test)
        beside = has_neighbour(store.index, test, training).mean()
        found[kind] = [len(test), *np.round([beside, rows["dice"].mean()], 2)]
    assert found == {"slice": [74, 0.93, 0.71], "patient": [64, 0.0, 0.03]}


def test_copying_was_measured_on_the_slices_that_the_networks_were_tested_on() -> None:
    results = Path(__file__).parents[2] / "results"
    copying = json.loads((results / "scans/copying.json").read_text())
    one = f"fold-{copying['fold']}/seed-{copying['seed']}"
    for kind in ("slice", "patient"):
        run = results / f"excerpt-{copying['size']}/{kind}/mscf/{one}/run.json"
        slices = json.loads(run.read_text())["slices"]
        of_copying = copying[kind]
        assert slices["test"] == of_copying["test_slices"]
        assert slices["training"] == of_copying["training_slices"]
