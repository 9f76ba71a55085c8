"""That what a slice is resized to still lies where it lay, and has its spacing."""

import nibabel as nib
import numpy as np
import pytest

from mscf.data.resize import resize_masks
from mscf.data.store import Store, prepare


def store_of_an_l(folder, longer: int, size: int) -> Store:
    """One case of two slices ``longer`` wide and less high: a bright L off-centre."""
    labels = np.zeros((longer, longer * 3 // 4, 2), np.uint8)
    unit = longer // 16
    labels[2 * unit : 4 * unit, 5 * unit : 11 * unit] = 2
    labels[4 * unit : 7 * unit, 5 * unit : 7 * unit] = 2
    hu = np.where(labels == 2, 60, -1000).astype(np.int16)
    hu[0, 0] = -1010  # two values alone are refused as no CT
    for kind, voxels in (("images", hu), ("labels", labels)):
        (folder / f"{kind}Tr").mkdir()
        image = nib.Nifti1Image(voxels, np.diag([0.5, 0.8, 3.0, 1.0]))
        nib.save(image, folder / f"{kind}Tr/liver_0.nii.gz")
    return prepare(folder, folder / "store", size=size, processes=1)


@pytest.mark.parametrize("longer", [384, 128])  # to half the side, and to 1.5 times
def test_resized_labels_lie_where_the_resized_image_shows_them(
    longer, tmp_path
) -> None:
    store = store_of_an_l(tmp_path, longer, 192)
    tumour, bright = store.masks == 2, store.images > -400
    assert 2 * (tumour & bright).sum() > 0.98 * (tumour.sum() + bright.sum())
    assert tumour.mean() == pytest.approx(18 / 256, rel=0.05)  # of 16 x 16 units


def test_a_resized_slice_has_pixels_as_much_larger(tmp_path) -> None:
    index = store_of_an_l(tmp_path, 384, 192).index
    spacing = index[["spacing_y", "spacing_x", "spacing_z"]].to_numpy()
    assert spacing == pytest.approx(np.array([[1.6, 1.0, 3.0]] * 2))


def test_a_resized_label_is_the_nearest_pixels() -> None:
    labels = np.arange(25, dtype=np.uint8).reshape(1, 5, 5)
    assert resize_masks(labels, 3)[0].tolist() == [
        [0, 2, 4],
        [10, 12, 14],
        [20, 22, 24],
    ]
    assert resize_masks(labels, 5)[0].tolist() == labels[0].tolist()
    larger = resize_masks(labels, 8)[0]  # centres at 0.3, 0.9, 1.6, 2.2 and mirrored
    nearest = [0, 0, 1, 2, 2, 3, 4, 4]
    assert larger.tolist() == labels[0][np.ix_(nearest, nearest)].tolist()
