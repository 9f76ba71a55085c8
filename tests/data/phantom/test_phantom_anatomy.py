"""What a scan shows: HU of CT, and organs where a reader expects them."""

import nibabel as nib
import numpy as np
from scipy.ndimage import label as components

from mscf.data.phantom.generate import ORIENTATIONS


def middle_of(mask) -> np.ndarray:
    """The mean place of a mask, in voxels."""
    return np.argwhere(mask).mean(axis=0)


def test_hu_are_those_of_ct_from_air_to_bone(canonical) -> None:
    for _, hu, labels in canonical:
        assert hu.dtype == np.int16
        assert -1024 <= hu.min() <= -1000  # air
        assert 250 < hu.max() <= 3071  # bone, blurred by voxels of 5 mm
        assert 10 < np.median(hu[labels == 1]) < 160


def test_the_levels_of_livers_differ_between_patients(twelve) -> None:
    livers = [np.median(made.hu[made.labels == 1]) for made in twelve]
    assert np.ptp(livers) > 40


def test_files_are_stored_in_several_orientations(written) -> None:
    found = {
        "".join(nib.aff2axcodes(nib.load(path).affine))
        for path in written.glob("imagesTr/*")
    }
    assert len(found) >= 4
    assert found <= set(ORIENTATIONS)
    assert any(codes[2] not in "SI" for codes in found)  # slices not along axis 2


def test_read_in_canonical_order_the_liver_lies_on_the_right(canonical) -> None:
    for image, hu, labels in canonical:
        assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
        assert middle_of(labels > 0)[0] > middle_of(hu > -300)[0]


def test_the_spine_lies_at_the_back(canonical) -> None:
    for image, hu, _ in canonical:
        body = hu > -300
        x, y, _ = middle_of(body)
        reach = 30 / image.header.get_zooms()[0]  # mm to voxels
        near = slice(int(x - reach), int(x + reach))
        bone = hu[near] > 200
        assert bone.sum() > 100
        assert middle_of(bone)[1] < y - 0.1 * np.ptp(np.nonzero(body)[1])


def test_the_lungs_lie_at_the_top(canonical) -> None:
    for _, hu, labels in canonical:
        x, y, _ = np.nonzero(labels)
        torso = hu[x.min() : x.max(), y.min() : y.max()]  # no air beside the body
        lung = ((torso > -930) & (torso < -600)).mean(axis=(0, 1))
        third = len(lung) // 3
        assert lung[-1] > 0.05
        assert lung[-third:].mean() > 3 * lung[:third].mean()


def test_spacing_and_slices_vary_within_what_scanners_do(twelve) -> None:
    spacings = np.array([made.spacing for made in twelve])
    assert len(np.unique(spacings[:, 2])) >= 3
    assert ((spacings[:, 2] >= 2.5) & (spacings[:, 2] <= 5)).all()
    width = spacings[:, 0] * 96  # the field of view, mm
    assert ((width >= 280) & (width <= 420)).all()
    assert all(24 <= made.hu.shape[2] <= 48 for made in twelve)


def test_labels_are_background_one_liver_and_tumours_inside_it(twelve) -> None:
    for made in twelve:
        assert made.labels.dtype == np.uint8
        assert set(np.unique(made.labels)) <= {0, 1, 2}
        parts, _ = components(made.labels > 0)
        sizes = np.bincount(parts.ravel())[1:]
        assert sizes.max() > 0.97 * sizes.sum()
        litres = (made.labels > 0).sum() * np.prod(made.spacing) / 1e6
        assert 0.5 < litres < 3.2  # the scan may end within the liver
        tumours = parts[made.labels == 2]
        assert (tumours == sizes.argmax() + 1).all()


def test_a_tumour_ends_where_the_liver_ends(twelve) -> None:
    for made in twelve:
        tumour = made.labels == 2
        assert (made.hu[tumour] < -60).sum() <= 0.002 * tumour.sum()  # fat or lung
