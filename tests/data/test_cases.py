import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mscf.data.cases import are_phantoms, find_cases
from mscf.data.volume_files import find_masks
from mscf.errors import InputError


@pytest.fixture
def msd(tiny_cases, tmp_path):
    """A copy that a test may spoil, with its `dataset.json`."""
    folder = tmp_path / "cases"
    shutil.copytree(tiny_cases, folder)
    names = [f"liver_{n}.nii.gz" for n in range(6)]
    pairs = [{"image": f"./imagesTr/{n}", "label": f"./labelsTr/{n}"} for n in names]
    (folder / "dataset.json").write_text(json.dumps({"training": pairs}))
    return folder


@pytest.fixture
def lits(tmp_path):
    image = nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4))
    for number in (0, 2, 10):
        folder = tmp_path / f"Training Batch {1 + number % 2}"
        folder.mkdir(exist_ok=True)
        for kind in ("volume", "segmentation"):
            suffix = ".nii" if number else ".nii.gz"
            nib.save(image, folder / f"{kind}-{number}{suffix}")
    return tmp_path


def test_msd_is_found_with_and_without_its_table(msd) -> None:
    listed = find_cases(msd)
    assert [case.name for case in listed] == [f"liver_{n}" for n in range(6)]
    assert all(c.image.name == c.label.name == f"{c.name}.nii.gz" for c in listed)
    (msd / "dataset.json").unlink()
    assert find_cases(msd) == listed


def test_lits_is_found_in_the_order_of_its_numbers(lits) -> None:
    cases = find_cases(lits)
    assert [case.name for case in cases] == ["volume-0", "volume-2", "volume-10"]
    assert cases[2].label.name == "segmentation-10.nii"


def test_lits_is_found_behind_a_link_too_each_folder_once(lits, tmp_path) -> None:
    elsewhere = tmp_path.with_name(f"{tmp_path.name} elsewhere")
    elsewhere.mkdir()
    for kind in ("volume", "segmentation"):
        shutil.copy(
            lits / f"Training Batch 1/{kind}-2.nii", elsewhere / f"{kind}-7.nii"
        )
    (lits / "Training Batch 2").symlink_to(elsewhere)
    (elsewhere / "again").symlink_to(lits)  # a loop
    (elsewhere / "twice").symlink_to(lits / "Training Batch 1")
    names = ["volume-0", "volume-2", "volume-7", "volume-10"]
    assert [case.name for case in find_cases(lits)] == names
    assert list(find_masks(lits)) == names


def test_a_folder_named_as_a_volume_is_no_missing_case(lits) -> None:
    """Some tools unpack one into a folder: then what it holds must not get lost."""
    (lits / "Training Batch 2" / "volume-3.nii").mkdir(parents=True)
    with pytest.raises(InputError, match=r"volume-3.*\[pair-incomplete\]"):
        find_cases(lits)


def test_without_a_table_of_patients_it_is_said_and_each_case_is_one(
    msd, capsys
) -> None:
    cases = find_cases(msd)
    assert [case.patient for case in cases] == [case.name for case in cases]
    assert capsys.readouterr().err.count("[patients-table]") == 1


def test_a_table_of_patients_is_honoured(msd, capsys) -> None:
    rows = [f"liver_{n},P{n // 2},{'true' if n else 'false'}" for n in range(6)]
    text = "\n".join(["case,patient,spacing_known", *rows])
    (msd / "patients.csv").write_text(text)
    cases = find_cases(msd)
    assert [case.patient for case in cases] == ["P0", "P0", "P1", "P1", "P2", "P2"]
    assert [case.spacing_known for case in cases] == [False] + [True] * 5
    assert capsys.readouterr().err == ""


def test_blanks_in_a_table_of_patients_make_no_other_person(msd) -> None:
    rows = [f"liver_{n}, P0{' ' * n}, true " for n in range(6)]
    text = "\n".join(["case, patient,spacing_known ", *rows])
    (msd / "patients.csv").write_text(text)
    assert {case.patient for case in find_cases(msd)} == {"P0"}


@pytest.mark.parametrize(
    "text",
    [
        "case,patient\nliver_0,A",
        "case,patient,spacing_known\nliver_0,A,true",
        "case,patient,spacing_known\n" + "liver_0,A,true\n" * 6,
        "case,patient,spacing_known\n" + "".join(f"liver_{n},A,7\n" for n in range(6)),
    ],
)
def test_a_table_of_patients_that_does_not_fit_is_refused(msd, text) -> None:
    (msd / "patients.csv").write_text(text)
    with pytest.raises(InputError, match=r"patients.csv.*\[patients-table\]"):
        find_cases(msd)


def test_a_folder_that_is_none_or_empty_is_refused(tmp_path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    for name in ("nowhere", "file", "empty"):
        with pytest.raises(InputError, match=rf"{name}: .*\[folder-missing\]"):
            find_cases(tmp_path / name)


@pytest.mark.parametrize("kind", ["imagesTr", "labelsTr"])
@pytest.mark.parametrize("table", [True, False])
def test_half_a_pair_is_refused_in_msd(msd, kind, table) -> None:
    (msd / kind / "liver_3.nii.gz").unlink()
    if not table:
        (msd / "dataset.json").unlink()
    with pytest.raises(InputError, match=r"liver_3.*\[pair-incomplete\]"):
        find_cases(msd)


@pytest.mark.parametrize("kind", ["volume", "segmentation"])
def test_half_a_pair_is_refused_in_lits(lits, kind) -> None:
    next(lits.rglob(f"{kind}-2.nii")).unlink()
    with pytest.raises(InputError, match=r"-2\.nii.*\[pair-incomplete\]"):
        find_cases(lits)


def test_every_half_pair_is_named_in_one_go(msd) -> None:
    for number in (1, 4):
        (msd / f"labelsTr/liver_{number}.nii.gz").unlink()
    with pytest.raises(InputError) as caught:
        find_cases(msd)
    named = [Path(finding.file).name for finding in caught.value.findings]
    assert named == ["liver_1.nii.gz", "liver_4.nii.gz"]


def test_labels_without_an_image_are_named_in_their_order(msd) -> None:
    (msd / "dataset.json").unlink()
    for number in range(1, 6):
        (msd / f"imagesTr/liver_{number}.nii.gz").unlink()
    with pytest.raises(InputError) as caught:
        find_cases(msd)
    named = [Path(finding.file).name for finding in caught.value.findings]
    assert named == [f"liver_{number}.nii.gz" for number in range(1, 6)]


def test_labels_are_not_asked_for_where_none_are_needed(msd) -> None:
    (msd / "dataset.json").unlink()
    shutil.rmtree(msd / "labelsTr")
    assert [case.label for case in find_cases(msd, labels=False)] == [None] * 6


@pytest.mark.parametrize(
    "text",
    [
        '{"training": [',
        '{"test": []}',
        '{"training": 3}',
        '{"training": [{"image": 3, "label": 4}]}',
        '{"training": [{"image": "../x.nii.gz", "label": "labelsTr/liver_0.nii.gz"}]}',
        '{"training": [{"image": "imagesTr/../x.nii", "label": "labelsTr/x.nii"}]}',
        '{"training": [{"image": "/x.nii.gz", "label": "labelsTr/liver_0.nii.gz"}]}',
    ],
)
def test_a_table_of_cases_that_makes_no_sense_is_refused(msd, text) -> None:
    (msd / "dataset.json").write_text(text)
    with pytest.raises(InputError, match=r"\[dataset-json\]"):
        find_cases(msd)


def with_labels(folder: Path, labels) -> None:
    """What ``dataset.json`` calls them."""
    table = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(table | {"labels": labels}))


@pytest.mark.parametrize(
    "labels",
    [
        {"0": "background", "1": "tumour", "2": "liver"},
        {"0": "background", "1": "Cancer", "2": "other"},
        {"background": 0, "Liver": 2},
        {"background": 0, "liver lesion": 1},
    ],
)
def test_labels_that_the_table_calls_otherwise_are_refused(msd, labels) -> None:
    with_labels(msd, labels)
    with pytest.raises(InputError, match=r"dataset.json.*\[label-names\]"):
        find_cases(msd)


@pytest.mark.parametrize(
    "labels",
    [
        {"0": "background", "1": "liver", "2": "cancer"},  # MSD's own
        {"background": 0, "liver": 1, "liver_tumour": 2},
        {"background": 0, "liver": [1, 2], "tumour": 2},  # a region
        {"background": 0, "organ": 1, "other": 2},
        ["liver", "tumour"],
    ],
)
def test_labels_that_the_table_calls_so_or_not_at_all_are_taken(msd, labels) -> None:
    with_labels(msd, labels)
    assert len(find_cases(msd)) == 6


def test_a_table_of_nnunet_lists_no_pairs_and_is_told_what_helps(msd) -> None:
    (msd / "dataset.json").write_text(
        '{"channel_names": {"0": "CT"}, "labels": {"liver": 1}, "file_ending": ".nii"}'
    )
    with pytest.raises(InputError, match=r"no 'training'.*without _0000"):
        find_cases(msd)


@pytest.mark.parametrize("link", ["imagesTr", "imagesTr/liver_2.nii.gz"])
def test_a_link_to_a_place_elsewhere_is_followed(msd, tmp_path, link) -> None:
    elsewhere = tmp_path / "elsewhere"
    (msd / link).rename(elsewhere)
    (msd / link).symlink_to(elsewhere)
    assert [case.image.is_file() for case in find_cases(msd)] == [True] * 6


def test_phantoms_are_told_by_their_table(msd) -> None:
    assert not are_phantoms(msd)
    table = json.loads((msd / "dataset.json").read_text())
    (msd / "dataset.json").write_text(json.dumps(table | {"phantom": {"seed": 0}}))
    assert are_phantoms(msd)
    (msd / "dataset.json").unlink()
    assert not are_phantoms(msd)


def test_a_file_that_the_table_leaves_out_is_said(msd, capsys) -> None:
    table = json.loads((msd / "dataset.json").read_text())
    table["training"].pop()
    (msd / "dataset.json").write_text(json.dumps(table))
    assert len(find_cases(msd)) == 5
    assert "liver_5.nii.gz" in capsys.readouterr().err


def test_two_files_of_one_case_are_refused(msd) -> None:
    (msd / "dataset.json").unlink()
    for name in ("liver_1.nii", "LIVER_1.nii.gz"):
        extra = msd / "imagesTr" / name
        extra.touch()
        with pytest.raises(InputError, match=r"(?i)liver_1.*\[case-duplicate\]"):
            find_cases(msd)
        extra.unlink()


def test_one_name_with_its_accent_written_in_two_ways_is_one_case(msd) -> None:
    (msd / "dataset.json").unlink()
    for name in ("Zo\u00eb", "Zoe\u0308"):
        for kind in ("imagesTr", "labelsTr"):
            shutil.copy(msd / kind / "liver_0.nii.gz", msd / kind / f"{name}.nii.gz")
    with pytest.raises(InputError, match=r"\[case-duplicate\]"):
        find_cases(msd)


@pytest.mark.parametrize("name", ["\u00b2", "1\u00b2", "\u2460"])
def test_a_digit_that_counts_nothing_is_a_name(msd, name) -> None:
    """A raised two or a circled one is a digit to Python, but no number."""
    (msd / "dataset.json").unlink()
    for kind in ("imagesTr", "labelsTr"):
        (msd / kind / "liver_3.nii.gz").rename(msd / kind / f"{name}.nii.gz")
    (case,) = (case for case in find_cases(msd) if case.name == name)
    assert [repair.check for repair in case.repairs] == ["path-odd", "path-odd"]


@pytest.mark.parametrize("suffix", [".NII.GZ", ".nii.GZ", ".Nii", ".nrrd", ".mha"])
def test_a_volume_of_another_suffix_is_said_to_be_left_out(
    suffix, msd, lits, capsys
) -> None:
    (msd / "dataset.json").unlink()
    for kind in ("imagesTr", "labelsTr"):
        for n in (3, 4):
            (msd / kind / f"liver_{n}.nii.gz").rename(msd / kind / f"liver_{n}{suffix}")
        (msd / kind / f".liver_0{suffix}").touch()
    assert len(find_cases(msd)) == 4
    said = capsys.readouterr().err
    assert said.count(f"2 of another suffix, the first liver_3{suffix}") == 2
    assert said.count("[files-left-out]") == 2  # of images and of labels
    (lits / "Training Batch 1" / f"volume-4{suffix}").touch()
    shutil.rmtree(msd)  # it lies below
    assert len(find_cases(lits)) == 3
    assert capsys.readouterr().err.count("[files-left-out]") == 1


def test_a_plain_name_is_not_odd_and_an_odd_one_is_said_on_one_line(msd) -> None:
    (msd / "dataset.json").unlink()
    for kind in ("imagesTr", "labelsTr"):
        (msd / kind / "liver_3.nii.gz").rename(msd / kind / "-x\ny.nii.gz")
    cases = {case.name: case.repairs for case in find_cases(msd)}
    assert cases["liver_0"] == ()
    found = cases["-x\ny"]
    assert [repair.check for repair in found] == ["path-odd", "path-odd"]
    assert all("\n" not in str(repair) for repair in found)
