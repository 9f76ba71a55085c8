import re
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from mscf.cli import app
from mscf.data.volume import as_slices
from mscf.errors import InputError, SettingsError
from mscf.evaluation import folders as folders_module
from mscf.evaluation.folders import evaluate_folders, write_folder_tables
from mscf.evaluation.metrics import slice_metrics, volume_metrics
from mscf.evaluation.tables import read_rows

AFFINE = np.array([[0.8, 0, 0, -9], [0, 1.3, 0, -5], [0, 0, 4.0, 30], [0, 0, 0, 1.0]])
SHAPE = (20, 20, 7)


def labels(seed: int, shape=SHAPE) -> np.ndarray:
    """A liver with two lesions; the topmost slice has none."""
    found = np.zeros(shape, np.uint8)
    found[3:17, 2:18, 1:-1] = 1
    for x, y, z in np.random.default_rng(seed).integers((4, 4, 1), (13, 13, 4), (2, 3)):
        found[x : x + 4, y : y + 3, z : z + 2] = 2
    return found


def write(path, voxels, affine=AFFINE, codes="RAS") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(codes)
    )
    nib.save(nib.Nifti1Image(voxels, affine).as_reoriented(turn), path)


@pytest.fixture
def folders(tmp_path):
    """Two cases, their predictions stored with other axes; and the arrays."""
    arrays = {}
    for n, codes in ((1, "LPS"), (2, "SAR")):
        truth, drawn = labels(n), np.roll(labels(n), 1, axis=1)
        write(tmp_path / "truth" / f"case_{n}.nii.gz", truth)
        write(tmp_path / "drawn" / f"case_{n}.nii", drawn, codes=codes)
        arrays[f"case_{n}"] = drawn == 2, truth == 2
    return tmp_path / "drawn", tmp_path / "truth", arrays


def test_every_row_is_what_the_metrics_say_of_its_slice_and_case(folders) -> None:
    drawn, truth, arrays = folders
    tables = evaluate_folders(drawn, truth)
    assert len(tables.slices) == sum(t.any((0, 1)).sum() for _, t in arrays.values())
    for row in tables.slices.to_dict("records"):
        a, t = (as_slices(mask)[row["slice"]] for mask in arrays[row["case"]])
        expected = slice_metrics(a, t, (1.3, 0.8), surface=True)
        assert row["outcome"] == expected.pop("outcome")
        assert {name: row[name] for name in expected} == pytest.approx(
            expected, rel=1e-6, nan_ok=True
        )
    for row in tables.cases.to_dict("records"):
        expected = volume_metrics(*arrays[row["case"]], (0.8, 1.3, 4.0))
        assert {name: row[name] for name in expected} == pytest.approx(
            expected, rel=1e-6, nan_ok=True
        )
    assert set(tables.slices["data"]) == {"truth"}
    assert set(tables.slices["method"]) == {"drawn"}


def test_all_slices_are_rows_where_asked(folders) -> None:
    drawn, truth, _ = folders
    rows = evaluate_folders(drawn, truth, slices="all").slices
    assert len(rows) == 2 * SHAPE[2]
    assert (rows["outcome"] == "clean").any()


def test_the_tables_are_read_again_as_they_were(folders, tmp_path) -> None:
    drawn, truth, _ = folders
    tables = evaluate_folders(drawn, truth)
    write_folder_tables(tables, tmp_path / "new" / "out")
    rows = read_rows(tmp_path / "new" / "out" / "per_slice.csv")
    pd.testing.assert_frame_equal(rows, tables.slices)
    cases = pd.read_csv(tmp_path / "new" / "out" / "per_case.csv")
    assert cases["dice"].tolist() == tables.cases["dice"].tolist()
    summary = pd.read_csv(tmp_path / "new" / "out" / "summary.csv")
    assert summary.loc[0, "dice"] == pytest.approx(rows["dice"].mean())
    assert summary.loc[0, "patients"] == 2


def test_folders_may_be_given_as_text(folders, tmp_path) -> None:
    drawn, truth, _ = folders
    tables = evaluate_folders(str(drawn), str(truth))
    write_folder_tables(tables, str(tmp_path / "out"))
    assert (tmp_path / "out" / "summary.csv").is_file()
    same = evaluate_folders(drawn, truth)
    pd.testing.assert_frame_equal(tables.slices, same.slices)


def test_a_runs_own_tables_are_not_replaced(folders, tmp_path, monkeypatch) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    tables = evaluate_folders(*folders[:2])
    with pytest.raises(SettingsError, match=r"found: run\.json.*\[out\]"):
        write_folder_tables(tables, tmp_path / "run")
    monkeypatch.setattr(folders_module, "evaluate_folders", None)  # before the work
    words = ["evaluate", *map(str, folders[:2]), "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert result.stderr.endswith("[out]\n")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.json"]


def test_no_summary_of_other_tables_is_left(folders, tmp_path, capsys) -> None:
    tables = evaluate_folders(*folders[:2])
    write_folder_tables(tables, tmp_path)
    assert (tmp_path / "summary.csv").exists()
    write_folder_tables(
        replace(tables, slices=tables.slices.assign(width=24)), tmp_path
    )
    assert not (tmp_path / "summary.csv").exists()
    assert "[rows-size]" in capsys.readouterr().err


def test_patients_and_unknown_spacing_are_as_the_truths_table_says(folders) -> None:
    drawn, truth, _ = folders
    (truth / "patients.csv").write_text(
        "case,patient,spacing_known\ncase_1,P7,true\ncase_2,P7,false\n"
    )
    tables = evaluate_folders(drawn, truth)
    assert set(tables.slices["patient"]) == set(tables.cases["patient"]) == {"P7"}
    unknown = tables.slices["case"] == "case_2"
    assert tables.slices.loc[unknown, "hd_diagonal_mm"].isna().all()
    assert tables.slices.loc[~unknown, "hd_diagonal_mm"].notna().all()
    assert tables.cases["assd_mm"].isna().tolist() == [False, True]


def test_masks_that_do_not_say_where_they_lie_have_no_mm(folders) -> None:
    drawn, truth, arrays = folders
    for folder, mask in zip((drawn, truth), arrays["case_2"], strict=True):
        (path,) = folder.glob("case_2.*")
        image = nib.Nifti1Image(2 * mask.astype(np.uint8), AFFINE)
        image.set_sform(None, 0)
        image.set_qform(None, 0)
        nib.save(image, path)
    tables = evaluate_folders(drawn, truth)
    assert tables.cases["assd_mm"].isna().tolist() == [False, True]


def test_the_table_beside_labels_is_found_from_within_them(
    folders, monkeypatch
) -> None:
    drawn, truth, _ = folders
    labels = truth.parent / "set/labelsTr"
    shutil.copytree(truth, labels)
    (labels.parent / "patients.csv").write_text(
        "case,patient,spacing_known\ncase_1,P7,true\ncase_2,P7,false\n"
    )
    monkeypatch.chdir(labels)
    tables = evaluate_folders(drawn, Path())
    assert set(tables.cases["patient"]) == {"P7"}


def test_a_tilted_gantry_has_mm_within_its_slices_only(folders) -> None:
    """Its axes are not at right angles: the way between two slices is another."""
    drawn, truth, arrays = folders
    tilted = AFFINE.copy()
    tilted[1, 2] = 4 * np.tan(np.radians(20))
    for folder, masks in zip((drawn, truth), arrays["case_2"], strict=True):
        for path in folder.glob("case_2.*"):
            write(path, 2 * masks.astype(np.uint8), tilted)
    tables = evaluate_folders(drawn, truth)
    assert tables.slices["hd_diagonal_mm"].notna().all()
    across = ["assd_mm", "rmsd_mm", "msd_mm", "lesions_below_10"]
    assert tables.cases[across].isna().all(axis=1).tolist() == [False, True]
    assert tables.cases["dice"].notna().all()


def test_predictions_of_lits_volumes_beside_probabilities_are_masks(tmp_path) -> None:
    """As ``mscf predict LITS own --probabilities own/probabilities`` leaves them."""
    for n in (1, 2):
        for place in ("truth", "own", "own/probabilities"):
            write(tmp_path / place / f"volume-{n}.nii.gz", labels(n))
    found = evaluate_folders(tmp_path / "own", tmp_path / "truth")
    assert (found.cases["dice"] == 1).all()


@pytest.mark.parametrize(("drawn", "below"), [("own", "own/true"), ("in/own", "in")])
def test_masks_in_the_folder_come_before_lits_masks_below_it(
    drawn, below, tmp_path
) -> None:
    """Empty masks would else be the truth compared with itself, and perfect."""
    true = "segmentation-1" if below == "own/true" else "volume-1"
    other = "segmentation-1" if drawn == "in/own" else "volume-1"
    write(tmp_path / below / f"{true}.nii.gz", labels(1))
    write(tmp_path / drawn / f"{other}.nii.gz", np.zeros(SHAPE, np.uint8))
    found = evaluate_folders(tmp_path / drawn, tmp_path / below)
    assert found.cases["dice"].tolist() == [0]


@pytest.mark.parametrize("linked", [False, True])
def test_a_mask_compared_with_itself_is_refused(linked, folders) -> None:
    drawn, truth, _ = folders
    if linked:
        for n in (1, 2):
            (drawn / f"case_{n}.nii").unlink()
            (drawn / f"case_{n}.nii.gz").symlink_to(truth / f"case_{n}.nii.gz")
    with pytest.raises(InputError, match=r"case_1.*\[same-file\]"):
        evaluate_folders(drawn if linked else truth, truth)


def test_layouts_of_msd_and_lits_are_understood(folders, tmp_path) -> None:
    _, truth, _ = folders
    (tmp_path / "msd").mkdir()
    (tmp_path / "lits").mkdir()
    truth.rename(tmp_path / "msd" / "labelsTr")
    for n in (1, 2):
        mask = (tmp_path / "msd" / "labelsTr" / f"case_{n}.nii.gz").read_bytes()
        (tmp_path / "lits" / f"segmentation-{n}.nii.gz").write_bytes(mask)
        (tmp_path / "lits" / f"volume-{n}.nii.gz").write_bytes(b"no mask")
        write(tmp_path / "own" / f"volume-{n}.nii.gz", labels(n))
    own = evaluate_folders(tmp_path / "own", tmp_path / "lits")
    assert own.cases["case"].tolist() == ["volume-1", "volume-2"]
    assert (own.cases["dice"] == 1).all()
    shutil.copytree(tmp_path / "msd" / "labelsTr", tmp_path / "copy")
    both = evaluate_folders(tmp_path / "copy", tmp_path / "msd")
    assert (both.slices["dice"] == 1).all()


def test_another_tools_label_is_said_and_else_warned_of(folders, capsys) -> None:
    drawn, truth, arrays = folders
    for name, (mask, _) in arrays.items():
        write(drawn / f"{name}.nii", mask.astype(np.uint8))
    tables = evaluate_folders(drawn, truth, label=1)
    assert tables.cases["tp"].sum() > 0
    assert "[label]" not in capsys.readouterr().err
    assert evaluate_folders(drawn, truth).cases["tp"].sum() == 0
    assert "give --label 1" in capsys.readouterr().err


def shorter(voxels, affine):
    return voxels[:, :, :-1], affine


def elsewhere(voxels, affine):
    return voxels, affine + np.eye(4, k=3) * 20


def other_labels(voxels, affine):
    return voxels + np.uint8(1), affine


@pytest.mark.parametrize(
    ("change", "check", "words"),
    [
        (shorter, "shape-mismatch", "must have the truth's shape"),
        (elsewhere, "affine-mismatch", "must lie where its truth lies"),
        (other_labels, "label-values", "labels must be 0, 1 or 2"),
    ],
)
def test_a_mask_that_does_not_fit_is_one_line(change, check, words, folders) -> None:
    drawn, truth, _ = folders
    write(drawn / "case_2.nii", *change(labels(2), AFFINE))
    with pytest.raises(InputError, match=rf"case_2\.nii: {words}.*\[{check}\]"):
        evaluate_folders(drawn, truth)


def test_a_mask_without_its_counterpart_is_refused_from_both_sides(folders) -> None:
    drawn, truth, _ = folders
    (drawn / "case_1.nii").rename(drawn / "case_7.nii")
    with pytest.raises(InputError) as caught:
        evaluate_folders(drawn, truth)
    lines = [str(finding) for finding in caught.value.findings]
    assert lines[0].startswith(str(truth / "case_1.nii.gz"))
    assert lines[1].startswith(str(drawn / "case_7.nii"))
    assert all("[pair-incomplete]" in line for line in lines)


@pytest.mark.parametrize("choice", [{"slices": "liver"}, {"label": 3}])
def test_unknown_choices_are_refused(choice, folders) -> None:
    with pytest.raises(SettingsError, match=r"must be"):
        evaluate_folders(*folders[:2], **choice)


def test_a_truth_without_any_tumour_is_refused(folders) -> None:
    drawn, truth, _ = folders
    for n in (1, 2):
        write(truth / f"case_{n}.nii.gz", np.minimum(labels(n), 1))
    with pytest.raises(InputError, match=r"\[no-tumour\]"):
        evaluate_folders(drawn, truth)


def test_the_command_prints_the_means_and_writes_the_tables(folders, tmp_path) -> None:
    drawn, truth, _ = folders
    words = [str(drawn), str(truth), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, ["evaluate", *words])
    assert result.exit_code == 0
    rows = read_rows(tmp_path / "out" / "per_slice.csv")
    assert f"dice {100 * rows['dice'].mean():.2f}, " in result.stdout
    for unit, column in (("mm", "hd_mm"), ("pixels", "hd")):
        (line,) = re.findall(rf"slices, {unit}: .*", result.stdout)
        assert f"hd {rows[column].mean():.2f}, " in line
    assert result.stdout.splitlines()[0].endswith("overlap")
    assert (tmp_path / "out" / "per_case.csv").exists()
    (drawn / "case_1.nii").unlink()
    failed = CliRunner().invoke(app, ["evaluate", *words])
    assert failed.exit_code == 3
    assert failed.stderr.startswith("error: ")
