import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from mscf.data.scan import SliceFile
from mscf.inference import liver_surface
from mscf.inference.lesions import find_regions
from mscf.inference.liver_surface import surface_distances

SPACING = (0.7, 1.1, 1.7)  # along X, Y, Z


def stored(voxels: np.ndarray, folder) -> SliceFile:
    slices = SliceFile(folder, voxels.shape, np.uint8)
    slices[:] = voxels
    return slices


def distances(lesions, liver, folder) -> list[float]:
    mask = stored(2 * lesions, folder)
    regions = find_regions(mask)
    return surface_distances(mask, regions, stored(liver, folder), SPACING).tolist()


def border(voxels: np.ndarray) -> np.ndarray:
    """Centres of all faces between inside and outside, in mm."""
    found = []
    for axis in range(3):
        places = np.argwhere(np.diff(voxels.astype(int), axis=axis))
        found.append(places + 0.5 * np.eye(3)[axis])
    return np.concatenate(found) * SPACING[::-1]


@pytest.mark.parametrize("slab", [1, 2, 8, 100])
@pytest.mark.parametrize("seed", range(3))
def test_the_way_to_the_surface_is_the_shortest_of_all(
    seed, slab, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(liver_surface, "SLAB", slab)
    random = np.random.default_rng(seed)
    z, y, x = np.ogrid[:26, :30, :34]
    liver = ((z - 13) / 12) ** 2 + ((y - 15) / 13) ** 2 + ((x - 16) / 15) ** 2 < 1
    lesions = np.zeros(liver.shape, bool)
    centre, tall = random.integers((8, 10, 10), (18, 20, 22)), random.integers(1, 6)
    lesions[centre[0] - tall : centre[0] + tall, centre[1], centre[2] - 2 :][
        ..., :4
    ] = 1
    lesions &= liver
    expected = cdist(border(lesions), border(liver)).min()
    assert distances(lesions, liver, tmp_path) == pytest.approx([expected])


def test_each_lesion_has_its_own_depth_and_0_at_the_surface(tmp_path) -> None:
    liver, lesions = np.zeros((2, 20, 30, 30), bool)
    liver[1:19, 2:28, 2:28] = True
    lesions[5, 6:8, 15] = True  # 4 rows deep
    lesions[10:12, 20, 20:28] = True  # to the last column of the liver
    lesions[17, 12:15, 12:15] = True  # 1 slice below its top
    assert distances(lesions, liver, tmp_path) == pytest.approx([4 * 1.1, 0, 1.7])


def test_the_next_slab_may_be_nearer_than_this_ones_surface(tmp_path) -> None:
    liver, lesions = np.zeros((2, 20, 30, 30), bool)
    liver[:10, 2:28, 2:28] = True  # ends in the second slab of 8 slices
    lesions[7, 10, 15] = True  # 8 rows from the side, 2 slices from the top
    assert distances(lesions, liver, tmp_path) == pytest.approx([2 * 1.7])


def test_holes_of_the_liver_and_the_end_of_the_scan_are_no_surface(tmp_path) -> None:
    liver = np.ones((10, 20, 20), bool)
    lesions = np.zeros(liver.shape, bool)
    lesions[4:6, 9:11, 9:11] = True
    liver[:, 5, 9] = False  # a vessel through all slices
    assert distances(lesions, liver, tmp_path) == [math.inf]
    liver[:, :2] = False
    assert distances(lesions, liver, tmp_path) == pytest.approx([7 * 1.1])


def test_without_lesions_there_is_nothing_to_measure(tmp_path) -> None:
    liver = np.ones((3, 4, 4), bool)
    assert distances(np.zeros((3, 4, 4), bool), liver, tmp_path) == []
