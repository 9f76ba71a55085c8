import numpy as np
import pytest
from scipy.ndimage import label

from mscf.data.scan import SliceFile
from mscf.inference.lesions import find_regions, keep, largest_first, numbers_in


def stored(mask: np.ndarray, folder) -> SliceFile:
    """A mask ``(N, H, W)``, 2 in the tumour."""
    slices = SliceFile(folder, mask.shape, np.uint8)
    slices[:] = np.where(mask, 2, 0)
    return slices


def random_mask(seed: int, share: float, shape=(9, 14, 11)) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < share


def numbered(slices: SliceFile, regions) -> np.ndarray:
    return np.stack([numbers_in(slices, regions, i) for i in range(len(slices))])


@pytest.mark.parametrize("share", [0, 0.05, 0.3, 0.6, 1])
def test_lesions_found_slice_by_slice_are_those_of_the_whole_volume(
    share, tmp_path
) -> None:
    mask = random_mask(1, share, (5, 6, 5))
    slices = stored(mask, tmp_path)
    regions = find_regions(slices)
    kept = largest_first(regions.voxels, 0, None)
    numbers = numbered(slices, keep(slices, regions, kept))
    expected, n = label(mask)
    pairs = np.unique(np.stack([numbers.ravel(), expected.ravel()]), axis=1)
    assert pairs.shape[1] == len(np.unique(expected))  # one number for the other
    assert (regions.voxels.sum(), len(kept)) == (mask.sum(), n)
    sizes = np.bincount(numbers.ravel())[1:].tolist()
    assert sizes == sorted(sizes, reverse=True)


def test_two_arms_that_meet_in_a_later_slice_are_one_lesion(tmp_path) -> None:
    mask = np.zeros((3, 1, 3), bool)
    mask[:2, 0, [0, 2]] = mask[2, 0, :] = True
    assert find_regions(stored(mask, tmp_path)).voxels.tolist() == [7]


@pytest.mark.parametrize(("least", "most"), [(0, 1), (3, None), (10**6, None)])
def test_only_the_lesions_asked_for_stay_in_the_mask(least, most, tmp_path) -> None:
    mask = random_mask(2, 0.25)
    slices = stored(mask, tmp_path)
    regions = find_regions(slices)
    left = keep(slices, regions, largest_first(regions.voxels, least, most))
    lesions, _ = label(mask)
    sizes = np.bincount(lesions.ravel())
    stays = sizes >= least
    if most == 1:  # the largest; of equal ones the lowest
        stays[:] = False
        stays[1 + sizes[1:].argmax()] = True
    stays[0] = False
    assert np.array_equal(slices[:], np.where(stays[lesions], 2, 0))
    assert np.bincount(numbered(slices, left).ravel())[1:].tolist() == (
        left.voxels.tolist()
    )
    assert np.array_equal(numbered(slices, left) > 0, stays[lesions])
