"""What is said of a place that is doubtful, in degrees, mm and voxels."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from small_folder import nifti_bytes

from mscf.data.geometry import orientation_on
from mscf.data.volume import read_labels, read_volume
from mscf.errors import InputError

AFFINE = np.diag([-0.8, -0.9, 2.5, 1.0])
HU = np.random.default_rng(0).integers(-1000, 1000, (10, 12, 6)).astype(np.int16)
LABELS = (HU > 500).astype(np.uint8)


def turned(degrees: float) -> np.ndarray:
    """About the axis from right to left, in mm."""
    matrix = np.eye(4)
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix[1:3, 1:3] = [[c, -s], [s, c]]
    return matrix


def write(path: Path, voxels, affine=AFFINE, **how) -> Path:
    path.write_bytes(nifti_bytes(voxels, affine, **how))
    return path


def said(path: Path) -> list[tuple[str, str]]:
    return [(repair.check, repair.found) for repair in read_volume(path).repairs]


@pytest.mark.parametrize("degrees", [1, 5, -30])
def test_an_oblique_file_says_its_angle(degrees, tmp_path) -> None:
    path = write(tmp_path / "a.nii", HU, turned(degrees) @ AFFINE)
    assert said(path) == [("oblique", f"{abs(degrees):.1f} degrees off LPS")]


@pytest.mark.parametrize(
    ("degrees", "found"),
    [(0.9, "0.9 degrees off LPS"), (1.1, "1.1 degrees off LPS, sheared")],
)
def test_a_tilted_gantry_is_said_to_have_no_mm_across_slices(
    degrees, found, tmp_path
) -> None:
    tilted = AFFINE.copy()
    tilted[1, 2] = 2.5 * np.tan(np.radians(degrees))
    path = write(tmp_path / "a.nii", HU, tilted, qform_code=0)  # which cannot shear
    (repair,) = read_volume(path).repairs
    assert (repair.check, repair.found) == ("oblique", found)
    assert ("mm across them are left out" in repair.todo) == ("sheared" in found)


@pytest.mark.parametrize("degrees", [41, 45, 49])
def test_between_two_axes_a_file_is_refused(degrees, tmp_path) -> None:
    path = write(tmp_path / "a.nii", HU, turned(degrees) @ AFFINE)
    with pytest.raises(InputError, match=r"within 40 degrees.*\[oblique\]"):
        read_volume(path)


def test_a_tenth_of_a_degree_is_straight(tmp_path) -> None:
    assert said(write(tmp_path / "a.nii", HU, turned(0.09) @ AFFINE)) == []


def test_two_places_say_how_far_they_are_apart(tmp_path) -> None:
    other = turned(5) @ AFFINE
    other[0, 3] += 30
    found = said(write(tmp_path / "a.nii", HU, qform=other))
    assert found == [("geometry-disagree", "5.0 degrees and 30.0 mm apart")]


def test_a_place_said_in_float32_and_by_a_quaternion_is_one_place(tmp_path) -> None:
    affine = turned(17.3) @ AFFINE
    affine[:3, 3] = -312.5, 287.3, -1204.8
    checks = [check for check, _ in said(write(tmp_path / "a.nii", HU, affine))]
    assert checks == ["oblique"]


def test_a_second_place_that_makes_no_sense_is_said(tmp_path) -> None:
    path = write(tmp_path / "a.nii", HU, qoffset_x=np.nan)
    assert said(path) == [("geometry-disagree", "a qform that makes no sense")]


def test_a_drift_is_said_in_voxels(tmp_path) -> None:
    volume = read_volume(write(tmp_path / "image.nii", HU))
    moved = AFFINE.copy()
    moved[2, 3] += 0.3 * 2.5
    path = write(tmp_path / "label.nii", LABELS, moved)
    _, _, (repair,) = read_labels(path, volume)
    assert (repair.check, repair.found) == ("affine-drift", "up to 0.300 voxels away")


@pytest.mark.parametrize("codes", ["RAS", "SLP", "PIR"])
def test_labels_without_a_place_lie_as_the_file_of_their_image(codes, tmp_path) -> None:
    ornt = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(AFFINE), nib.orientations.axcodes2ornt(codes)
    )
    for name, voxels in (("image", HU), ("label", LABELS)):
        stored = nib.Nifti1Image(voxels, AFFINE).as_reoriented(ornt)
        how = {"sform_code": 0, "qform_code": 0} if name == "label" else {}
        array = np.asarray(stored.dataobj)
        write(tmp_path / f"{name}.nii", array, stored.affine, **how)
    volume = read_volume(tmp_path / "image.nii")
    labels, _, (repair,) = read_labels(tmp_path / "label.nii", volume)
    assert np.array_equal(labels, volume.voxels > 500)
    assert (repair.check, repair.found) == ("affine-drift", "no place of its own")


def test_where_neither_says_its_place_there_is_nothing_to_compare(tmp_path) -> None:
    how = {"sform_code": 0, "qform_code": 0}
    volume = read_volume(write(tmp_path / "image.nii", HU, **how))
    assert not volume.spacing_known
    path = write(tmp_path / "label.nii", LABELS, **how)
    assert read_labels(path, volume)[2] == ()


def test_a_grid_is_asked_for_by_name(tmp_path) -> None:
    from mscf.data.nifti import read_nifti

    volume = read_volume(write(tmp_path / "image.nii", HU))
    header, *_ = read_nifti(write(tmp_path / "label.nii", LABELS[:-1]))
    with pytest.raises(InputError, match=r"the truth's shape \(10, 12, 6\)"):
        orientation_on(volume, header, tmp_path / "label.nii", of="truth")


@pytest.mark.parametrize(
    ("spacing", "found"),
    [((0.8, 3, 0.8), "0.8 x 3 mm"), ((3, 0.8, 0.8), "3 x 0.8 mm")],
)
@pytest.mark.parametrize("codes", ["RAS", "LPS", "SRP", "PIR"])
def test_coronal_and_sagittal_slices_are_said(spacing, found, codes, tmp_path) -> None:
    """Also where they are exactly so, and no axis is a tenth of a degree off."""
    ornt = nib.orientations.axcodes2ornt(codes)
    image = nib.Nifti1Image(HU, np.diag([*spacing, 1.0])).as_reoriented(
        nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), ornt)
    )
    path = write(tmp_path / "a.nii", np.asarray(image.dataobj), image.affine)
    assert said(path) == [("not-axial", found)]


@pytest.mark.parametrize("spacing", [(1, 1.49, 5), (0.7, 0.7, 0.1), (1.49, 1, 1)])
def test_nearly_square_pixels_are_axial_however_thick(spacing, tmp_path) -> None:
    assert said(write(tmp_path / "a.nii", HU, np.diag([*spacing, 1.0]))) == []


def test_without_known_sizes_nothing_is_said_of_the_pixels(tmp_path) -> None:
    how = {"sform_code": 0, "qform_code": 0}
    path = write(tmp_path / "a.nii", HU, np.diag([0.8, 3, 0.8, 1]), **how)
    assert [check for check, _ in said(path)] == ["geometry-unknown"]


UNITS = [(1, "metres", 1e-3), (3, "micrometres", 1e3)]


@pytest.mark.parametrize(("code", "name", "unit"), UNITS)
@pytest.mark.parametrize("codes", [{}, {"sform_code": 0}, {"qform_code": 0}])
def test_other_lengths_than_millimetres_become_them(
    code, name, unit, codes, tmp_path
) -> None:
    """And both places, in one unit, still are one place."""
    affine = AFFINE.copy()
    affine[:3, 3] = 12, -30, 70
    in_units = np.diag([unit, unit, unit, 1]) @ affine
    path = write(tmp_path / "a.nii", HU, in_units, xyzt_units=code + 8, **codes)
    volume = read_volume(path)
    (repair,) = volume.repairs
    assert (repair.check, repair.found) == ("units", name)
    assert "0.8 x 0.9 x 2.5 mm" in str(repair)
    assert volume.spacing == pytest.approx((0.8, 0.9, 2.5))
    assert volume.voxel_ml == pytest.approx(0.8 * 0.9 * 2.5 / 1000)
    expected = read_volume(write(tmp_path / "b.nii", HU, affine)).affine
    np.testing.assert_allclose(volume.affine, expected, rtol=1e-5)  # float32 fields


@pytest.mark.parametrize("code", [0, 2, 4, 7, 10, 16])
def test_units_that_are_mm_or_not_said_are_mm(code, tmp_path) -> None:
    path = write(tmp_path / "a.nii", HU, xyzt_units=code)
    assert said(path) == []
    assert read_volume(path).spacing == pytest.approx((0.8, 0.9, 2.5))


def test_a_disagreement_in_metres_is_told_in_mm(tmp_path) -> None:
    other = turned(5) @ AFFINE
    other[0, 3] += 30
    metres = np.diag([1e-3, 1e-3, 1e-3, 1])
    path = write(
        tmp_path / "a.nii", HU, metres @ AFFINE, qform=metres @ other, xyzt_units=1
    )
    expected = ("geometry-disagree", "5.0 degrees and 30.0 mm apart")
    assert said(path) == [("units", "metres"), expected]


def test_labels_in_mm_lie_on_their_image_in_metres(tmp_path) -> None:
    metres = np.diag([1e-3, 1e-3, 1e-3, 1]) @ AFFINE
    image = read_volume(write(tmp_path / "image.nii", HU, metres, xyzt_units=1))
    labels, _, repairs = read_labels(write(tmp_path / "label.nii", LABELS), image)
    assert np.array_equal(labels, image.voxels > 500)
    assert repairs == ()
    image = read_volume(tmp_path / "image.nii")
    path = write(tmp_path / "label.nii", LABELS, metres)  # metres, called mm
    with pytest.raises(InputError, match=r"\[affine-mismatch\]"):
        read_labels(path, image)
