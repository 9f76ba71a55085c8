import errno
import itertools
import json
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from dark import AFFINE, Dark, DarkMethod, write_ct, write_weights
from scipy.ndimage import center_of_mass

from mscf import models
from mscf.data.dataset import SliceDataset, three_channels
from mscf.data.store import prepare
from mscf.errors import (
    InputError,
    MemoryLimitError,
    NumericalError,
    SettingsError,
)
from mscf.inference import predict as predict_module
from mscf.inference.case_report import headline
from mscf.inference.predict import PredictSettings, predict_cases
from mscf.inference.report import write_cases

CODES = [
    "".join(codes)
    for axes in itertools.permutations(("LR", "PA", "IS"))
    for codes in itertools.product(*axes)
]


def predict(source, target, weights, **settings) -> list:
    settings = PredictSettings(**{"device": "cpu"} | settings)
    return list(predict_cases(source, target, weights, settings))


def voxels(path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def turned(path, codes: str, target):
    image = nib.load(path)
    start, end = (
        nib.orientations.axcodes2ornt(c)
        for c in (nib.orientations.aff2axcodes(image.affine), codes)
    )
    turn = nib.orientations.ornt_transform(start, end)
    nib.save(image.as_reoriented(turn), target)
    return target


def test_the_mask_is_what_the_network_sees_on_the_cts_own_grid(run, tmp_path) -> None:
    lesions = write_ct(tmp_path / "ct" / "a.nii.gz")
    predict(tmp_path / "ct" / "a.nii.gz", tmp_path / "out", run)
    mask = nib.load(tmp_path / "out" / "a.nii.gz")
    assert np.array_equal(np.asarray(mask.dataobj), np.where(lesions, 2, 0))
    source = nib.load(tmp_path / "ct" / "a.nii.gz")
    assert np.array_equal(mask.affine, source.affine)
    assert mask.get_data_dtype() == np.uint8


def test_all_48_orientations_give_equal_masks(run, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(predict_module, "write_report", lambda *_: None)  # slow
    lesions = write_ct(tmp_path / "a.nii.gz")
    (tmp_path / "ct").mkdir()
    for codes in CODES:
        turned(tmp_path / "a.nii.gz", codes, tmp_path / "ct" / f"{codes}.nii.gz")
    weights = write_weights(tmp_path / "resized.ckpt", image_size=48)
    predict(tmp_path / "ct", tmp_path / "out", weights)
    expected = None
    for codes in CODES:
        source = nib.load(tmp_path / "ct" / f"{codes}.nii.gz")
        mask = nib.load(tmp_path / "out" / f"{codes}.nii.gz")
        assert mask.shape == source.shape
        assert np.array_equal(mask.affine, source.affine)
        back = turned(tmp_path / "out" / f"{codes}.nii.gz", "LAS", tmp_path / "b.nii")
        expected = voxels(back) if expected is None else expected
        assert np.array_equal(voxels(back), expected)
    assert (expected[lesions] == 2).mean() > 0.8


def test_a_table_that_knows_no_spacing_leaves_no_millimetre(
    run, tmp_path, capsys
) -> None:
    liver = tmp_path / "liver"
    for name in ("a", "b"):
        lesions = write_ct(tmp_path / "ct" / f"{name}.nii.gz")
        write_ct(liver / f"{name}.nii.gz")
        whole = nib.Nifti1Image(np.ones(lesions.shape, np.uint8), AFFINE)
        nib.save(whole, liver / f"{name}.nii.gz")
    table = tmp_path / "ct" / "patients.csv"
    table.write_text("case,patient,spacing_known\na,A,false\n")
    a, b = predict(tmp_path / "ct", tmp_path / "out", run, liver=liver)
    assert (a.unit, a.volume_unit, a.tumour_ml, a.largest_mm) == (
        "pixels", "voxels", None, None,
    )  # fmt: skip
    assert b.unit == "mm"
    assert b.tumour_ml > 0
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1  # the liver lies where the file says, whatever the table
    assert "a.nii.gz" in said[0]
    assert "patients.csv" in said[0]
    with pytest.raises(InputError, match=r"a\.nii\.gz.*\[geometry-unknown\]"):
        predict(tmp_path / "ct", tmp_path / "again", run, least_ml=0.1)


class Seen(Dark):
    """Keeps what it is given."""

    inputs: list

    def forward(self, x):
        self.inputs.append(x[:, :1].clone())
        return super().forward(x)


@pytest.mark.parametrize("shape", [(192, 170, 3), (230, 250, 3), (130, 96, 4)])
def test_the_network_is_given_the_slices_that_it_is_trained_on(
    shape, monkeypatch, tmp_path
) -> None:
    folder = tmp_path / "cases"
    lesions = write_ct(folder / "imagesTr" / "a.nii.gz", shape)
    (folder / "labelsTr").mkdir()
    labels = nib.Nifti1Image(np.where(lesions, 2, 0).astype(np.uint8), AFFINE)
    nib.save(labels, folder / "labelsTr" / "a.nii.gz")
    store = prepare(folder, tmp_path / "store", 192, slices="all", processes=1)
    trained_on = [SliceDataset(store, [i], (-30, 90))[0][0] for i in store.index["row"]]

    method, network = DarkMethod(), Seen()
    network.inputs = []
    monkeypatch.setattr(DarkMethod, "build", lambda self, classes: network)
    monkeypatch.setattr(models, "METHODS", {"dark": method})
    weights = write_weights(
        tmp_path / "a.ckpt", image_size=192, settings={"window": [-30, 90]}
    )
    predict(folder, tmp_path / "out", weights, batch_size=2)
    assert torch.equal(torch.cat(network.inputs), torch.stack(trained_on))
    assert three_channels(trained_on[0][None]).shape == (1, 3, 192, 192)


@pytest.mark.parametrize("size", [16, 32, 48, 80])
def test_resized_or_not_a_lesion_stays_where_it_is(size, run, tmp_path) -> None:
    truth = np.zeros((48, 38, 5), bool)  # an L, so that a turn would show
    truth[10:18, 9:27, 1:4] = truth[10:32, 9:16, 1:4] = True
    hu = np.where(truth, 40, 110).astype(np.int16)
    hu[-1] = -1000
    nib.save(nib.Nifti1Image(hu, AFFINE), tmp_path / "a.nii")
    weights = write_weights(tmp_path / "b.ckpt", image_size=size)
    predict(tmp_path / "a.nii", tmp_path / "out", weights)
    within = np.s_[6:40, 6:-6]  # the rim of air looks like a lesion, too
    mask, truth = (voxels(tmp_path / "out" / "a.nii.gz") == 2)[within], truth[within]
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.9
    away = np.subtract(center_of_mass(mask), center_of_mass(truth))
    assert np.abs(away).max() < 0.25


def test_the_size_of_a_batch_changes_nothing(run, tmp_path) -> None:
    write_ct(tmp_path / "a.nii")
    for size in (1, 4, 100):
        predict(tmp_path / "a.nii", tmp_path / f"{size}", run, batch_size=size)
    masks = [(tmp_path / f"{n}" / "a.nii.gz").read_bytes() for n in (1, 4, 100)]
    assert masks[0] == masks[1] == masks[2]


def test_probabilities_are_above_a_half_where_the_mask_was(run, tmp_path) -> None:
    lesions = write_ct(tmp_path / "a.nii")
    predict(tmp_path / "a.nii", tmp_path / "out", run, probabilities=True, least_ml=1e6)
    chances = voxels(tmp_path / "out" / "probabilities" / "a.nii.gz")
    assert chances.dtype == np.float32
    assert np.array_equal(chances > 0.5, lesions)
    assert not voxels(tmp_path / "out" / "a.nii.gz").any()  # nothing so large
    weights = write_weights(tmp_path / "b.ckpt", image_size=48)  # vague borders
    predict(tmp_path / "a.nii", tmp_path / "b", weights, probabilities=True)
    chances = voxels(tmp_path / "b" / "probabilities" / "a.nii.gz")
    assert np.array_equal(chances > 0.5, voxels(tmp_path / "b" / "a.nii.gz") == 2)


def test_probabilities_of_an_earlier_call_do_not_stay_beside_a_new_mask(
    run, tmp_path
) -> None:
    out = tmp_path / "out"
    for name in ("a", "b"):
        write_ct(tmp_path / f"{name}.nii")
        predict(tmp_path / f"{name}.nii", out, run, probabilities=True)
    predict(tmp_path / "a.nii", out, run)
    assert [p.name for p in (out / "probabilities").iterdir()] == ["b.nii.gz"]


def test_on_a_full_disk_no_report_of_other_weights_is_left(
    run, tmp_path, monkeypatch
) -> None:
    out, whole = tmp_path / "out", predict_module.write_on_grid
    for name in ("a", "b"):
        write_ct(tmp_path / f"{name}.nii")
        predict(tmp_path / f"{name}.nii", out, run, probabilities=True)

    def full(*_) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def full_after_the_mask(slices, scan, path) -> None:
        whole(slices, scan, path)
        monkeypatch.setattr(predict_module, "write_on_grid", full)

    monkeypatch.setattr(predict_module, "write_report", full)
    for write in (whole, full_after_the_mask, full):
        monkeypatch.setattr(predict_module, "write_on_grid", write)
        with pytest.raises(OSError, match="No space"):
            predict(tmp_path / "a.nii", out, run, probabilities=write is not whole)
        assert [path.name for path in out.glob("a.*")] == ["a.nii.gz"]
        assert [path.name for path in out.glob("probabilities/*")] == ["b.nii.gz"]
        assert list(rows_of(out)) == ["b"]
    assert len(list(out.glob("b.*"))) == 5


def test_nothing_is_left_outside_the_liver(run, tmp_path) -> None:
    lesions = write_ct(tmp_path / "ct" / "a.nii")
    liver = np.zeros(lesions.shape, np.uint8)
    liver[:12], liver[:12, :, 4:] = 1, 2
    nib.save(nib.Nifti1Image(liver, AFFINE), tmp_path / "liver.nii")
    turned(tmp_path / "liver.nii", "SPR", tmp_path / "turned.nii")
    predict(
        tmp_path / "ct" / "a.nii", tmp_path / "out", run, liver=tmp_path / "turned.nii"
    )
    mask = voxels(tmp_path / "out" / "a.nii.gz")
    assert np.array_equal(mask == 2, lesions & (liver > 0))


def test_an_empty_liver_mask_is_refused_and_the_other_scans_go_on(
    run, tmp_path
) -> None:
    for name, label in (("a", 0), ("b", 1)):
        lesions = write_ct(tmp_path / "ct" / f"{name}.nii")
        (tmp_path / "liver").mkdir(exist_ok=True)
        liver = nib.Nifti1Image(np.full(lesions.shape, label, np.uint8), AFFINE)
        nib.save(liver, tmp_path / "liver" / f"{name}.nii")
    with pytest.raises(InputError, match=r"liver/a\.nii: .*\[liver-empty\]"):
        predict(tmp_path / "ct", tmp_path / "out", run, liver=tmp_path / "liver")
    assert [path.name for path in (tmp_path / "out").glob("*.nii.gz")] == ["b.nii.gz"]


def test_what_a_liver_mask_removed_is_told(run, tmp_path) -> None:
    lesions = write_ct(tmp_path / "a.nii")
    liver = np.ones(lesions.shape, np.uint8)
    for start, removed in ((0, 0), (12, lesions[:12].sum())):
        liver[:start] = 0
        nib.save(nib.Nifti1Image(liver, AFFINE), tmp_path / "liver.nii")
        (report,) = predict(
            tmp_path / "a.nii", tmp_path / "out", run, liver=tmp_path / "liver.nii"
        )
        ml = round(removed * 1.5 * 1.2 * 4.0 / 1000, 3)
        said = json.loads((tmp_path / "out" / "a.json").read_text())["filters"]
        assert said["liver_removed_voxels"] == removed
        assert said["liver_removed_ml"] == pytest.approx(ml)
        words = f"; the liver mask removed {removed} voxels ({ml:.1f} ml)"
        assert headline(report).endswith(words) == bool(removed)
        assert (words in (tmp_path / "out" / "a.html").read_text()) == bool(removed)
    predict(tmp_path / "a.nii", tmp_path / "out", run)
    said = json.loads((tmp_path / "out" / "a.json").read_text())["filters"]
    assert said["liver_removed_voxels"] is said["liver_removed_ml"] is None


def test_a_report_says_what_the_mask_holds(run, tmp_path) -> None:
    lesions = write_ct(tmp_path / "a.nii")
    predict(tmp_path / "a.nii", tmp_path / "out", run)
    said = json.loads((tmp_path / "out" / "a.json").read_text())
    cases = pd.read_csv(tmp_path / "out" / "cases.csv")
    ml = 1.5 * 1.2 * 4.0 / 1000
    assert "no medical device" in said["notice"]
    assert said["lesion_count"] == 2
    assert said["tumour_ml"] == pytest.approx(lesions.sum() * ml, abs=1e-3)
    slices = np.count_nonzero(lesions.any(axis=(0, 1)))
    assert said["tumour_slices"] == cases.loc[0, "tumour_slices"] == slices < 9
    assert said["grid"]["shape"] == [32, 24, 9]
    assert said["grid"]["orientation"] == "LAS"
    assert said["weights"]["method"] == "dark"
    first, second = said["lesions"]
    assert first["volume_ml"] > second["volume_ml"]
    assert (first["first_slice"], first["last_slice"]) == (1, 5)
    assert first["diameter_slice"] == first["key_slice"] == 3
    # Of (x - 10)² + (y - 8)² < 20 three rows have the full nine pixels, and so have
    # three columns: from the end of the first row's line to that of the third.
    assert first["diameter_mm"] == said["largest_diameter_mm"]
    assert first["diameter_mm"] == pytest.approx(np.hypot(9 * 1.5, 2 * 1.2), abs=0.01)
    centre = AFFINE @ [10, 8, 3, 1]  # in mm: of the first lesion of `write_ct`
    found = [first[f"centre_{axis}_mm"] for axis in "xyz"]
    assert found == pytest.approx(centre[:3], abs=0.01)
    rows = pd.read_csv(tmp_path / "out" / "a.csv")
    assert rows.replace({np.nan: None}).to_dict("records") == said["lesions"]
    assert cases.loc[0, ["case", "slices", "lesions"]].tolist() == ["a", 9, 2]
    assert (tmp_path / "out" / "a.png").read_bytes()[:4] == b"\x89PNG"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "a.csv", "a.html", "a.json", "a.nii.gz", "a.png", "cases.csv",
    ]  # fmt: skip


def test_shape_and_spacing_of_the_grid_are_along_the_files_own_axes(
    run, tmp_path
) -> None:
    write_ct(tmp_path / "a.nii")
    turned(tmp_path / "a.nii", "SPR", tmp_path / "b.nii")
    predict(tmp_path / "b.nii", tmp_path / "out", run)
    grid = json.loads((tmp_path / "out" / "b.json").read_text())["grid"]
    assert grid["shape"] == [9, 24, 32]
    assert grid["spacing_mm"] == pytest.approx([4.0, 1.2, 1.5])


def test_without_a_known_spacing_there_are_no_millimetres(
    run, tmp_path, capsys
) -> None:
    write_ct(tmp_path / "a.nii")
    image = nib.load(tmp_path / "a.nii")
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    nib.save(image, tmp_path / "b.nii")
    predict(tmp_path / "b.nii", tmp_path / "out", run)
    said = json.loads((tmp_path / "out" / "b.json").read_text())
    assert said["lesion_count"] == 2
    assert said["grid"]["spacing_mm"] is said["tumour_ml"] is None
    assert said["largest_diameter_mm"] is None
    first = said["lesions"][0]
    assert said["units"] == {"lengths": "pixels", "volumes": "voxels"}
    assert first["volume_ml"] is first["surface_mm"] is None
    assert first["diameter_pixels"] == pytest.approx(np.hypot(9, 2), abs=0.01)
    assert "diameter_mm" not in first
    page = (tmp_path / "out" / "b.html").read_text()
    assert "ALL LENGTHS ARE IN PIXELS" in page
    assert re.search(r"\d\s(mm|ml)\b", page) is None
    assert said["repairs"][0].startswith("b.nii: ")  # without our folders
    assert "[geometry-unknown]" in said["repairs"][0]
    assert all(first[f"centre_{axis}_mm"] is None for axis in "xyz")
    assert "[geometry-unknown]" in capsys.readouterr().err
    with pytest.raises(InputError, match="--least-ml"):
        predict(tmp_path / "b.nii", tmp_path / "out", run, least_ml=1)


def test_a_ct_without_tumour_has_an_empty_mask_and_a_report(run, tmp_path) -> None:
    write_ct(tmp_path / "a.nii")
    image = nib.load(tmp_path / "a.nii")
    brighter = np.where(voxels(tmp_path / "a.nii") > 0, 110, -1000).astype(np.int16)
    brighter[5, 5, 5] = 120
    nib.save(nib.Nifti1Image(brighter, image.affine), tmp_path / "b.nii")
    predict(tmp_path / "b.nii", tmp_path / "out", run)
    assert not voxels(tmp_path / "out" / "b.nii.gz").any()
    said = json.loads((tmp_path / "out" / "b.json").read_text())
    assert (said["lesion_count"], said["tumour_ml"], said["lesions"]) == (0, 0, [])
    assert len(pd.read_csv(tmp_path / "out" / "b.csv")) == 0


def test_a_bad_scan_keeps_none_of_the_others_from_its_mask(run, tmp_path) -> None:
    for name in ("a", "b", "c"):
        write_ct(tmp_path / "ct" / f"{name}.nii.gz")
    bad = tmp_path / "ct" / "b.nii.gz"
    bad.write_bytes(bad.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"b\.nii\.gz.*\[gz-truncated\]"):
        predict(tmp_path / "ct", tmp_path / "out", run)
    assert sorted(p.name for p in (tmp_path / "out").glob("*.nii.gz")) == [
        "a.nii.gz", "c.nii.gz",
    ]  # fmt: skip
    assert pd.read_csv(tmp_path / "out" / "cases.csv")["case"].tolist() == ["a", "c"]


def test_an_output_that_is_not_finite_is_no_mask(run, tmp_path, monkeypatch) -> None:
    write_ct(tmp_path / "a.nii")
    monkeypatch.setattr(Dark, "forward", lambda self, x: x[:, :1] * float("nan"))
    with pytest.raises(NumericalError, match=r"case a, slices 0 to 7"):
        predict(tmp_path / "a.nii", tmp_path / "out", run)
    assert list((tmp_path / "out").iterdir()) == []


def test_the_table_of_all_scans_is_whole_after_each_of_them(run, tmp_path) -> None:
    """What kills the process at the next one loses no row."""
    for name in ("a", "b"):
        write_ct(tmp_path / "ct" / f"{name}.nii.gz")
    settings = PredictSettings(device="cpu")
    reports = predict_cases(tmp_path / "ct", tmp_path / "out", run, settings)
    for told in ("a", "ab"):
        next(reports)
        assert list(rows_of(tmp_path / "out")) == [*told]


@pytest.mark.parametrize(
    "failure", [NumericalError, MemoryLimitError, KeyboardInterrupt]
)
def test_what_was_done_before_a_failure_is_told(
    failure, run, tmp_path, monkeypatch, capsys
) -> None:
    for name in ("a", "b", "c", "d"):
        write_ct(tmp_path / "ct" / f"{name}.nii.gz")
    bad = tmp_path / "ct" / "b.nii.gz"
    bad.write_bytes(bad.read_bytes()[:-100])
    whole = predict_module.predict_case

    def fails_at_c(case, *words):
        if case.name == "c":
            raise failure("case c", "must be sound", "not", "test")
        return whole(case, *words)

    monkeypatch.setattr(predict_module, "predict_case", fails_at_c)
    with pytest.raises(failure, match="case c"):
        predict(tmp_path / "ct", tmp_path / "out", run)
    assert pd.read_csv(tmp_path / "out" / "cases.csv")["case"].tolist() == ["a"]
    said = capsys.readouterr().err
    assert said.count("[gz-truncated]") == 1
    assert "b.nii.gz" in said
    assert not (tmp_path / "out" / "d.nii.gz").exists()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError(
            "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"
        ),
    ],
)
def test_a_batch_that_does_not_fit_is_one_line(
    error, run, tmp_path, monkeypatch
) -> None:
    def full(*_):
        raise error

    write_ct(tmp_path / "a.nii")
    monkeypatch.setattr(Dark, "forward", full)
    with pytest.raises(MemoryLimitError, match=r"smaller --batch-size.*\[memory\]"):
        predict(tmp_path / "a.nii", tmp_path / "out", run)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "check"),
    [
        ({"batch_size": 0}, "batch-size"),
        ({"least_ml": -1.0}, "least-ml"),
        ({"least_ml": float("nan")}, "least-ml"),
        ({"device": "abacus"}, "device"),
        ({"device": "cuda:99"}, "device"),
    ],
)
def test_settings_out_of_range_are_refused_before_anything_is_written(
    settings, check, run, tmp_path
) -> None:
    write_ct(tmp_path / "a.nii")
    with pytest.raises(SettingsError, match=rf"\[{check}\]"):
        predict(tmp_path / "a.nii", tmp_path / "out", run, **settings)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["$x_{$", "=1+1", "-rf;$(touch x)", "<b>&", "a\nb"])
def test_an_odd_name_stays_a_name(name, run, tmp_path) -> None:
    write_ct(tmp_path / "ct" / f"{name}.nii")
    (report,) = predict(tmp_path / "ct", tmp_path / "out", run)
    assert json.loads((tmp_path / "out" / f"{name}.json").read_text())["case"] == name
    assert (tmp_path / "out" / f"{name}.png").exists()
    assert "\n" not in headline(report)
    cell = pd.read_csv(tmp_path / "out" / "cases.csv").loc[0, "case"]
    assert cell.lstrip("'") == name
    assert not cell.startswith(("=", "-"))


def test_a_linked_scan_is_said_to_be_a_link(run, tmp_path, capsys) -> None:
    write_ct(tmp_path / "a.nii")
    (tmp_path / "b.nii").symlink_to(tmp_path / "a.nii")
    predict(tmp_path / "b.nii", tmp_path / "out", run)
    assert "[path-odd]" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="file names are UTF-8 elsewhere")
def test_a_name_that_is_not_utf8_is_refused_before_the_network_runs(
    run, tmp_path, monkeypatch
) -> None:
    write_ct(tmp_path / "ct" / "a.nii.gz")
    write_ct(tmp_path / "b.nii.gz")
    predict(tmp_path / "b.nii.gz", tmp_path / "out", run)
    odd = tmp_path / "ct" / os.fsdecode(b"L\xe9ber.nii.gz")
    (tmp_path / "b.nii.gz").rename(odd)
    drawn, draw = [], predict_module.draw
    monkeypatch.setattr(
        predict_module,
        "draw",
        lambda name, *words: (drawn.append(name), draw(name, *words)),
    )
    with pytest.raises(InputError, match=r"L\\udce9ber.*UTF-8.*\[case-name\]") as error:
        predict(tmp_path / "ct", tmp_path / "out", run)
    assert len(error.value.findings) == 1
    assert drawn == ["a"]
    assert pd.read_csv(tmp_path / "out" / "cases.csv")["case"].tolist() == ["b", "a"]


@pytest.mark.parametrize("name", ["cases", "Cases"])  # one file on some systems
def test_no_scan_takes_the_name_of_the_table_of_all(name, run, tmp_path) -> None:
    write_ct(tmp_path / f"{name}.nii")
    with pytest.raises(InputError, match=rf"{name}\.nii.*\[case-name\]"):
        predict(tmp_path / f"{name}.nii", tmp_path / "out", run)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["cases.csv"]


def rows_of(folder) -> dict[str, str]:
    """Each line of cases.csv under its scan's name."""
    lines = (folder / "cases.csv").read_text().splitlines()[1:]
    return {line.split(",")[0]: line for line in lines}


def test_the_table_of_all_scans_keeps_those_of_earlier_calls(
    run, tmp_path, capsys
) -> None:
    out = tmp_path / "out"
    for name in ("=1", "NA", "b", "c", "d"):
        write_ct(tmp_path / f"{name}.nii")
        predict(tmp_path / f"{name}.nii", out, run)
    before = rows_of(out)
    assert list(before) == ["'=1", "NA", "b", "c", "d"]
    (out / "b.nii.gz").unlink()  # thrown away
    (tmp_path / "d.nii").write_bytes(b"")  # refused this time
    predict(tmp_path / "c.nii", out, run, least_ml=1e6)
    with pytest.raises(InputError, match=r"d\.nii"):
        predict(tmp_path / "d.nii", out, run)
    after = rows_of(out)
    assert list(after) == ["'=1", "NA", "c"]
    assert {name: before[name] for name in ("'=1", "NA")}.items() <= after.items()
    assert after["c"].startswith("c,9,0,")
    assert "cases.csv" not in capsys.readouterr().err


def test_two_calls_that_end_together_leave_the_rows_of_both(tmp_path) -> None:
    def end(name: str, together: Barrier) -> None:
        scan = SimpleNamespace(slices=[0])
        report = SimpleNamespace(
            name=name, scan=scan, lesions=[], tumour_ml=0.0, largest_mm=None,
            tumour_slices=0,
        )  # fmt: skip
        together.wait()
        write_cases([report], [], tmp_path / "cases.csv")

    for name in "ab":
        (tmp_path / f"{name}.nii.gz").touch()
    for _ in range(5):
        (tmp_path / "cases.csv").unlink(missing_ok=True)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(end, "ab", [Barrier(2)] * 2))
        assert sorted(rows_of(tmp_path)) == ["a", "b"]
    assert len(list(tmp_path.iterdir())) == 3  # no lock is left


@pytest.mark.parametrize("text", ["", "case,slices\nb,9\n", "\xff\0", "case\n1,2,3\n"])
def test_a_table_that_is_not_ours_is_begun_anew_and_that_is_said(
    text, run, tmp_path, capsys
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "cases.csv").write_text(text, encoding="latin-1")
    write_ct(tmp_path / "a.nii")
    predict(tmp_path / "a.nii", tmp_path / "out", run)
    assert list(rows_of(tmp_path / "out")) == ["a"]
    said = capsys.readouterr().err
    assert said.count("[cases-columns]") == 1


def test_a_mask_never_takes_the_place_of_its_scan(run, tmp_path) -> None:
    write_ct(tmp_path / "ct" / "a.nii.gz")
    before = (tmp_path / "ct" / "a.nii.gz").read_bytes()
    (tmp_path / "link").symlink_to(tmp_path / "ct")
    with pytest.raises(SettingsError, match=r"\[out\]"):
        predict(tmp_path / "ct", tmp_path / "link", run)
    assert (tmp_path / "ct" / "a.nii.gz").read_bytes() == before


@pytest.mark.parametrize("folder", ["", "probabilities/"])
@pytest.mark.parametrize("options", [{}, {"probabilities": True}])
def test_what_is_no_mask_of_ours_is_not_replaced(
    options, folder, run, tmp_path, monkeypatch
) -> None:
    """The expert's labels, or a CT, bear the scan's name, too; so may their record."""
    for name in ("a", "b"):
        write_ct(tmp_path / "ct" / f"{name}.nii")
    theirs = tmp_path / "out" / folder / "b.nii.gz"
    write_ct(theirs)
    (tmp_path / "out" / "b.json").write_text("{}")  # as dcm2niix leaves it
    before = theirs.read_bytes()
    monkeypatch.setattr(predict_module, "predict_case", None)  # before any work
    with pytest.raises(SettingsError, match=r"b\.nii\.gz: must be .*\[out\]"):
        predict(tmp_path / "ct", tmp_path / "out", run, **options)
    assert theirs.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"nothing of the kind", b"\x1f\x8b\x08\0"])
def test_what_cannot_be_told_for_a_mask_of_ours_stays(content, run, tmp_path) -> None:
    write_ct(tmp_path / "a.nii")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.nii.gz").write_bytes(content)
    with pytest.raises(SettingsError, match=r"\[out\]"):
        predict(tmp_path / "a.nii", tmp_path / "out", run)
    assert (tmp_path / "out" / "a.nii.gz").read_bytes() == content


def test_masks_of_an_earlier_call_are_replaced(run, tmp_path) -> None:
    lesions = write_ct(tmp_path / "a.nii")
    out = tmp_path / "out"
    predict(tmp_path / "a.nii", out, run, probabilities=True, least_ml=1e6)
    (out / "a.json").unlink()
    predict(tmp_path / "a.nii", out, run, probabilities=True)
    assert np.array_equal(voxels(out / "a.nii.gz") == 2, lesions)


def write_as_dicom(path, folder) -> None:
    """A NIfTI file's voxels in the same places, a file a slice."""
    sitk = pytest.importorskip("SimpleITK")
    folder.mkdir()
    image, writer = sitk.ReadImage(path), sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k in range(image.GetSize()[2]):
        flat = image[:, :, k]
        place = image.TransformIndexToPhysicalPoint((0, 0, k))
        directions = np.reshape(image.GetDirection(), (3, 3)).T[:2].ravel()
        flat.SetMetaData("0008|0060", "CT")
        flat.SetMetaData("0020|000e", "1.2.3")
        flat.SetMetaData("0010|0010", "Doe^Jane")
        flat.SetMetaData("0020|0032", "\\".join(map(str, place)))
        flat.SetMetaData("0020|0037", "\\".join(map(str, directions)))
        writer.SetFileName(folder / f"{k:03}.dcm")
        writer.Execute(flat)


def test_a_dicom_series_has_the_mask_of_the_same_voxels_in_nifti(
    run, tmp_path, monkeypatch
) -> None:
    write_ct(tmp_path / "a.nii.gz")
    write_as_dicom(tmp_path / "a.nii.gz", tmp_path / "series")
    predict(tmp_path / "a.nii.gz", tmp_path / "out", run)
    predict(tmp_path / "series", tmp_path / "out", run)
    masks = [
        nib.as_closest_canonical(nib.load(tmp_path / "out" / f"{name}.nii.gz"))
        for name in ("a", "series")
    ]
    assert np.array_equal(*(np.asarray(mask.dataobj) for mask in masks))
    np.testing.assert_allclose(masks[0].affine, masks[1].affine, atol=1e-5)
    for path in (tmp_path / "out").iterdir():
        assert b"Jane" not in path.read_bytes()
    monkeypatch.chdir(tmp_path / "series")
    predict(Path(), tmp_path / "out", run)
    written = json.loads((tmp_path / "out/series.json").read_text())
    assert written["source"] == "series"
