import itertools
import math

import numpy as np
import pytest
from scipy.ndimage import label

from mscf.data.scan import SliceFile
from mscf.inference.lesions import diameter, find_regions, keep, largest_first, measure

SPACING = (0.7, 1.1)


def stored(mask: np.ndarray, folder) -> SliceFile:
    """A mask ``(N, H, W)``, 2 in the tumour."""
    slices = SliceFile(folder, mask.shape, np.uint8)
    slices[:] = np.where(mask, 2, 0)
    return slices


def random_mask(seed: int, share: float, shape=(9, 14, 11)) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < share


def brute_diameter(region: np.ndarray) -> float:
    """Over all corners of all pixels."""
    pixels = np.argwhere(region)
    corners = np.array([pixels + c for c in itertools.product((0, 1), repeat=2)])
    points = corners.reshape(-1, 2) * SPACING
    return max(math.dist(p, q) for p in points for q in points)


def brute_lesions(mask: np.ndarray) -> list[tuple]:
    """Voxels, first and last slice, diameter: by scipy over the whole volume."""
    lesions, n = label(mask)
    found = []
    for number in range(1, n + 1):
        one = lesions == number
        used = np.flatnonzero(one.any(axis=(1, 2)))
        widest = 0.0
        for slice_ in one[used]:
            regions, m = label(slice_)
            widest = max(
                [widest, *(brute_diameter(regions == r + 1) for r in range(m))]
            )
        found.append((int(one.sum()), int(used[0]), int(used[-1]), round(widest, 9)))
    return found


@pytest.mark.parametrize("share", [0, 0.05, 0.3, 0.6, 1])
def test_lesions_found_slice_by_slice_are_those_of_the_whole_volume(
    share, tmp_path
) -> None:
    mask = random_mask(1, share, (5, 6, 5))
    slices = stored(mask, tmp_path)
    regions = find_regions(slices)
    kept = largest_first(regions.voxels, 0, None)
    found = [
        (a.voxels, a.first_slice, a.last_slice, round(a.diameter, 9))
        for a in measure(slices, regions, kept, SPACING)
    ]
    assert sorted(found) == sorted(brute_lesions(mask))
    assert [row[0] for row in found] == sorted((row[0] for row in found), reverse=True)


def test_two_arms_that_meet_in_a_later_slice_are_one_lesion(tmp_path) -> None:
    mask = np.zeros((3, 1, 3), bool)
    mask[:2, 0, [0, 2]] = mask[2, 0, :] = True
    assert find_regions(stored(mask, tmp_path)).voxels.tolist() == [7]


@pytest.mark.parametrize(("least", "most"), [(0, 1), (3, None), (10**6, None)])
def test_only_the_lesions_asked_for_stay_in_the_mask(least, most, tmp_path) -> None:
    mask = random_mask(2, 0.25)
    slices = stored(mask, tmp_path)
    regions = find_regions(slices)
    keep(slices, regions, largest_first(regions.voxels, least, most))
    lesions, _ = label(mask)
    sizes = np.bincount(lesions.ravel())
    stays = sizes >= least
    if most == 1:  # the largest; of equal ones the lowest
        stays[:] = False
        stays[1 + sizes[1:].argmax()] = True
    stays[0] = False
    assert np.array_equal(slices[:], np.where(stays[lesions], 2, 0))


def test_a_pixel_is_as_wide_as_its_diagonal() -> None:
    assert diameter(np.ones((1, 1), bool), (3, 4)) == pytest.approx(5)


def test_the_key_slice_is_where_a_lesion_is_widest(tmp_path) -> None:
    mask = np.zeros((4, 9, 9), bool)
    mask[1:4, 4, 4] = mask[2, 4, 2:7] = True
    slices = stored(mask, tmp_path)
    (lesion,) = measure(slices, find_regions(slices), np.array([0]), (1, 1))
    assert (lesion.key_slice, lesion.number) == (2, 1)
    assert lesion.diameter == pytest.approx(math.hypot(1, 5))
