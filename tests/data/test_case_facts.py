import math

import nibabel as nib
import numpy as np
import pytest

from mscf.data.cases import find_cases
from mscf.data.exploration import BINS, case_facts, explore, numbered
from mscf.errors import InputError, SettingsError

AFFINE = np.diag([2.0, 1.0, 5.0, 1.0])


def write_case(folder, number: int, hu, labels, affine=AFFINE) -> None:
    for name, values in (("imagesTr", hu), ("labelsTr", labels)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        image = nib.Nifti1Image(values, affine)
        image.header.set_xyzt_units("mm")
        nib.save(image, folder / name / f"liver_{number}.nii.gz")


def a_case() -> tuple[np.ndarray, np.ndarray]:
    """A liver of 100 HU in fat and air, with lesions of 40 and of 130 HU."""
    hu = np.full((16, 16, 6), -1000, np.int16)
    hu[2:14, 2:14] = -100
    labels = np.zeros(hu.shape, np.uint8)
    labels[4:12, 4:12, 1:5] = 1
    labels[5:7, 5:7, 1:3] = 2
    labels[9:11, 9:11, 3] = 2
    hu[labels == 1] = 100
    hu[5:7, 5:7, 1:3] = 40
    hu[9:11, 9:11, 3] = 130
    return hu, labels


def test_lesions_are_counted_and_measured_in_mm_and_hu(tmp_path) -> None:
    write_case(tmp_path, 7, *a_case())
    (case,) = find_cases(tmp_path)
    found = case_facts(case)
    assert found.facts["lesions"] == 2
    assert found.facts["slices"] == 6
    assert found.facts["tumour_slices"] == 3
    assert found.facts["pixel_mm"] == 1.0  # a row, front to back
    assert found.facts["pixel"] == (1.0, 2.0)
    assert found.facts["thickness_mm"] == 5.0
    assert found.facts["liver_ml"] == pytest.approx(8 * 8 * 4 * 10 / 1000)
    assert found.facts["tumour_ml"] == pytest.approx(12 * 10 / 1000)
    dark, bright = sorted(found.lesions, key=lambda lesion: lesion["mean_hu"])
    assert (dark["mean_hu"], dark["contrast_hu"]) == (40, -60)
    assert (bright["mean_hu"], bright["contrast_hu"]) == (130, 30)
    assert dark["volume_ml"] == pytest.approx(0.08)
    # The ball of 80 mm3.
    assert dark["diameter_mm"] == pytest.approx((6 * 80 / math.pi) ** (1 / 3))


def test_a_tilted_gantry_gives_no_more_millilitres(tmp_path) -> None:
    """A sheared voxel is as large as an upright one on the same base."""
    tilted = AFFINE.copy()
    tilted[1, 2] = 5 * math.tan(math.radians(20))
    write_case(tmp_path, 7, *a_case(), affine=tilted)
    facts = case_facts(find_cases(tmp_path)[0]).facts
    assert facts["liver_ml"] == pytest.approx(8 * 8 * 4 * 10 / 1000)


def test_the_slice_shown_is_that_with_most_tumour(tmp_path) -> None:
    hu, labels = a_case()
    labels[5:9, 5:9, 4] = 2
    write_case(tmp_path, 0, hu, labels)
    found = case_facts(find_cases(tmp_path)[0])
    np.testing.assert_array_equal(found.labels, labels[::-1, ::-1, 4].T)
    np.testing.assert_array_equal(found.hu, hu[::-1, ::-1, 4].T)


def test_histograms_are_counts_of_each_tissue_over_all_cases(tmp_path) -> None:
    for number in range(3):
        write_case(tmp_path, number, *a_case())
    found = explore(find_cases(tmp_path), processes=1)
    assert found.histogram["tumour"].sum() == 3 * 12
    at = BINS[np.searchsorted(BINS, 100, side="right") - 1]
    assert found.histogram.loc[at, "liver"] == 3 * (8 * 8 * 4 - 12)
    assert found.histogram["body"].sum() == 3 * 12 * 12 * 6  # no air
    assert list(found.cases["case"]) == ["liver_0", "liver_1", "liver_2"]
    assert len(found.lesions) == 6
    assert [name for name, *_ in found.slices] == list(found.cases["case"])


def test_a_case_without_tumour_shows_its_liver_and_has_no_lesion(tmp_path) -> None:
    hu, labels = a_case()
    labels[labels == 2] = 1
    labels[4:12, 4:12, 4] = 0
    labels[3:13, 3:13, 2] = 1
    write_case(tmp_path, 0, hu, labels)
    found = explore(find_cases(tmp_path), processes=1)
    assert found.cases.loc[0, "lesions"] == 0
    assert found.lesions.empty
    assert (found.slices[0][2] > 0).sum() == 100


def test_a_volume_without_any_label_is_measured_all_the_same(tmp_path) -> None:
    hu, labels = a_case()
    write_case(tmp_path, 0, hu, 0 * labels)
    found = case_facts(find_cases(tmp_path)[0])
    assert math.isnan(found.facts["liver_hu"])
    assert found.facts["liver_ml"] == 0


def test_without_a_known_spacing_there_are_no_millimetres(tmp_path) -> None:
    write_case(tmp_path, 0, *a_case())
    (tmp_path / "patients.csv").write_text(
        "case,patient,spacing_known\nliver_0,P,false\n"
    )
    found = explore(find_cases(tmp_path), processes=1)
    assert found.cases[["pixel_mm", "thickness_mm", "liver_ml"]].isna().all(axis=None)
    assert found.lesions[["volume_ml", "diameter_mm"]].isna().all(axis=None)
    assert found.lesions["contrast_hu"].notna().all()


def test_a_case_that_prepare_would_refuse_is_refused(tmp_path) -> None:
    hu, labels = a_case()
    write_case(tmp_path, 0, hu, 3 * labels)
    with pytest.raises(InputError, match="liver_0"):
        explore(find_cases(tmp_path), processes=1)


@pytest.mark.parametrize("number", [-1, 2])
def test_a_case_that_is_not_there_is_named_with_the_range(number) -> None:
    with pytest.raises(SettingsError, match=r"must be from 0 to 1 .*\[case\]"):
        numbered(["one", "other"], number)
