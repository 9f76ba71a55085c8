"""Lesions of known size, place and grey value, measured."""

import math

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, label

from mscf.data.geometry import UNKNOWN
from mscf.data.scan import Scan, SliceFile
from mscf.errors import Finding
from mscf.inference.lesions import find_regions
from mscf.inference.measures import measure
from mscf.inference.surroundings import FAR, NEAR

SPACING = (0.9, 1.3, 2.0)  # mm along X, Y, Z
SHAPE = (120, 90, 48)
AFFINE = np.diag([*SPACING, 1.0])
LIVER_HU, NOISE = 105, 15
# Centre and half axes in mm, HU less than the liver's.
KNOWN = [
    ((34, 40, 40), (16, 12, 14), -40),
    ((72, 60, 46), (10, 14, 11), -25),
    ((75, 28, 60), (9, 9, 9), 30),
]


def coordinates(spacing=SPACING, shape=SHAPE) -> list[np.ndarray]:
    """Millimetres of each voxel's centre along X, Y, Z."""
    return np.meshgrid(
        *(n * (np.arange(m) + 0.5) for n, m in zip(spacing, shape, strict=True)),
        indexing="ij",
    )


def ball(centre, axes, spacing=SPACING, shape=SHAPE) -> np.ndarray:
    places = coordinates(spacing, shape)
    return (
        sum(
            ((place - c) / a) ** 2
            for place, c, a in zip(places, centre, axes, strict=True)
        )
        <= 1
    )


def as_slices(voxels: np.ndarray, folder, dtype=np.uint8) -> SliceFile:
    """``(X, Y, Z)`` in RAS order as the slices of a `Scan`."""
    slices = SliceFile(folder, voxels.shape[::-1], dtype)
    slices[:] = voxels[::-1, ::-1].transpose(2, 1, 0)
    return slices


def measured(hu, lesions, folder, liver=None, affine=AFFINE, repairs=()):
    """The lesions of a mask on a CT whose header is not asked for."""
    slices, mask = as_slices(hu, folder, np.int16), as_slices(2 * lesions, folder)
    scan = Scan(slices, None, affine, None, repairs)
    stored = None if liver is None else as_slices(liver, folder)
    return measure("a", scan, mask, find_regions(mask), stored)


def phantom(random) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """HU, lesions and liver; fat around, and a bright vessel beyond the ring."""
    liver = ball((54, 58, 48), (50, 52, 45))
    hu = np.where(liver, LIVER_HU, -100.0)
    lesions = np.zeros(SHAPE, bool)
    for centre, axes, contrast in KNOWN:
        one = ball(centre, axes)
        hu[one], lesions = LIVER_HU + contrast, lesions | one
    return hu + random.normal(0, NOISE, SHAPE), lesions, liver


@pytest.mark.parametrize("with_liver", [True, False])
def test_known_lesions_are_counted_and_measured(with_liver, tmp_path) -> None:
    hu, lesions, liver = phantom(np.random.default_rng(0))
    found = measured(hu, lesions, tmp_path, liver if with_liver else None)
    assert len(found) == len(KNOWN)
    known = sorted(KNOWN, key=lambda one: -math.prod(one[1]))
    for lesion, (_, axes, contrast) in zip(found, known, strict=True):
        ml = 4 / 3 * math.pi * math.prod(axes) / 1000
        assert lesion.voxels * math.prod(SPACING) / 1000 == pytest.approx(ml, rel=0.03)
        longest, perpendicular = sorted(axes[:2], reverse=True)
        assert abs(lesion.diameters.longest - 2 * longest) < max(SPACING[:2])
        assert abs(lesion.diameters.perpendicular - 2 * perpendicular) < max(
            SPACING[:2]
        )
        assert abs(lesion.mean_hu - (LIVER_HU + contrast)) < 3
        assert abs(lesion.contrast_hu - contrast) < 3
        assert abs(lesion.sd_hu - NOISE) < 1
        assert not lesion.at_border


def test_slices_and_key_slice_are_those_of_the_lesion(tmp_path) -> None:
    hu, lesions = np.full(SHAPE, 100), np.zeros(SHAPE, bool)
    lesions[20:40, 30, 10:12] = True  # a bar, and where it ends a larger block
    lesions[28:36, 28:36, 12:14] = True
    (lesion,) = measured(hu, lesions, tmp_path)
    assert (lesion.first_slice, lesion.last_slice) == (10, 13)
    assert (lesion.widest_slice, lesion.key_slice) == (10, 12)
    assert lesion.diameters.longest == pytest.approx(20 * SPACING[0])
    ends = lesion.diameters.longest_ends  # rows from the front, columns from the right
    assert sorted(ends[:, 1]) == pytest.approx([120 - 40 - 0.5, 120 - 20 - 0.5])
    assert ends[:, 0] == pytest.approx([90 - 1 - 30] * 2)


def test_a_lesions_centre_is_that_of_its_voxels_in_the_scanners_mm(tmp_path) -> None:
    c, s = math.cos(0.2), math.sin(0.2)
    turn = np.array([[c, -s, 0, 7], [s, c, 0, -3], [0, 0, 1, 20], [0, 0, 0, 1]])
    hu, lesions = np.full(SHAPE, 100), ball((30, 60, 50), (12, 8, 9))
    lesions[100:104, 10:12, 20:26] = True
    found = measured(hu, lesions, tmp_path, affine=turn @ AFFINE)
    numbers, _ = label(lesions)
    for lesion, number in zip(found, (2, 1), strict=True):  # from below
        place = np.argwhere(numbers == number).mean(axis=0)
        expected = (turn @ AFFINE @ [*place, 1])[:3]
        assert lesion.centre == pytest.approx(expected.tolist())


def away(lesion: np.ndarray) -> np.ndarray:
    """Distance of each voxel to a lesion in its slice."""
    return np.stack(
        [
            distance_transform_edt(~flat, sampling=SPACING[:2])
            if flat.any()
            else np.full(flat.shape, np.inf)
            for flat in np.moveaxis(lesion, 2, 0)
        ],
        axis=2,
    )


def test_tissue_around_is_liver_in_the_ring_and_nearer_than_to_others(tmp_path) -> None:
    hu = np.random.default_rng(0).integers(0, 150, SHAPE)
    lesions = ball((62, 50, 50), (9, 9, 9)), ball((40, 50, 50), (8, 8, 8))
    first, second = map(away, lesions)
    liver = ball((50, 50, 50), (40, 30, 40)).astype(np.uint8)
    liver[30:50, 20:40] *= 2  # true tumour: nothing to compare with
    liver[first == second] = 0  # those may go to either
    nearest = np.minimum(first, second)
    ring = (nearest > NEAR) & (nearest <= FAR) & (liver == 1)
    found = measured(hu, lesions[0] | lesions[1], tmp_path, liver)
    expected = [hu[ring & (nearest == mine)].mean() for mine in (first, second)]
    assert [lesion.around_hu for lesion in found] == pytest.approx(expected)


def test_without_a_liver_mask_the_level_is_that_of_most_soft_tissue(tmp_path) -> None:
    hu = np.full(SHAPE, 100)
    hu[::5], hu[1::5], hu[2::5], hu[3::5, ::2] = -100, -900, 600, 160
    (lesion,) = measured(hu, ball((50, 50, 50), (8, 8, 8)), tmp_path)
    assert lesion.around_hu == 100  # a fifth is air, fat, bone each; a tenth an organ
    hu[4::5] = 160
    (lesion,) = measured(hu, ball((50, 50, 50), (8, 8, 8)), tmp_path)
    assert lesion.around_hu == 160


def test_a_lesion_with_nothing_around_has_no_contrast(tmp_path) -> None:
    hu = np.full(SHAPE, -1000)
    lesions = ball((50, 50, 50), (8, 8, 8))
    (lesion,) = measured(np.where(lesions, 50, hu), lesions, tmp_path)
    assert lesion.around_hu is lesion.contrast_hu is None
    assert lesion.mean_hu == 50


def test_one_voxel_is_measured(tmp_path) -> None:
    hu, lesions = np.full(SHAPE, 100), np.zeros(SHAPE, bool)
    hu[50, 40, 20], lesions[50, 40, 20] = 60, True
    (lesion,) = measured(hu, lesions, tmp_path)
    assert lesion.voxels == 1
    assert (lesion.mean_hu, lesion.sd_hu, lesion.contrast_hu) == (60, 0, -40)
    assert lesion.diameters.longest == pytest.approx(1.3)
    assert lesion.diameters.perpendicular == pytest.approx(0.9)
    assert (lesion.first_slice, lesion.last_slice, lesion.at_border) == (20, 20, False)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("end", [0, -1])
def test_a_lesion_that_reaches_the_end_of_the_scan_says_so(axis, end, tmp_path) -> None:
    lesions = np.zeros(SHAPE, bool)
    lesions[50:54, 40:44, 20:24] = True
    cut = np.zeros(SHAPE, bool)
    place = [slice(50, 54), slice(40, 44), slice(20, 24)]
    place[axis] = slice(0, 4) if end == 0 else slice(-4, None)
    cut[tuple(place)] = True
    found = measured(np.full(SHAPE, 100), lesions | cut, tmp_path)
    assert sorted(lesion.at_border for lesion in found) == [False, True]
    for lesion in found:  # both of 4 x 4 x 4 voxels, the border adds nothing
        assert lesion.voxels == 64
        assert lesion.diameters.longest == pytest.approx(found[0].diameters.longest)
        assert lesion.contrast_hu == 0


def test_an_empty_mask_has_no_lesions(tmp_path) -> None:
    nothing = np.zeros(SHAPE, bool)
    liver = ball((50, 50, 50), (30, 30, 30))
    assert measured(np.full(SHAPE, 100), nothing, tmp_path, liver=liver) == []


def test_a_slanted_scan_is_measured_in_its_own_slices(tmp_path) -> None:
    c, s = math.cos(0.2), math.sin(0.2)
    turn = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    hu, lesions = np.full(SHAPE, 100), ball((50, 50, 50), (15, 10, 12))
    (straight,) = measured(hu, lesions, tmp_path)
    (slanted,) = measured(hu, lesions, tmp_path, affine=turn @ AFFINE)
    assert slanted.diameters.longest == pytest.approx(straight.diameters.longest)
    assert slanted.diameters.perpendicular == pytest.approx(
        straight.diameters.perpendicular
    )


@pytest.mark.parametrize("measures", [True, False])
def test_to_the_surface_is_measured_at_right_angles_only(measures, tmp_path) -> None:
    c, s = math.cos(0.3), math.sin(0.3)
    matrix = np.eye(4)  # a slanted scan, or one of a tilted gantry
    matrix[1:3, 1:3] = [[c, -s], [s, c]] if measures else [[1, s / c], [0, 1]]
    lesions, liver = (ball((50, 50, 50), (r, r, r)) for r in (10, 30))
    hu = np.full(SHAPE, 100)
    (lesion,) = measured(hu, lesions, tmp_path, liver, affine=matrix @ AFFINE)
    assert (lesion.surface is not None) == measures
    assert lesion.centre is not None


def test_where_the_spacing_is_unknown_lengths_are_in_pixels(tmp_path) -> None:
    lesions, liver = np.zeros(SHAPE, bool), ball((50, 50, 50), (40, 40, 40))
    lesions[50:61, 40:43, 20:25] = True
    unknown = (Finding("ct.nii", "must say", "nothing", UNKNOWN),)
    (lesion,) = measured(np.full(SHAPE, 100), lesions, tmp_path, liver, repairs=unknown)
    assert lesion.diameters.longest == pytest.approx(math.hypot(11, 2))
    assert lesion.surface is lesion.centre is None
    assert lesion.contrast_hu == 0
