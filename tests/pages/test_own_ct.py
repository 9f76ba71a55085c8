"""Own scans from a folder to masks, tables and a fine-tuned network."""

import shutil
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import papermill
import pytest
import torch
from small_finished import SmallNetwork

from mscf import models
from mscf.checkpoint import write_checkpoint
from mscf.data.own_labels import cases_of
from mscf.errors import CheckpointError, InputError, SettingsError
from mscf.inference.weights import open_weights
from mscf.pages import own_demo
from mscf.pages.own_ct import (
    OwnSettings,
    compare,
    finetune,
    held_out,
    in_short,
    look_through,
    own_settings,
    predict_own,
    shown_slice,
    side_by_side,
)
from mscf.paths import root


@dataclass(frozen=True)
class SmallMethod:
    """What METHODS knows of `SmallNetwork`."""

    title: str = "Small"
    reference: str = "nobody"
    minimum_size: int = 192
    multiple: int = 32

    def build(self, classes: int = 1, pretrained: bool = False) -> SmallNetwork:
        return SmallNetwork()


def write_weights(path: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    record = {
        "method": "small", "classes": 1, "image_size": 192, "epoch": 0,
        "settings": {"window": [-100.0, 200.0]},
    }  # fmt: skip
    write_checkpoint(path, SmallNetwork().state_dict(), record)
    return path


@pytest.fixture
def weights(monkeypatch, tmp_path) -> Path:
    known = {**models.METHODS, "small": SmallMethod()}
    monkeypatch.setattr(models, "METHODS", known)
    return write_weights(tmp_path / "small.ckpt", seed=5)


@pytest.fixture
def given(tiny_cases, weights, tmp_path):
    """Makes settings for some of the small cases, in folders that may be spoilt."""

    def make(n_scans: int = 3, n_labels: int = 3, **changes) -> OwnSettings:
        for kind, n in (("images", n_scans), ("labels", n_labels)):
            (tmp_path / kind).mkdir(exist_ok=True)
            for number in range(n):
                name = f"liver_{number}.nii.gz"
                shutil.copy(tiny_cases / f"{kind}Tr" / name, tmp_path / kind / name)
        asked = {
            "scans": "images", "labels": "labels", "weights": "small.ckpt",
            "out": "out", "epochs": None, "learning_rate": 2e-4, "gpus": 0,
        }  # fmt: skip
        return own_settings(tmp_path, **asked | changes)

    return make


def names(cases) -> list[str]:
    return [case.name for case in cases]


def write_mask(folder: Path, case, mask) -> None:
    """A mask ``(X, Y, Z)`` on the grid of the case's image."""
    folder.mkdir(exist_ok=True)
    affine = nib.load(case.image).affine
    image = nib.Nifti1Image(np.where(mask, 2, 0).astype(np.uint8), affine)
    nib.save(image, folder / f"{case.name}.nii.gz")


def truth_of(case) -> np.ndarray:
    return np.asarray(nib.load(case.label).dataobj) == 2


def test_a_refused_scan_is_named_and_left_out_and_the_others_go_on(given) -> None:
    settings = given()
    (settings.scans / "liver_1.nii.gz").write_bytes(b"rubbish")
    own = look_through(settings)
    assert names(own.cases) == ["liver_0", "liver_2"]
    assert list(own.table.index) == ["liver_0", "liver_1", "liver_2"]
    assert list(own.table["outcome"]) == ["sound", "refused", "sound"]
    assert list(own.table["checks"]) == ["", "gz-mismatch", ""]
    sides, *others = own.table.loc["liver_0", "grid"].split(", ")
    assert sides.split()[:5] == ["192", "x", "192", "x", "3"]
    assert not any(" " in part for part in (sides, *others))  # broken at commas alone
    (finding,) = own.findings
    assert finding.file.endswith("liver_1.nii.gz")


def test_where_nothing_is_good_all_that_was_refused_is_the_error(given) -> None:
    settings = given(n_scans=2)
    for path in settings.scans.iterdir():
        path.write_bytes(b"rubbish")
    with pytest.raises(InputError) as error:
        look_through(settings)
    assert len(error.value.findings) == 2


def test_scans_without_labels_are_looked_through_all_the_same(given) -> None:
    own = look_through(given(labels=None))
    assert names(own.cases) == ["liver_0", "liver_1", "liver_2"]
    assert own.labelled == []
    assert set(own.table["label"]) == {"none"}


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"weights": None}, "weights-missing"),
        ({"weights": "none.ckpt"}, "weights-missing"),
        ({"labels": None, "epochs": 3}, "finetune-labels"),
        ({"epochs": -1}, "epochs"),
        ({"epochs": "many"}, "epochs"),
        ({"learning_rate": 2}, "learning-rate"),
        ({"gpus": 64}, "gpus"),
        ({"out": None}, "out"),
        ({"scans": "phantoms", "labels": "mine"}, "labels"),
    ],
)
def test_a_bad_parameter_is_refused_before_any_scan_is_read(
    changes, check, given
) -> None:
    with pytest.raises(SettingsError, match=rf"\[{check}\]"):
        given(n_scans=0, **changes)


def test_tumours_of_one_patient_are_too_few_to_fine_tune(given, tmp_path) -> None:
    with pytest.raises(SettingsError, match=r"found: 1.*\[finetune-patients\]"):
        look_through(given(n_labels=1, epochs=1))
    table = "case,patient,spacing_known\n" + "".join(
        f"liver_{number},one,true\n" for number in range(3)
    )
    (tmp_path / "images/patients.csv").write_text(table)
    with pytest.raises(SettingsError, match=r"found: 1.*\[finetune-patients\]"):
        look_through(given(epochs=1))


def test_the_table_of_masks_is_that_in_their_folder(given, weights, tmp_path) -> None:
    own = look_through(given())
    table = predict_own(own.cases, tmp_path / "masks", weights, gpus=0)
    kept = pd.read_csv(tmp_path / "masks/cases.csv", index_col="case")
    pd.testing.assert_frame_equal(table, kept, check_dtype=False)
    assert list(table["slices"]) == [3, 3, 3]


def test_the_slice_shown_is_the_fullest_of_the_mask_then_of_the_label_then_the_middle(
    given, tmp_path
) -> None:
    case = look_through(given()).cases[0]
    truth = truth_of(case)
    truth[..., 0] = False  # the first of its three slices
    truth[..., 1] = False
    write_mask(tmp_path / "changed", case, truth)
    case = replace(case, label=tmp_path / "changed" / case.label.name)
    mask = np.zeros(truth.shape, bool)
    mask[10:30, 50:60, 0] = True
    for drawn, labelled, number in (
        (mask, case, 0),
        (mask & False, case, 2),
        (mask & False, replace(case, label=None), 1),
    ):
        write_mask(tmp_path / "masks", case, drawn)
        shown = shown_slice(labelled, tmp_path / "masks")
        assert shown.number == number
        assert shown.hu.shape == shown.mask.shape == (192, 192)
        assert shown.mask.sum() == drawn[..., number].sum()
        assert (shown.truth is None) == (labelled.label is None)
    asked = shown_slice(case, tmp_path / "masks", number=2)
    assert (asked.number, asked.truth.sum()) == (2, truth.sum())


def test_a_dicom_series_and_its_label_go_the_same_way(given, weights, tmp_path) -> None:
    pytest.importorskip("SimpleITK")
    from small_dicom import ORIGIN, SPACING, hu, write_series

    shape = (64, 48, 3)
    write_series(tmp_path / "series", hu(shape))
    labels = np.zeros(shape, np.uint8)
    labels[10:20, 20:25, 2] = 2
    affine = np.diag([-1, -1, 1, 1]) @ np.diag([*SPACING, 1])  # LPS to RAS
    affine[:3, 3] = ORIGIN * (-1, -1, 1)
    nib.save(nib.Nifti1Image(labels, affine), tmp_path / "drawn.nii.gz")
    settings = given(n_scans=0, scans="series", labels="drawn.nii.gz")
    (case,) = look_through(settings).labelled
    predict_own([case], settings.out, weights, gpus=0)
    shown = shown_slice(case, settings.out, number=2)
    rows, columns = np.nonzero(shown.truth)
    assert (set(rows), set(columns)) == ({*range(20, 25)}, {*range(10, 20)})
    assert shown.aspect == pytest.approx(SPACING[1] / SPACING[0])
    tables = compare([case], settings.out, settings.labels)
    assert list(in_short(tables)["slices"]) == [1]


def test_equal_masks_have_dice_1_and_empty_ones_miss_every_lesion(
    given, tmp_path
) -> None:
    settings = given(n_scans=2)
    own = look_through(settings)
    whole, empty = own.cases
    write_mask(tmp_path / "masks", whole, truth_of(whole))
    write_mask(tmp_path / "masks", empty, truth_of(empty) & False)
    tables = compare(own.cases, tmp_path / "masks", settings.labels)
    short = in_short(tables)
    assert list(short["their Dice, %"]) == [100, 0]
    assert list(short["volume Dice, %"]) == [100, 0]
    assert list(short["found"]) == [1, 0]
    both = side_by_side({"these": tables})["these"]
    assert both["Dice of slices, %"] == 50
    lesions = both.filter(like="lesions")  # true, found, false
    assert [str(number) for number in lesions] == ["2", "1", "0"]


def test_a_label_without_tumour_has_no_slices_and_no_dice(given, tmp_path) -> None:
    settings = given(n_scans=2)
    own = look_through(settings)
    none = own.cases[1]
    write_mask(settings.labels, none, truth_of(none) & False)
    for case in own.cases:
        write_mask(tmp_path / "masks", case, truth_of(case))
    short = in_short(compare(own.cases, tmp_path / "masks", settings.labels))
    assert [str(n) for n in short["slices"]] == ["3", "0"]
    assert np.isnan(short.loc[none.name, "their Dice, %"])


def test_what_is_drawn_in_part_is_precise_and_recalled_in_part(given, tmp_path) -> None:
    settings = given(n_scans=1)
    (case,) = look_through(settings).cases
    truth = truth_of(case)
    part = truth.copy()
    part[: int(np.nonzero(truth)[0].mean()) - 3] = False
    write_mask(tmp_path / "masks", case, part)
    table = side_by_side({"part": compare([case], tmp_path / "masks", settings.labels)})
    share = (part.sum(axis=(0, 1)) / truth.sum(axis=(0, 1))).mean()
    assert 0.5 < share < 0.9
    assert table.loc["precision of slices, %", "part"] == 100
    assert table.loc["recall of slices, %", "part"] == round(100 * share, 1)


def test_held_out_patients_were_not_trained_on_and_few_slices_are_a_batch(
    given,
) -> None:
    settings = given(n_scans=2, epochs=1)  # one patient trains, of three slices
    own = look_through(settings)
    run = finetune(own, settings)
    split = pd.read_csv(run.folder / "split.csv")
    (held,) = held_out(own, run)
    assert set(split.loc[split["fold"] == 0, "patient"]) == {held.patient}
    assert set(run.rows["case"]) == {held.name}
    asked = run.record["settings"]
    assert (asked["batch_size"], asked["window"]) == (3, [-100.0, 200.0])
    assert run.folder.parent == settings.out


def test_other_weights_begin_another_run_and_the_same_go_on(
    given, weights, tmp_path
) -> None:
    settings = given(n_scans=2, epochs=1)
    own = look_through(settings)
    first = finetune(own, settings)
    again = finetune(
        own, replace(settings, training=replace(settings.training, epochs=2))
    )
    assert again.folder == first.folder
    assert list(again.history["epoch"]) == [0, 1]
    other = write_weights(tmp_path / "other.ckpt", seed=1)
    assert finetune(own, replace(settings, weights=other)).folder != first.folder


def test_slices_of_other_cases_in_the_folder_are_refused(given) -> None:
    settings = given(n_scans=3, epochs=1)
    own = look_through(settings)
    finetune(replace(own, cases=own.cases[:2]), settings)
    with pytest.raises(CheckpointError, match=r"\[store-other\]"):
        finetune(own, settings)


def test_the_network_goes_on_from_the_weights_given(given, weights) -> None:
    settings = given(n_scans=2, epochs=1, learning_rate=1e-12)  # hardly moves
    run = finetune(look_through(settings), settings)
    before, after = (open_weights(path).network for path in (weights, run.folder))
    for start, end in zip(before.parameters(), after.parameters(), strict=True):
        torch.testing.assert_close(end, start, rtol=0, atol=1e-6)


def test_the_demo_has_phantoms_of_its_own_with_labels_named_as_people_do(
    monkeypatch, tmp_path
) -> None:
    monkeypatch.setattr(own_demo, "CASES", 1)
    monkeypatch.setattr(own_demo, "SIZE", 64)
    scans, labels = own_demo.demo_scans(tmp_path)
    (case,) = cases_of(scans, labels)
    assert (case.label.name, case.patient) == ("scan_0_seg.nii.gz", "P0")
    made = own_demo.phantom(0, own_demo.SEED, own_demo.SIZE, "large")
    image = nib.as_closest_canonical(nib.load(case.image))
    np.testing.assert_array_equal(image.dataobj, made.hu[..., :: own_demo.STEP])
    spacing = made.affine[2, 2] * own_demo.STEP
    assert image.header.get_zooms()[2] == pytest.approx(spacing)
    np.testing.assert_allclose(image.affine[:3, 3], made.affine[:3, 3], atol=1e-3)
    before = case.image.stat().st_mtime_ns
    own_demo.demo_scans(tmp_path)
    assert case.image.stat().st_mtime_ns == before


def test_the_demos_network_is_trained_once(monkeypatch, tmp_path) -> None:
    trained = []

    def train(settings) -> None:
        trained.append(settings)
        settings.out.mkdir(parents=True)
        (settings.out / "summary.json").touch()

    monkeypatch.setattr(own_demo, "train", train)
    monkeypatch.setattr(own_demo, "demo_store", lambda base: None)
    first = own_demo.demo_weights(tmp_path, gpus=0)
    assert own_demo.demo_weights(tmp_path, gpus=0) == first
    (settings,) = trained
    assert (settings.out, settings.epochs) == (first, own_demo.EPOCHS)
    assert first.is_relative_to(tmp_path)


def test_the_parameters_are_those_of_the_notebook() -> None:
    found = papermill.inspect_notebook(root() / "notebooks/your_own_ct.ipynb")
    assert list(found) == [*signature(own_settings).parameters][1:]
