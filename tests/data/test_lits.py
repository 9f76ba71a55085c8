"""LiTS's own download: recognised, checked, and what is missing is named."""

import gzip
import zipfile

import nibabel as nib
import numpy as np
import pytest

from mscf.data.cases import find_cases
from mscf.data.download import download
from mscf.data.lits import is_lits
from mscf.errors import InputError

NOWHERE = "https://nowhere.invalid/a.tar"  # is never asked


def case(folder, n: int, suffix: str = ".nii") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, low, high in (("volume", -200, 200), ("segmentation", 0, 3)):
        voxels = (
            np.random.default_rng(n).integers(low, high, (4, 4, 2)).astype(np.int16)
        )
        nib.save(nib.Nifti1Image(voxels, np.eye(4)), folder / f"{name}-{n}{suffix}")


def test_both_batches_whole_are_found_in_their_folders(tmp_path, capsys) -> None:
    for n in range(131):
        case(tmp_path / f"Training Batch {1 + (n > 27)}", n)
    before = sorted(tmp_path.rglob("*"))
    assert "131 cases, each read to its end" in download(tmp_path, None, NOWHERE)
    assert "lits-missing" not in capsys.readouterr().err
    assert {*tmp_path.rglob("*")} == {*before, tmp_path / "patients.csv"}


def test_known_persons_are_told_as_of_msd_and_a_corrected_table_stays(tmp_path) -> None:
    for n in (0, 1, 2, 9, 10):
        case(tmp_path, n)
    download(tmp_path, None, NOWHERE)
    persons = [int(c.patient.removeprefix("volume-")) for c in find_cases(tmp_path)]
    assert persons == [0, 0, 2, 8, 8]
    table = tmp_path / "patients.csv"
    table.write_text(table.read_text().replace("volume-2,volume-2", "volume-2,P2"))
    corrected = table.read_bytes()
    download(tmp_path, None, NOWHERE)
    assert table.read_bytes() == corrected


def test_missing_cases_are_named_by_their_archive(tmp_path, capsys) -> None:
    for n in range(28):
        if n not in (3, 9):
            case(tmp_path, n, ".nii.gz")
    assert "26 cases" in download(tmp_path, None, NOWHERE)
    said = capsys.readouterr().err
    assert (
        "Training Batch 1's 28 cases when it is complete (found: without 3, 9)" in said
    )
    assert "Training Batch 2's 103 cases when it is complete (found: none)" in said


def test_every_damaged_file_is_named(tmp_path) -> None:
    for n in range(3):
        case(tmp_path, n, ".nii.gz" if n else ".nii")
    for path in (tmp_path / "volume-0.nii", tmp_path / "segmentation-2.nii.gz"):
        path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError) as caught:
        download(tmp_path, None, NOWHERE)
    assert caught.value.exit_code == 3
    checks = {(f.file.split("/")[-1], f.check) for f in caught.value.findings}
    assert checks == {
        ("volume-0.nii", "file-short"), ("segmentation-2.nii.gz", "gz-truncated")
    }  # fmt: skip


def test_half_a_pair_is_refused(tmp_path) -> None:
    case(tmp_path, 0)
    (tmp_path / "segmentation-0.nii").unlink()
    with pytest.raises(InputError, match="pair-incomplete"):
        download(tmp_path, None, NOWHERE)


@pytest.mark.parametrize("name", ["Training_Batch1.zip", "Training Batch 2.zip"])
def test_archives_as_they_come_are_to_be_unpacked(name, tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("volume-0.nii", "x")
    with pytest.raises(InputError, match=r"unpack it .*\[lits-packed\]"):
        download(tmp_path, 3, NOWHERE)


def test_other_folders_are_not_taken_for_lits(tiny_cases, tmp_path) -> None:
    assert not is_lits(tiny_cases)
    assert not is_lits(tmp_path)
    assert not is_lits(tmp_path / "nowhere")
    (tmp_path / "volume-0.nii.gz.txt").write_bytes(gzip.compress(b"x"))
    assert not is_lits(tmp_path)
