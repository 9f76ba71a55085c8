"""A folder looked through: a table a case, whatever is wrong with some of them."""

import hashlib
import shutil
import subprocess
from dataclasses import replace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from small_folder import Folder, put

from mscf.data import persons
from mscf.data import verify as verify_module
from mscf.data.digests import NAME, Digests, write_digests
from mscf.data.phantom import make_phantoms
from mscf.data.verify import COLUMNS, REFUSED, refusals, summary, verify
from mscf.errors import InputError, StorageError


@pytest.fixture
def cases(tiny_cases, tmp_path):
    """A copy that a test may spoil."""
    shutil.copytree(tiny_cases, tmp_path / "cases")
    return tmp_path / "cases"


def spoil(cases, number: int) -> None:
    path = cases / f"imagesTr/liver_{number}.nii.gz"
    path.write_bytes(path.read_bytes()[:-50])


def table(path) -> pd.DataFrame:
    return pd.read_csv(path, keep_default_na=False)


def test_a_sound_case_is_a_row_that_says_what_it_is(tiny_cases, tmp_path) -> None:
    results = verify(tiny_cases, tmp_path / "t.csv", processes=1)
    rows = table(tmp_path / "t.csv")
    assert tuple(rows.columns) == COLUMNS
    assert rows["case"].tolist() == [f"liver_{n}" for n in range(6)]
    assert set(rows["outcome"]) == {"sound"}
    assert set(rows["found"]) == {"192 x 192 x 3 voxels, LPS, 1.50 x 1.50 x 4.00 mm"}
    assert (rows["seconds"] > 0).all()
    voxels = 192 * 192 * 3 * (2 + 1) / 1e6  # int16 and uint8
    assert rows["peak_mb"].between(voxels, 10 * voxels).all()
    assert summary(results) == "6 cases: 6 sound, 0 with warnings, 0 refused"
    assert refusals(results) == []


def test_every_case_is_looked_at_whatever_is_wrong_with_others(cases, tmp_path) -> None:
    for number in (0, 3):
        spoil(cases, number)
    (cases / "labelsTr/liver_4.nii.gz").unlink()
    results = verify(cases, tmp_path / "t.csv", processes=1)
    rows = table(tmp_path / "t.csv").set_index("case")
    ends = rows.groupby("outcome").groups
    assert [*ends["refused"]] == ["liver_0", "liver_3", "liver_4"]
    assert [*ends["sound"]] == ["liver_1", "liver_2", "liver_5"]
    assert rows.loc["liver_0", "check"] == "gz-truncated"
    assert rows.loc["liver_4", "check"] == "pair-incomplete"
    assert len(refusals(results)) == 3
    assert summary(results) == "6 cases: 3 sound, 0 with warnings, 3 refused"


def test_two_processes_find_what_one_finds(cases, tmp_path) -> None:
    spoil(cases, 2)
    found = [verify(cases, tmp_path / "t.csv", processes=n) for n in (1, 2)]
    plain = [
        [replace(c, seconds=0, peak_mb=0, error=None) for c in results]
        for results in found
    ]
    assert plain[0] == plain[1]
    lines = [[str(error) for error in refusals(results)] for results in found]
    assert lines[0] == lines[1]
    assert len(lines[0]) == 1


def test_one_volume_is_in_memory_at_a_time(tmp_path, monkeypatch) -> None:
    write = np.random.default_rng(0).integers(-1000, 800, (64, 64, 40), np.int16)
    labels = np.ones(write.shape, np.uint8)
    labels[20:30, 20:30] = 2
    peaks = []
    for n in (1, 5):
        for number in range(n):
            for kind, voxels in (("images", write), ("labels", labels)):
                image = nib.Nifti1Image(voxels, np.diag([-1.0, -1, 2, 1]))
                place = tmp_path / f"{n}/{kind}Tr/liver_{number}.nii"
                put(place, image.to_bytes())
        results = verify(tmp_path / str(n), tmp_path / "t.csv", processes=1)
        peaks.append(max(checked.peak_mb for checked in results))
    assert peaks[1] == pytest.approx(peaks[0], rel=0.1)


def test_what_was_done_before_an_interruption_is_in_the_table(
    tiny_cases, tmp_path, monkeypatch
) -> None:
    whole = verify_module.read_case

    def until_the_third(case):
        if case.name == "liver_2":
            raise KeyboardInterrupt
        return whole(case)

    monkeypatch.setattr(verify_module, "read_case", until_the_third)
    with pytest.raises(KeyboardInterrupt):
        verify(tiny_cases, tmp_path / "t.csv", processes=1)
    assert table(tmp_path / "t.csv")["case"].tolist() == ["liver_0", "liver_1"]


def test_a_table_that_cannot_be_written_is_said_before_anything_is_read(
    tiny_cases, tmp_path, monkeypatch
) -> None:
    read = []
    monkeypatch.setattr(verify_module, "read_case", read.append)
    with pytest.raises(StorageError):
        verify(tiny_cases, tmp_path / "nowhere/t.csv", processes=1)
    assert read == []


def test_a_folder_that_makes_no_sense_is_a_row_without_a_case(tmp_path) -> None:
    results = verify(tmp_path / "none", tmp_path / "t.csv", processes=1)
    rows = table(tmp_path / "t.csv")
    assert rows[["case", "check", "outcome"]].values.tolist() == [
        ["", "folder-missing", "refused"]
    ]
    assert summary(results) == "0 cases: 0 sound, 0 with warnings, 0 refused"
    assert len(refusals(results)) == 1


def test_no_cell_of_the_table_is_a_formula(tiny_cases, tmp_path) -> None:
    for kind in ("imagesTr", "labelsTr"):
        (tmp_path / kind).mkdir()
        shutil.copy(
            tiny_cases / kind / "liver_0.nii.gz", tmp_path / kind / "=1+1.nii.gz"
        )
    verify(tmp_path, tmp_path / "t.csv", processes=1)
    assert set(table(tmp_path / "t.csv")["case"]) == {"'=1+1"}


def test_with_strict_a_warning_is_a_refusal(tmp_path, tiny_cases) -> None:
    for kind in ("imagesTr", "labelsTr"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "a.nii.gz").symlink_to(tiny_cases / kind / "liver_0.nii.gz")
    (taken,) = verify(tmp_path, tmp_path / "t.csv", processes=1)
    assert taken.outcome == "warning"
    (refused,) = verify(tmp_path, tmp_path / "t.csv", strict=True, processes=1)
    assert refused.outcome == REFUSED
    assert [str(e) for e in refusals([refused])] == [str(w) for w in taken.warnings]


def test_millimetres_that_the_table_of_patients_denies_are_not_given(
    cases, tmp_path
) -> None:
    rows = [f"liver_{n},P{n},{'false' if n else 'true'}" for n in range(6)]
    table_of = "\n".join(["case,patient,spacing_known", *rows])
    (cases / "patients.csv").write_text(table_of)
    results = verify(cases, tmp_path / "t.csv", processes=1)
    known = ["unknown mm" not in checked.facts for checked in results]
    assert known == [True] + [False] * 5


def test_images_alone_are_looked_at_in_any_folder(tiny_cases, tmp_path) -> None:
    for number in (10, 9):
        source = tiny_cases / f"imagesTr/liver_{number - 5}.nii.gz"
        shutil.copy(source, tmp_path / f"ct_{number}.nii.gz")
    results = verify(tmp_path, tmp_path / "t.csv", images=True, processes=1)
    assert [checked.name for checked in results] == ["ct_9", "ct_10"]
    assert {checked.outcome for checked in results} == {"sound"}
    results = verify(tiny_cases, tmp_path / "t.csv", images=True, processes=1)
    assert len(results) == 6


def test_images_are_those_that_predict_takes(tiny_cases, tmp_path) -> None:
    folder = tmp_path / "lits" / "Batch 1"
    folder.mkdir(parents=True)
    for kind, name in (("images", "volume-0"), ("labels", "segmentation-0")):
        shutil.copy(tiny_cases / f"{kind}Tr/liver_0.nii.gz", folder / f"{name}.nii.gz")
    for source in (folder.parent, folder, folder / "volume-0.nii.gz"):
        (checked,) = verify(source, tmp_path / "t.csv", images=True, processes=1)
        assert (checked.name, checked.outcome) == ("volume-0", "sound")


def test_images_of_a_table_that_knows_no_spacing_have_none(cases, tmp_path) -> None:
    rows = [f"liver_{n},P{n},false" for n in range(6)]
    table_of = "\n".join(["case,patient,spacing_known", *rows])
    (cases / "patients.csv").write_text(table_of)
    for source in (cases, cases / "imagesTr"):
        results = verify(source, tmp_path / "t.csv", images=True, processes=1)
        assert all("unknown mm" in checked.facts for checked in results)


def test_a_linked_series_is_said_to_be_a_link(tmp_path) -> None:
    pytest.importorskip("SimpleITK")
    from small_dicom import hu, write_series

    write_series(tmp_path / "series", hu())
    (tmp_path / "linked").symlink_to(tmp_path / "series")
    (checked,) = verify(
        tmp_path / "linked", tmp_path / "t.csv", images=True, processes=1
    )
    assert "path-odd" in [finding.check for finding in checked.warnings]


@pytest.mark.check
def test_two_scans_of_one_patient_are_told_where_the_table_does_not(tmp_path) -> None:
    cases = make_phantoms(tmp_path / "cases", cases=8, seed=0, size=96, processes=1)
    told = pd.read_csv(cases / "patients.csv", dtype=str)
    one = told[told["patient"].duplicated(keep=False)].groupby("patient")["case"]
    pairs = {frozenset(names) for _, names in one}
    assert pairs
    assert persons_in(cases, tmp_path) == set()
    told["patient"] = told["case"]
    told.to_csv(cases / "patients.csv", index=False)
    found = persons_in(cases, tmp_path)
    assert found
    assert found <= pairs


def persons_in(cases, tmp_path) -> set[frozenset[str]]:
    """The pairs of cases that a table calls one person."""
    verify(cases, tmp_path / "t.csv", persons=True, processes=1)
    rows = table(tmp_path / "t.csv")
    rows = rows[rows["check"] == "same-person"]
    other = rows["found"].str.extract(r"looks like (\S+):")[0]
    return {frozenset(pair) for pair in zip(rows["case"], other, strict=True)}


def test_with_strict_two_who_look_alike_are_refused(
    tiny_cases, tmp_path, monkeypatch
) -> None:
    pair = {"case": "liver_1", "other": "liver_0", "score": 0.9, "by_chance": 1e-6}
    alike = pd.DataFrame([pair | {"called": True, "told": False}])
    monkeypatch.setattr(persons, "LEAST", 2)
    monkeypatch.setattr(persons, "look_alikes", lambda cases: alike)
    for strict, outcome in ((False, "warning"), (True, "refused")):
        *_, last = verify(
            tiny_cases, tmp_path / "t.csv", persons=True, strict=strict, processes=1
        )
        assert (last.name, last.outcome) == ("liver_1", outcome)
        assert len(refusals([last])) == strict


def test_too_few_cases_to_tell_persons_is_said(tiny_cases, tmp_path) -> None:
    results = verify(tiny_cases, tmp_path / "t.csv", persons=True, processes=1)
    (finding,) = results[-1].findings
    assert (finding.check, finding.found) == ("same-person", "6")


# Digests


def test_a_bit_that_no_reader_sees_is_seen_by_its_digest(tiny_cases, tmp_path) -> None:
    folder = Folder(tmp_path / "cases", tiny_cases)
    folder.plain()
    (checked,) = verify(folder.path, tmp_path / "t.csv", processes=1)
    write_digests(folder.path, checked.sources)
    (same,) = verify(folder.path, tmp_path / "t.csv", processes=1)
    assert same.outcome == checked.outcome == "sound"
    content = bytearray(folder.image.read_bytes())
    content[-100] ^= 1
    folder.image.write_bytes(content)
    (changed,) = verify(folder.path, tmp_path / "t.csv", processes=1)
    assert changed.outcome == REFUSED
    assert changed.error.finding.check == "digests"
    assert changed.error.finding.file == str(folder.image)


def test_sha256sum_reads_the_digests_whatever_the_names(tmp_path) -> None:
    names = ["a.nii", "b c.nii", "new\nline.nii", "back\\slash.nii", "Zo\u00eb.nii"]
    sources = {}
    for name in names:
        (tmp_path / name).write_text(name, encoding="utf-8")
        sources[str(tmp_path / name)] = digest(name)
    write_digests(tmp_path, sources)
    assert Digests.read(tmp_path).known == {n: digest(n) for n in names}
    assert Digests.read(tmp_path).compare(sources) == ()
    tool = shutil.which("sha256sum")
    if not tool:
        pytest.skip("no sha256sum on this system")
    ran = subprocess.run([tool, "--check", "--quiet", NAME], cwd=tmp_path, check=False)
    assert ran.returncode == 0


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def test_a_file_without_a_digest_is_a_warning(tmp_path) -> None:
    write_digests(tmp_path, {str(tmp_path / "a"): "0" * 64})
    (warning,) = Digests.read(tmp_path).compare({str(tmp_path / "b"): "1" * 64})
    assert (warning.file, warning.found) == (str(tmp_path / "b"), "no digest")


def test_digests_that_make_no_sense_are_refused(tmp_path) -> None:
    (tmp_path / NAME).write_text("no digest\n")
    with pytest.raises(InputError, match=r"another line 1.*\[digests\]"):
        Digests.read(tmp_path)
