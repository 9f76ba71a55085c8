from pathlib import Path

import pytest

from mscf.data.cases import find_cases
from mscf.data.inputs import find_inputs, find_livers, find_scans
from mscf.errors import InputError, SettingsError


def touched(folder, *names: str):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["b_10.nii", "b_2.nii.gz", "notes.txt", ".b_3.nii"], ["b_2", "b_10"]),
        (["imagesTr/a.nii.gz", "labelsTr/a.nii.gz", "b.nii"], ["a"]),
        (["volume-3.nii", "segmentation-3.nii"], ["volume-3"]),
        (["Batch 1/volume-3.nii", "Batch 2/segmentation-4.nii"], ["volume-3"]),
    ],
)
def test_a_folder_holds_its_scans_in_the_order_of_their_numbers(
    files, expected, tmp_path
) -> None:
    assert list(find_inputs(touched(tmp_path, *files))) == expected


def test_scans_of_another_suffix_are_said_once_to_be_left_out(tmp_path, capsys) -> None:
    touched(tmp_path, "a.nii", "b.NII.GZ", "c.nrrd", "notes.txt")
    assert list(find_inputs(tmp_path)) == ["a"]
    said = capsys.readouterr().err
    assert "2 of another suffix, the first b.NII.GZ" in said
    assert said.count("[files-left-out]") == 1


def test_one_file_is_one_scan(tmp_path) -> None:
    touched(tmp_path, "a.nii.gz", "b.nii")
    assert find_inputs(tmp_path / "a.nii.gz") == {"a": tmp_path / "a.nii.gz"}


@pytest.mark.parametrize(
    ("source", "table"),
    [
        ("", "patients.csv"),
        ("imagesTr", "patients.csv"),
        ("imagesTr/a.nii", "patients.csv"),
        ("flat", "flat/patients.csv"),
        ("flat/a.nii", "flat/patients.csv"),
    ],
)
def test_a_table_beside_the_scans_is_read_for_those_it_names(
    source, table, tmp_path
) -> None:
    touched(tmp_path, *(f"{f}/{n}.nii" for f in ("imagesTr", "flat") for n in "ab"))
    (tmp_path / table).write_text("case,patient,spacing_known\na,P,false\n")
    found = {case.name: case for case in find_scans(tmp_path / source)}
    assert (found["a"].patient, found["a"].spacing_known) == ("P", False)
    for other in found.keys() - {"a"}:  # named nowhere: as its file says
        assert (found[other].patient, found[other].spacing_known) == (other, True)


@pytest.mark.parametrize("source", ["a.nii", ".", "../imagesTr", "../imagesTr/a.nii"])
def test_a_table_is_found_from_within_the_folder_too(
    source, tmp_path, monkeypatch
) -> None:
    touched(tmp_path, "imagesTr/a.nii", "patients.csv")
    (tmp_path / "patients.csv").write_text("case,patient,spacing_known\na,P,false\n")
    monkeypatch.chdir(tmp_path / "imagesTr")
    (case,) = find_scans(Path(source))
    assert (case.patient, case.spacing_known) == ("P", False)


def test_a_table_beside_a_series_is_found_from_within_it(tmp_path, monkeypatch) -> None:
    touched(tmp_path, "series/1.dcm")
    (tmp_path / "series/1.dcm").write_bytes(bytes(128) + b"DICM")
    table = "case,patient,spacing_known\nseries,P,false\n"
    (tmp_path / "patients.csv").write_text(table)
    monkeypatch.chdir(tmp_path / "series")
    (case,) = find_scans(Path())
    assert (case.name, case.patient, case.spacing_known) == ("series", "P", False)


@pytest.mark.parametrize("row", ["001.nii.gz", "1"])
def test_a_table_that_names_scans_otherwise_is_said_once(row, tmp_path, capsys) -> None:
    touched(tmp_path, "001.nii.gz", "002.nii.gz")
    table = f"case,patient,spacing_known\n{row},P,false\nx,Q,false\n"
    (tmp_path / "patients.csv").write_text(table)
    assert all(case.spacing_known for case in find_scans(tmp_path))
    said = capsys.readouterr().err
    assert f"{row} is no scan, 001 is not named" in said
    assert said.count("[patients-names]") == 1


def test_a_table_of_more_scans_than_are_here_is_no_mistake(tmp_path, capsys) -> None:
    touched(tmp_path, "a.nii")
    table = "case,patient,spacing_known\na,P,false\nb,P,true\n"
    (tmp_path / "patients.csv").write_text(table)
    assert [case.patient for case in find_scans(tmp_path)] == ["P"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("file", "row"), [("\u00fc", "u\u0308"), ("u\u0308", "\u00fc")]
)
def test_an_accent_written_in_another_way_is_the_same_name(file, row, tmp_path) -> None:
    touched(tmp_path, f"imagesTr/{file}.nii", f"labelsTr/{file}.nii")
    table = f"case,patient,spacing_known\n{row},P,false\n"
    (tmp_path / "patients.csv").write_text(table, encoding="utf-8")
    for (case,) in (find_scans(tmp_path), find_cases(tmp_path)):
        assert (case.name, case.patient, case.spacing_known) == (file, "P", False)


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("none", "folder-missing"),
        ("empty", "folder-missing"),
        ("notes/a.txt", "input-kind"),
    ],
)
def test_what_is_no_scan_is_one_line(name, check, tmp_path) -> None:
    touched(tmp_path, "notes/a.txt", "empty/b.txt")
    with pytest.raises(InputError, match=rf"\[{check}\]"):
        find_inputs(tmp_path / name)


def test_volumes_beside_a_series_are_refused(tmp_path) -> None:
    touched(tmp_path, "livermask.nii.gz", "1.dcm")
    (tmp_path / "1.dcm").write_bytes(bytes(128) + b"DICM")
    with pytest.raises(InputError, match=r"DICOM files and livermask.*\[input-mixed\]"):
        find_inputs(tmp_path)


def test_two_files_of_one_name_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match=r"\[case-duplicate\]"):
        find_inputs(touched(tmp_path, "a.nii", "a.nii.gz"))


def test_a_liver_is_found_by_its_scans_name(tmp_path) -> None:
    touched(tmp_path, "one/a.nii.gz", "many/a.nii", "many/b.nii", "many/c.nii")
    touched(tmp_path, "lits/segmentation-3.nii")
    one = tmp_path / "one" / "a.nii.gz"
    assert find_livers(one, ["x"]) == {"x": one}
    assert set(find_livers(tmp_path / "many", ["a", "c"])) == {"a", "c"}
    assert set(find_livers(tmp_path / "lits", ["volume-3"])) == {"volume-3"}
    assert find_livers(None, ["a"]) == {}
    with pytest.raises(SettingsError, match=r"\[liver\]"):
        find_livers(one, ["x", "y"])
    with pytest.raises(InputError, match=r"none of d.*\[liver-missing\]"):
        find_livers(tmp_path / "many", ["a", "d"])


def test_a_folder_that_may_not_be_read_is_one_line(tmp_path, monkeypatch) -> None:
    def forbidden(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", forbidden)
    with pytest.raises(InputError, match=r"Permission denied.*\[unreadable\]"):
        find_inputs(tmp_path)


def test_a_file_of_a_series_that_may_not_be_read_is_named(
    tmp_path, monkeypatch
) -> None:
    def forbidden(*_):
        raise PermissionError(13, "Permission denied")

    touched(tmp_path, "1.dcm")
    monkeypatch.setattr(Path, "open", forbidden)
    with pytest.raises(InputError, match=r"1\.dcm.*\[unreadable\]"):
        find_inputs(tmp_path)
