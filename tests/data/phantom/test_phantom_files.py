"""Phantoms on disk: equal by seed, whole or not there, in MSD's layout."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mscf.data.phantom import files, make_phantoms
from mscf.errors import SettingsError, StorageError

SCRIPT = Path(__file__).parents[3] / "data_scripts" / "make_phantoms.py"
SMALL = {"size": 96, "processes": 1}  # as `written`


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.check
def test_equal_seeds_give_equal_bytes_whatever_the_processes(tmp_path) -> None:
    one = make_phantoms(tmp_path / "one", cases=3, seed=7, size=64, processes=1)
    two = make_phantoms(tmp_path / "two", cases=3, seed=7, size=64, processes=2)
    assert contents(one) == contents(two)


def test_a_case_is_the_same_among_fewer_cases(written, tmp_path) -> None:
    fewer = make_phantoms(tmp_path / "fewer", cases=2, seed=0, **SMALL)
    for case in range(2):
        name = f"imagesTr/liver_{case}.nii.gz"
        assert (fewer / name).read_bytes() == (written / name).read_bytes()


@pytest.mark.parametrize("other", [{"seed": 1}, {"lesions": "large"}])
def test_another_seed_or_kind_gives_other_scans(other, written, tmp_path) -> None:
    there = make_phantoms(tmp_path / "other", cases=1, **SMALL, **other)
    for kind in ("imagesTr", "labelsTr"):
        name = f"{kind}/liver_0.nii.gz"
        assert (there / name).read_bytes() != (written / name).read_bytes()


def test_the_layout_is_msds(written) -> None:
    table = json.loads((written / "dataset.json").read_text())
    assert table["labels"] == {"0": "background", "1": "liver", "2": "cancer"}
    assert table["modality"] == {"0": "CT"}
    assert table["numTraining"] == len(table["training"]) == 12
    listed = {written / entry[kind] for entry in table["training"] for kind in entry}
    assert listed == set(written.glob("*Tr/*"))
    assert {path.name for path in written.iterdir()} == {
        "imagesTr", "labelsTr", "dataset.json", "patients.csv",
    }  # fmt: skip


def test_every_sixth_case_is_the_patient_before_it_again(written) -> None:
    with (written / "patients.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == [f"liver_{case}" for case in range(12)]
    patients = [row["patient"] for row in rows]
    assert patients[3] == patients[2]
    assert patients[9] == patients[8]
    assert len(set(patients)) == 10
    assert {row["spacing_known"] for row in rows} == {"true"}


def test_image_and_labels_have_one_grid_and_the_types_of_ct(written) -> None:
    for path in written.glob("imagesTr/*"):
        image, labels = nib.load(path), nib.load(written / "labelsTr" / path.name)
        assert image.shape == labels.shape
        np.testing.assert_array_equal(image.affine, labels.affine)
        assert image.get_data_dtype() == np.int16
        assert labels.get_data_dtype() == np.uint8
        assert image.header.get_xyzt_units()[0] == "mm"
        np.testing.assert_allclose(image.get_qform(), image.affine, atol=1e-4)


def test_the_same_phantoms_are_left_as_they_are(tmp_path, monkeypatch) -> None:
    out = make_phantoms(tmp_path / "out", cases=1, **SMALL)
    before = contents(out)
    monkeypatch.setattr(files, "write_case", None)  # would fail when called
    assert make_phantoms(out, cases=1, **SMALL) == out
    assert contents(out) == before


@pytest.mark.parametrize("found", ["", "{", "[]", '{"phantom": {"seed": 3}}'])
def test_a_folder_of_something_else_is_refused_and_kept(found, tmp_path) -> None:
    (tmp_path / "dataset.json").write_text(found)
    with pytest.raises(SettingsError, match="must be a new folder") as caught:
        make_phantoms(tmp_path, cases=1, **SMALL)
    assert caught.value.finding.check == "out"
    assert contents(tmp_path) == {"dataset.json": found.encode()}


def test_other_settings_than_those_in_the_folder_are_refused(tmp_path) -> None:
    out = make_phantoms(tmp_path / "out", cases=1, **SMALL)
    with pytest.raises(SettingsError, match="choose another folder or delete"):
        make_phantoms(out, cases=1, seed=1, **SMALL)


def test_a_run_that_fails_leaves_nothing(tmp_path, monkeypatch) -> None:
    write_case = files.write_case

    def full_at_the_second(folder, case, **rest):
        if case == 1:
            raise StorageError(folder, "must be writable", "disk full", "storage")
        write_case(folder, case, **rest)

    monkeypatch.setattr(files, "write_case", full_at_the_second)
    with pytest.raises(StorageError, match="disk full"):
        make_phantoms(tmp_path / "out", cases=2, **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_not_trusted(written, tmp_path) -> None:
    part = tmp_path / ".out.part"
    (part / "imagesTr").mkdir(parents=True)
    (part / "imagesTr" / "liver_0.nii.gz").write_bytes(b"half")
    (part / "imagesTr" / "liver_9.nii.gz").write_bytes(b"of other settings")
    out = make_phantoms(tmp_path / "out", cases=1, **SMALL)
    name = "imagesTr/liver_0.nii.gz"
    assert (out / name).read_bytes() == (written / name).read_bytes()
    assert not (out / "imagesTr" / "liver_9.nii.gz").exists()
    assert not part.exists()


def test_a_place_that_cannot_be_written_is_said(tmp_path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StorageError, match="must be writable"):
        make_phantoms(tmp_path / "file" / "out", cases=1, **SMALL)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("cases", 0),
        ("seed", -1),
        ("size", 63),
        ("lesions", "huge"),
        ("processes", 0),
        ("processes", -1),
    ],
)
def test_a_setting_out_of_range_is_refused_before_any_work(
    setting, value, tmp_path
) -> None:
    with pytest.raises(SettingsError) as caught:
        make_phantoms(tmp_path / "out", **{setting: value})
    finding = caught.value.finding
    assert (finding.file, finding.found) == (setting, str(value))
    assert list(tmp_path.iterdir()) == []


def test_the_script_says_a_bad_setting_in_one_line(tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path / "out", "--lesions", "huge"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    line = "error: lesions: must be one of all, large (found: huge) [lesions]\n"
    assert done.stderr == line
