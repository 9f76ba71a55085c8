import numpy as np
import pytest
from small_dicom import (
    ORIGIN,
    SHAPE,
    SPACING,
    hu,
    position,
    without_preamble,
    write_scaled,
    write_series,
    write_slice,
)

from mscf.data.dicom import read_series
from mscf.errors import InputError

sitk = pytest.importorskip("SimpleITK")


def refused(folder, spill, check: str) -> str:
    with pytest.raises(InputError, match=rf"\[{check}\]") as caught:
        read_series(folder, spill)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3]])
def test_slices_are_sorted_by_their_place(order, tmp_path) -> None:
    write_series(tmp_path / "ct", hu(), order)
    (tmp_path / "ct" / "notes.txt").write_text("no DICOM")
    scan = read_series(tmp_path / "ct", tmp_path)
    # DICOM's axes are L, P, S: as radiology shows a slice, lowest first.
    assert np.array_equal(scan.slices[:], hu().transpose(2, 1, 0))
    assert scan.slices.dtype == np.int16
    assert scan.header.shape == SHAPE
    assert scan.spacing == pytest.approx(SPACING)
    assert scan.spacing_known
    expected = np.diag([-0.8, -1.1, 2.5, 1.0])
    expected[:3, 3] = ORIGIN * (-1, -1, 1)
    np.testing.assert_allclose(scan.header.affine, expected, atol=1e-5)


@pytest.mark.parametrize(
    "directions",
    [
        ((-1, 0, 0), (0, 1, 0), (0, 0, -1)),  # lies on the belly, feet first
        ((-1, 0, 0), (0, -1, 0), (0, 0, 1)),
        ((0, 1, 0), (0, 0, -1), (-1, 0, 0)),  # sagittal slices
    ],
)
def test_whichever_way_it_was_scanned_the_reader_of_itk_sees_the_same_places(
    directions, tmp_path
) -> None:
    write_series(tmp_path / "ct", hu(), directions=directions)
    scan = read_series(tmp_path / "ct", tmp_path)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / "ct"))
    image = sitk.ReadImage(names)
    for index in ((0, 0, 0), (3, 5, 1), (8, 6, 4)):
        lps = image.TransformIndexToPhysicalPoint(index)
        ras = np.array([-lps[0], -lps[1], lps[2], 1])
        x, y, z = np.rint(np.linalg.inv(scan.affine) @ ras)[:3].astype(int)
        width, height = scan.shape[:2]
        assert scan.slices[z][height - 1 - y, width - 1 - x] == image[index]


def test_a_missing_slice_is_refused_with_its_place(tmp_path) -> None:
    write_series(tmp_path / "ct", hu())
    (tmp_path / "ct" / "002.dcm").unlink()
    said = refused(tmp_path / "ct", tmp_path, "dicom-gap")
    assert "5 mm from 001.dcm at 102.5 mm to 003.dcm" in said


def test_a_slice_that_comes_twice_is_refused(tmp_path) -> None:
    write_series(tmp_path / "ct", hu())
    write_slice(tmp_path / "ct" / "9.dcm", hu()[:, :, 0], position(2))
    assert "0 mm from" in refused(tmp_path / "ct", tmp_path, "dicom-gap")


def test_places_rounded_to_a_tenth_of_a_millimetre_are_accepted(tmp_path) -> None:
    for k in range(5):
        place = np.add(ORIGIN, (0, 0, round(0.625 * k, 1)))
        write_slice(tmp_path / "ct" / f"{k}.dcm", hu()[:, :, k], place)
    scan = read_series(tmp_path / "ct", tmp_path)
    assert scan.spacing[2] == pytest.approx(2.5 / 4)


def test_a_tilted_gantry_is_refused_with_its_angle(tmp_path) -> None:
    for k in range(5):
        shift = (0, k * 2.5 * np.tan(np.radians(10)), 0)
        write_slice(tmp_path / "ct" / f"{k}.dcm", hu()[:, :, k], position(k) + shift)
    said = refused(tmp_path / "ct", tmp_path, "dicom-gap")
    assert "tilted by 10.0 degrees" in said


def test_slices_of_two_sizes_or_directions_are_refused(tmp_path) -> None:
    write_series(tmp_path / "a", hu())
    write_slice(tmp_path / "a" / "9.dcm", hu()[:-1, :, 0], position(5))
    assert "9 x 7 and 8 x 7" in refused(tmp_path / "a", tmp_path, "dicom-gap")
    write_series(tmp_path / "b", hu())
    scout = ((0, 1, 0), (0, 0, -1), (-1, 0, 0))
    write_slice(tmp_path / "b" / "9.dcm", hu()[:, :, 0], position(5), scout)
    refused(tmp_path / "b", tmp_path, "dicom-gap")


def test_two_series_and_other_modalities_are_refused(tmp_path) -> None:
    write_series(tmp_path / "a", hu())
    other = {"0020_000e": "1.2.3"}
    write_slice(tmp_path / "a" / "9.dcm", hu()[:, :, 0], position(5), **other)
    refused(tmp_path / "a", tmp_path, "dicom-series")
    write_series(tmp_path / "b", hu(), **{"0008_0060": "MR"})
    refused(tmp_path / "b", tmp_path, "dicom-modality")


@pytest.mark.parametrize(
    ("modality", "tag"),
    [
        ("RTSTRUCT", b"\x08\0\x60\0CS\x08\0RTSTRUCT"),
        ("SR", b"\x08\0\x60\0\x02\0\0\0SR"),  # without the types of values
        ("SEG", b""),  # with pixels, which SimpleITK reads
    ],
)
def test_what_is_no_slice_beside_them_is_named(modality, tag, tmp_path) -> None:
    write_series(tmp_path / "a", hu())
    path = tmp_path / "a" / "9.dcm"
    if tag:
        path.write_bytes(bytes(128) + b"DICM" + tag)
    else:
        write_slice(path, hu()[:, :, 0], position(5), **{"0008_0060": modality})
    said = refused(tmp_path / "a", tmp_path, "dicom-modality")
    assert f"9.dcm: must be a slice of a CT (found: {modality}); move it out" in said


def test_a_file_cut_in_its_pixels_or_without_a_place_is_refused(tmp_path) -> None:
    write_series(tmp_path / "a", hu())
    path = tmp_path / "a" / "003.dcm"
    path.write_bytes(path.read_bytes()[:-40])
    assert "003.dcm" in refused(tmp_path / "a", tmp_path, "dicom-unreadable")
    write_series(tmp_path / "b", hu())
    path = tmp_path / "b" / "003.dcm"
    content = path.read_bytes()
    assert content.count(b"-40\\30\\") == 1
    path.write_bytes(content.replace(b"-40\\30\\", b"-40\\xy\\"))
    assert "003.dcm" in refused(tmp_path / "b", tmp_path, "dicom-unreadable")


def test_grey_values_that_are_no_hu_are_refused(tmp_path) -> None:
    write_series(tmp_path / "a", (hu() + 1000).astype(np.int16))
    refused(tmp_path / "a", tmp_path, "not-hu")


def test_without_its_reader_a_series_is_one_line(tmp_path, monkeypatch) -> None:
    write_series(tmp_path / "a", hu())
    monkeypatch.setitem(__import__("sys").modules, "SimpleITK", None)
    assert "mscf[dicom]" in refused(tmp_path / "a", tmp_path, "dicom-reader")


def turned(degrees: float) -> np.ndarray:
    """Directions of a reformat, turned about the patient's left-right axis."""
    a = np.radians(degrees)
    return np.array([(1, 0, 0), (0, np.cos(a), np.sin(a)), (0, -np.sin(a), np.cos(a))])


def test_an_oblique_reformat_is_said_and_a_steep_one_refused(tmp_path) -> None:
    """As the same volume in NIfTI is."""
    write_series(tmp_path / "a", hu(), directions=turned(20))
    (repair,) = read_series(tmp_path / "a", tmp_path).repairs
    assert (repair.check, repair.found) == ("oblique", "20.0 degrees off LPS")
    write_series(tmp_path / "b", hu(), directions=turned(43))
    assert "43.0 degrees off" in refused(tmp_path / "b", tmp_path, "oblique")


@pytest.mark.parametrize("thickness", [None, "", "0"])
def test_one_slice_that_does_not_say_how_thick_it_is_has_no_mm(
    thickness, tmp_path
) -> None:
    tags = {} if thickness is None else {"0018_0050": thickness}
    write_slice(tmp_path / "a" / "1.dcm", hu()[:, :, 0], position(0), **tags)
    scan = read_series(tmp_path / "a", tmp_path)
    assert not scan.spacing_known
    write_slice(
        tmp_path / "b" / "1.dcm", hu()[:, :, 0], position(0), **{"0018_0050": "5"}
    )
    assert read_series(tmp_path / "b", tmp_path).spacing[2] == pytest.approx(5)
    assert read_series(tmp_path / "b", tmp_path).spacing_known


def test_several_frames_in_one_file_are_refused(tmp_path) -> None:
    """As an enhanced CT has them: what places each of them stands within its frames."""
    volume = sitk.GetImageFromArray(hu().transpose(2, 1, 0))
    volume.SetMetaData("0008|0016", "1.2.840.10008.5.1.4.1.1.2.1")
    volume.SetMetaData("0008|0060", "CT")
    (tmp_path / "ct").mkdir()
    sitk.WriteImage(volume, str(tmp_path / "ct" / "1.dcm"))
    said = refused(tmp_path / "ct", tmp_path, "dicom-frames")
    assert "1.dcm: must hold one slice (found: 5 frames)" in said


def test_a_picture_in_colours_is_no_ct(tmp_path) -> None:
    write_slice(tmp_path / "a" / "1.dcm", hu()[:, :, 0], position(0))
    image = sitk.ReadImage(str(tmp_path / "a" / "1.dcm"))
    colours = sitk.Compose([sitk.Cast(sitk.Abs(image), sitk.sitkUInt8)] * 3)
    for key in image.GetMetaDataKeys():
        if key.startswith(("0008|0060", "0020|")):
            colours.SetMetaData(key, image.GetMetaData(key))
    sitk.WriteImage(colours, str(tmp_path / "a" / "1.dcm"))
    refused(tmp_path / "a", tmp_path, "dicom-unreadable")


CORONAL = ((1, 0, 0), (0, 0, -1), (0, 1, 0))
SAGITTAL = ((0, 1, 0), (0, 0, -1), (-1, 0, 0))


@pytest.mark.parametrize(
    ("directions", "found"),
    [(CORONAL, "0.8 x 2.5 mm"), (SAGITTAL, "2.5 x 0.8 mm")],
)
def test_coronal_and_sagittal_series_are_said(directions, found, tmp_path) -> None:
    """They are 0 degrees off the body's axes; their axial slices are no slices."""
    write_series(tmp_path / "ct", hu(), directions=directions)
    (repair,) = read_series(tmp_path / "ct", tmp_path).repairs
    assert (repair.check, repair.found) == ("not-axial", found)


def test_one_coronal_slice_of_unknown_thickness_says_that_alone(tmp_path) -> None:
    write_slice(tmp_path / "a" / "1.dcm", hu()[:, :, 0], position(0), CORONAL)
    (repair,) = read_series(tmp_path / "a", tmp_path).repairs
    assert repair.check == "geometry-unknown"


def test_a_scout_is_refused(tmp_path) -> None:
    """Also one of the size and direction of slices, and one among them."""
    scout = {"0008_0008": "ORIGINAL\\PRIMARY\\LOCALIZER"}
    slice_ = {"0008_0008": "ORIGINAL\\PRIMARY\\AXIAL"}
    write_series(tmp_path / "a", hu(), directions=CORONAL, **scout)
    said = refused(tmp_path / "a", tmp_path, "dicom-localizer")
    assert "ORIGINAL\\PRIMARY\\LOCALIZER" in said
    write_series(tmp_path / "b", hu(), **slice_)
    assert read_series(tmp_path / "b", tmp_path).repairs == ()
    write_slice(tmp_path / "b" / "9.dcm", hu()[:-1, :, 0], position(5), **scout)
    assert "9.dcm" in refused(tmp_path / "b", tmp_path, "dicom-localizer")


def test_files_without_the_mark_of_dicom_are_counted(tmp_path) -> None:
    """The series looks whole without its last slices."""
    write_series(tmp_path / "ct", hu())
    for name in ("003.dcm", "004.dcm"):
        without_preamble(tmp_path / "ct" / name)
    scan = read_series(tmp_path / "ct", tmp_path)
    assert len(scan.slices) == 3
    (repair,) = scan.repairs
    assert repair.check == "dicom-left-out"
    assert repair.found == "2 without the mark of one, the first 003.dcm"


def test_companions_of_a_series_are_no_lost_slices(tmp_path) -> None:
    write_series(tmp_path / "ct", hu())
    for name in (
        "a.csv", "a.TXT", "a.json", "a.xml", "a.nii", "a.nii.gz", "DICOMDIR", ".hidden"
    ):  # fmt: skip
        (tmp_path / "ct" / name).write_text("no DICOM")
    (tmp_path / "ct" / "a folder").mkdir()
    assert read_series(tmp_path / "ct", tmp_path).repairs == ()


def test_one_slice_aside_of_the_others_is_refused(tmp_path) -> None:
    for k in range(5):
        aside = (0, 20 * (k == 2), 0)
        write_slice(tmp_path / "ct" / f"{k}.dcm", hu()[:, :, k], position(k) + aside)
    said = refused(tmp_path / "ct", tmp_path, "dicom-gap")
    assert "2.dcm 20.0 mm aside of 0.dcm" in said


def test_steps_that_change_half_way_are_refused(tmp_path) -> None:
    """Each is near the usual one, yet the slices lie on no even grid."""
    places = np.cumsum([0, *[5] * 6, *[5.9] * 5])
    for k, place in enumerate(places):
        where = np.add(ORIGIN, (0, 0, place))
        write_slice(tmp_path / "ct" / f"{k:02}.dcm", hu()[:, :, k % 5], where)
    said = refused(tmp_path / "ct", tmp_path, "dicom-gap")
    assert "every 5.40909 mm" in said
    assert "06.dcm 2.5 mm from its place" in said


@pytest.mark.parametrize("first", [0, 4])
def test_hu_of_a_slice_with_a_broken_slope_are_kept(first, tmp_path) -> None:
    """Whichever slice comes first; towards zero, -0.75 would become 0."""
    stored = hu()
    for k in range(5):
        path = tmp_path / "ct" / f"{k}.dcm"
        if k == first:
            write_slice(path, stored[:, :, k], position(k))
        else:
            write_scaled(path, stored[:, :, k], 0.75, position(k))
    scan = read_series(tmp_path / "ct", tmp_path)
    expected = stored * np.where(np.arange(5) == first, 1, 0.75)
    assert np.array_equal(scan.slices[:], expected.transpose(2, 1, 0))
    assert scan.header.nifti.get_data_dtype() == scan.slices.dtype
