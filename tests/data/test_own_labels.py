from pathlib import Path

import pytest

from mscf.data.own_labels import cases_of, labels_of
from mscf.errors import InputError


def touched(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).touch()
    return folder


def scans(*names: str) -> dict[str, Path]:
    return {name: Path(f"{name}.nii.gz") for name in names}


@pytest.mark.parametrize(
    ("scan", "label"),
    [
        ("a", "a.nii"),
        ("a", "a_seg.nii.gz"),
        ("a", "a-Label.nii.gz"),
        ("a", "a_tumour.nii.gz"),
        ("a_0000", "a.nii.gz"),
        ("a_0000", "a_0000.nii.gz"),
        ("volume-3", "segmentation-3.nii"),
    ],
)
def test_a_label_is_found_by_its_scans_name_and_usual_endings(
    scan, label, tmp_path
) -> None:
    folder = touched(tmp_path / "labels", label)
    assert labels_of(scans(scan), folder) == {scan: folder / label}


def test_a_longer_number_is_another_scan(tmp_path, capsys) -> None:
    folder = touched(tmp_path / "labels", "a_1_seg.nii", "a_10_seg.nii")
    assert list(labels_of(scans("a_1", "a_2"), folder)) == ["a_1"]
    assert "a_10_seg.nii" in capsys.readouterr().err  # left out, and said


def test_labels_of_no_scan_are_one_line(tmp_path) -> None:
    folder = touched(tmp_path / "labels", "x.nii")
    with pytest.raises(InputError, match=r"x\.nii: .*none of a, b.*\[label-name\]"):
        labels_of(scans("a", "b"), folder)


def test_two_labels_of_one_scan_are_refused(tmp_path) -> None:
    folder = touched(tmp_path / "labels", "a.nii", "a_seg.nii")
    with pytest.raises(InputError, match=r"\[label-duplicate\]"):
        labels_of(scans("a"), folder)


def test_one_scan_takes_one_file_of_any_name(tmp_path) -> None:
    label = touched(tmp_path / "labels", "drawn.nii") / "drawn.nii"
    assert labels_of(scans("a"), label) == {"a": label}


def test_scans_without_label_are_cases_and_persons_are_read(tmp_path) -> None:
    folder = touched(tmp_path / "scans", "a.nii", "b.nii")
    (folder / "patients.csv").write_text(
        "case,patient,spacing_known\na,P,true\nb,P,false\n"
    )
    labels = touched(tmp_path / "labels", "b_mask.nii")
    found = cases_of(folder, labels)
    assert [case.label for case in found] == [None, labels / "b_mask.nii"]
    assert [case.patient for case in found] == ["P", "P"]
