import gzip
import hashlib
import itertools
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mscf.data.cases import Case
from mscf.data.nifti import promised_slices, read_nifti
from mscf.data.opened_file import opened
from mscf.data.volume import as_slices, read_labels, read_volume
from mscf.data.whole_case import read_case
from mscf.errors import InputError

FINITE = pytest.mark.claim(
    "numbers", "voxels and labels that are not finite are refused with their place"
)

SHAPE = (10, 12, 6)
AFFINE = np.array([[0.8, 0, 0, -10], [0, 0.9, 0, 20], [0, 0, 2.5, 30], [0, 0, 0, 1.0]])


def hu(seed=0, shape=SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1000, 1000, shape).astype(np.int16)


def write(path, voxels, affine=AFFINE, **header):
    image = nib.Nifti1Image(voxels, affine)
    for name, value in header.items():
        image.header[name] = value
    content = image.to_bytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def refused(path, check):
    with pytest.raises(InputError, match=rf"\[{check}\]") as caught:
        read_volume(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_voxels_come_in_ras_order_with_their_spacing(tmp_path) -> None:
    volume = read_volume(write(tmp_path / "a.nii.gz", hu()))
    assert np.array_equal(volume.voxels, hu())
    assert volume.voxels.dtype == np.int16
    assert volume.spacing == pytest.approx((0.8, 0.9, 2.5))
    assert volume.spacing_known


@pytest.mark.parametrize(
    "codes",
    [
        "".join(c)
        for axes in itertools.permutations(("LR", "PA", "IS"))
        for c in itertools.product(*axes)
    ],
)
def test_all_48_orientations_give_the_same_volume_and_labels(codes, tmp_path) -> None:
    labels = (hu(1) > 500).astype(np.uint8)
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(codes)
    )
    for name, voxels in (("image", hu()), ("label", labels)):
        nib.save(
            nib.Nifti1Image(voxels, AFFINE).as_reoriented(turn),
            tmp_path / f"{name}.nii",
        )
    volume = read_volume(tmp_path / "image.nii")
    assert np.array_equal(volume.voxels, hu())
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-5)
    assert np.array_equal(read_labels(tmp_path / "label.nii", volume)[0], labels)


def test_a_slice_is_shown_as_radiology_shows_it() -> None:
    voxels = np.zeros(SHAPE)
    voxels[-1, -1, 3] = 1  # right, front
    voxels[0, -1, 3] = 2  # left, front
    voxels[-1, 0, 3] = 3  # right, back
    slices = as_slices(voxels)
    assert slices.shape == (6, 12, 10)
    assert (slices[3, 0, 0], slices[3, 0, -1], slices[3, -1, 0]) == (1, 2, 3)


def test_slope_and_offset_are_applied(tmp_path) -> None:
    stored = (hu() + 1024).astype(np.int16)
    path = write(tmp_path / "a.nii", stored, scl_slope=1, scl_inter=-1024)
    assert np.array_equal(read_volume(path).voxels, hu())


@pytest.mark.parametrize("missing", [4, 64, 0.5])
def test_a_truncated_gzip_is_refused(missing, tmp_path) -> None:
    path = write(tmp_path / "a.nii.gz", hu())
    whole = path.read_bytes()
    cut = missing if missing >= 1 else int(len(whole) * missing)
    path.write_bytes(whole[:-cut])
    refused(path, "gz-truncated")


@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_changes_nothing(
    where, bit, tmp_path_factory
) -> None:
    path = tmp_path_factory.mktemp("bit") / "a.nii.gz"
    content = bytes(range(256)) * 64
    packed = bytearray(gzip.compress(content, mtime=0))
    at = int(where * len(packed))
    packed[at] ^= 1 << bit
    path.write_bytes(packed)
    try:
        with opened(path) as file:
            read = file.stream.read()
    except InputError:
        return
    assert read == content
    # Time and system in the header, and what fills up the last byte, carry no data.
    assert at < 10 or at == len(packed) - 9


def test_a_flipped_bit_of_a_volume_is_refused(tmp_path) -> None:
    path = write(tmp_path / "a.nii.gz", hu())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    refused(path, "gz-corrupt")


def test_what_is_not_what_its_name_says_is_refused(tmp_path) -> None:
    plain, packed = write(tmp_path / "a.nii", hu()), write(tmp_path / "b.nii.gz", hu())
    refused(plain.rename(tmp_path / "c.nii.gz"), "gz-mismatch")
    refused(packed.rename(tmp_path / "d.nii"), "gz-mismatch")


@pytest.mark.parametrize("left", [-1, 400])
def test_a_short_file_is_refused(left, tmp_path) -> None:
    path = write(tmp_path / "a.nii", hu())
    path.write_bytes(path.read_bytes()[:left])
    refused(path, "file-short")
    packed = tmp_path / "b.nii.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    refused(packed, "file-short")


@pytest.mark.parametrize("content", [b"", b"<html>404</html>" * 40, b"\0" * 400])
def test_what_is_no_nifti_is_refused(content, tmp_path) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(content)
    refused(path, "not-nifti")


@pytest.mark.parametrize("shape", [(6, 6, 4, 2), (6, 6, 4, 5), (6, 6, 4, 1, 3)])
def test_more_than_three_axes_are_refused(shape, tmp_path) -> None:
    refused(write(tmp_path / "a.nii", hu(shape=shape)), "four-d")


def test_a_last_axis_of_one_is_no_axis(tmp_path) -> None:
    path = write(tmp_path / "a.nii", hu()[..., None])
    assert np.array_equal(read_volume(path).voxels, hu())


@FINITE
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_not_finite_are_refused_with_their_place(
    value, tmp_path
) -> None:
    voxels = hu().astype(np.float32)
    voxels[3, 4, 5] = voxels[8, 8, 5] = value
    path = write(tmp_path / "a.nii.gz", voxels)
    with pytest.raises(InputError, match=r"2 that are not, the first at \(3, 4, 5\)"):
        read_volume(path)


@pytest.mark.parametrize("values", [[0, 0], [-1024, -1024], [0, 70]])
def test_an_image_of_nothing_is_refused(values, tmp_path) -> None:
    voxels = np.array(values, np.int16)[np.arange(720).reshape(SHAPE) % 2]
    refused(write(tmp_path / "a.nii", voxels), "constant")


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [
        (0, 255, np.uint8), (-128, 127, np.int8), (0, 3000, np.uint16),  # pictures
        (0, 255, np.int16), (0, 255, np.float32), (0, 1, np.float32),
        (-1, 1, np.float32), (-3, 3, np.float64),  # normalised
        (-1000, 40_000, np.int32), (-1e303, 1e303, np.float64),  # beyond int16
    ],
)  # fmt: skip
def test_what_is_not_in_hounsfield_units_is_refused(low, high, dtype, tmp_path) -> None:
    voxels = np.random.default_rng(0).random(SHAPE) * (high - low) + low
    refused(write(tmp_path / "a.nii", voxels.astype(dtype)), "not-hu")


def body(air: int, outside: int | None = None) -> np.ndarray:
    """A body of 40 HU with a few bones in noisy air, all ``air + 1000`` higher."""
    voxels = np.random.default_rng(0).normal(air + 25, 5, (40, 40, 6))
    voxels[8:30, 8:30] += 1015
    voxels[18:21, 10:13] += 700
    if outside is not None:  # of the scanner's round field of view
        voxels[:6, :6] = outside
    return voxels.round()


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float32])
@pytest.mark.parametrize(("air", "outside"), [(0, None), (24, None), (0, -1000)])
def test_hounsfield_units_plus_1024_are_refused_with_what_to_do(
    dtype, air, outside, tmp_path
) -> None:
    if dtype == np.uint16 and outside is not None:
        pytest.skip("nothing below zero in this type")
    path = write(tmp_path / "a.nii", body(air, outside).astype(dtype))
    refused(path, "not-hu")
    with pytest.raises(InputError, match="subtract 1024"):
        read_volume(path)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize("offset", [1000, 1024])
def test_an_offset_subtracted_twice_is_refused_with_what_to_do(
    offset, dtype, tmp_path
) -> None:
    path = write(tmp_path / "a.nii", body(-1000 - offset).astype(dtype))
    refused(path, "not-hu")
    with pytest.raises(InputError, match="was 1024 subtracted twice"):
        read_volume(path)


def test_a_small_body_in_much_air_passes(tmp_path) -> None:
    voxels = np.random.default_rng(0).normal(-1000, 5, (100, 100, 6)).round()
    voxels[45:60, 45:60] += 1040  # 2 %
    read_volume(write(tmp_path / "a.nii", voxels.astype(np.int16)))


@pytest.mark.parametrize("outside", [None, -2000])
@pytest.mark.parametrize("window", [(-3000, 3000), (-160, 240), (-40, 160)])
def test_hounsfield_units_pass_whole_or_cut_to_a_window(
    window, outside, tmp_path
) -> None:
    voxels = body(-1000, outside).clip(*window).astype(np.int16)
    read_volume(write(tmp_path / "a.nii", voxels))


@pytest.mark.shared
@pytest.mark.parametrize("name", ["lits_excerpt/imagesTr/liver_43", "ircad01/volume"])
def test_a_real_scan_passes_and_is_refused_1024_higher_or_lower(name, tmp_path) -> None:
    path = Path(__file__).parents[3] / f"shared/data/{name}.nii.gz"
    if not path.is_file():
        pytest.skip("the founders' data are not beside the project")
    voxels = read_volume(path).voxels
    for offset in np.int16([1024, -1024]):
        refused(write(tmp_path / "a.nii", voxels + offset), "not-hu")


def test_a_scale_beyond_all_numbers_is_refused_without_a_warning(
    tmp_path, recwarn
) -> None:
    path = write(tmp_path / "a.nii", hu())
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([1e38, 0], "<f4").tobytes()  # scl_slope, scl_inter
    path.write_bytes(content)
    refused(path, "nonfinite")
    assert not recwarn.list


@pytest.mark.parametrize("codes", ["RAS", "SLP", "AIR"])
def test_slices_are_counted_from_the_header_alone(codes, tmp_path) -> None:
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(codes)
    )
    path = tmp_path / "a.nii.gz"
    nib.save(nib.Nifti1Image(hu(), AFFINE).as_reoriented(turn), path)
    assert promised_slices(path) == 6
    path.write_bytes(path.read_bytes()[:100])
    assert promised_slices(path) == 0


def test_an_rgb_image_is_refused(tmp_path) -> None:
    rgb = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    refused(write(tmp_path / "a.nii", rgb), "voxel-type")


def test_a_singular_affine_is_refused(tmp_path) -> None:
    path = tmp_path / "a.nii"
    image = nib.Nifti1Image(hu(), AFFINE)
    image.header["srow_x"] = image.header["srow_y"]
    content = bytearray(image.to_bytes())
    content[280:296] = content[296:312]  # srow_x becomes srow_y
    path.write_bytes(content)
    refused(path, "geometry-invalid")


def test_a_file_that_does_not_say_where_it_lies_has_no_millimetres(tmp_path) -> None:
    path = tmp_path / "a.nii"
    image = nib.Nifti1Image(hu(), None)
    nib.save(image, path)
    volume = read_volume(path)
    assert not volume.spacing_known
    assert [repair.check for repair in volume.repairs] == ["geometry-unknown"]


# Labels


@pytest.fixture
def volume(tmp_path):
    return read_volume(write(tmp_path / "image.nii.gz", hu()))


LABELS = np.random.default_rng(2).integers(0, 3, SHAPE)


def test_labels_of_any_type_are_read(volume, tmp_path) -> None:
    for dtype in (np.uint8, np.int16, np.float32, np.float64):
        path = write(tmp_path / "label.nii.gz", LABELS.astype(dtype))
        read, sha256, _ = read_labels(path, volume)
        assert read.dtype == np.uint8
        assert np.array_equal(read, LABELS)
        assert len(sha256) == 64


def test_labels_stored_as_scaled_floats_are_rounded(volume, tmp_path) -> None:
    image = nib.Nifti1Image(LABELS.astype(np.float64), AFFINE)
    image.set_data_dtype(np.uint8)  # nibabel picks a slope of 2 / 255
    nib.save(image, tmp_path / "label.nii")
    assert np.array_equal(read_labels(tmp_path / "label.nii", volume)[0], LABELS)


@pytest.mark.parametrize(
    ("value", "found"), [(3, "3 in 2"), (-1, "-1 in 2"), (0.5, "0.5 in 2")]
)
def test_other_labels_are_refused_with_value_and_count(
    value, found, volume, tmp_path
) -> None:
    labels = LABELS.astype(np.float32)
    labels[1, 1, [1, 4]] = value
    path = write(tmp_path / "label.nii", labels)
    with pytest.raises(InputError, match=rf"found: {found} .*\[label-values\]"):
        read_labels(path, volume)


def test_labels_beyond_every_other_type_are_refused_with_their_value(
    volume, tmp_path
) -> None:
    labels = LABELS.astype(np.float64)
    labels[1, 1, 1] = 1e300
    with pytest.raises(InputError, match=r"found: 1e\+300 in 1 .*\[label-values\]"):
        read_labels(write(tmp_path / "label.nii", labels), volume)


def test_a_case_of_long_numbers_takes_twice_the_memory_of_a_file(tmp_path) -> None:
    shape = (64, 64, 80)  # deep, as whole planes are looked at
    image = write(tmp_path / "image.nii", hu(shape=shape).astype(np.float64))
    labels = np.random.default_rng(2).integers(0, 3, shape).astype(np.float64)
    case = Case("a", image, write(tmp_path / "label.nii", labels), "a")
    assert read_nifti(image)[1].dtype == np.float32
    read_case(case)  # imports what it needs
    tracemalloc.start()
    read_case(case)
    peak = tracemalloc.get_traced_memory()[1] / np.prod(shape)
    tracemalloc.stop()
    assert peak < 20  # bytes a voxel: 8 of a file, 4 of each as float32


@FINITE
def test_labels_that_are_not_finite_are_refused(volume, tmp_path) -> None:
    labels = LABELS.astype(np.float32)
    labels[1, 1, 1] = np.nan
    with pytest.raises(InputError, match=r"\[nonfinite\]"):
        read_labels(write(tmp_path / "label.nii", labels), volume)


@pytest.mark.parametrize(
    "labels", [LABELS[..., :-1], LABELS.transpose(1, 0, 2), LABELS[::2, ::2, ::2]]
)
def test_labels_of_another_shape_are_refused(labels, volume, tmp_path) -> None:
    path = write(tmp_path / "label.nii", labels.astype(np.uint8))
    with pytest.raises(InputError, match=r"\(10, 12, 6\).*\[shape-mismatch\]"):
        read_labels(path, volume)


def test_labels_that_lie_elsewhere_are_refused(volume, tmp_path) -> None:
    flipped, moved = AFFINE @ np.diag([1, -1, 1, 1]), AFFINE.copy()
    moved[0, 3] += 50
    for affine in (flipped, moved, AFFINE @ np.diag([2, 2, 1, 1])):
        path = write(tmp_path / "label.nii", LABELS.astype(np.uint8), affine)
        with pytest.raises(InputError, match=r"\[affine-mismatch\]"):
            read_labels(path, volume)


def test_a_drift_below_half_a_voxel_is_taken(volume, tmp_path) -> None:
    near = AFFINE.copy()
    near[0, 3] += 0.2 * 0.8
    path = write(tmp_path / "label.nii", LABELS.astype(np.uint8), near)
    assert np.array_equal(read_labels(path, volume)[0], LABELS)


# What follows the voxels


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_zeros_behind_the_voxels_are_left_out_with_a_word(name, tmp_path) -> None:
    content = write(tmp_path / "b.nii", hu()).read_bytes() + bytes(1000)
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    volume = read_volume(path)
    assert np.array_equal(volume.voxels, hu())
    assert [r.found for r in volume.repairs] == ["1,000 zeros behind them"]
    assert volume.spacing_known


@pytest.mark.parametrize(
    "rest", [b"\1", bytes(2**20 + 1), gzip.compress(b"more", mtime=0)]
)
def test_other_or_many_bytes_behind_the_voxels_are_refused(rest, tmp_path) -> None:
    path = write(tmp_path / "a.nii", hu())
    path.write_bytes(path.read_bytes() + rest)
    refused(path, "file-long")
    packed = tmp_path / "b.nii.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    refused(packed, "file-long")


def test_a_second_member_of_zeros_is_read_as_what_follows(tmp_path) -> None:
    path = write(tmp_path / "a.nii.gz", hu())
    path.write_bytes(path.read_bytes() + gzip.compress(bytes(10)))
    assert [r.check for r in read_volume(path).repairs] == ["file-long"]
    path.write_bytes(path.read_bytes() + gzip.compress(b"text"))
    refused(path, "file-long")


def test_the_digest_is_that_of_the_file(tmp_path) -> None:
    for name in ("a.nii", "b.nii.gz"):
        path = write(tmp_path / name, hu())
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert read_volume(path).sha256 == digest
