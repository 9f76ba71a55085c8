import io

import numpy as np
import pytest
from PIL import Image

from mscf.visualisation.viewer import slice_viewer

HU = np.full((5, 16, 24), 60, np.int16)
HU[3] = 100
LABELS = np.zeros(HU.shape, np.uint8)
LABELS[3, 4:9, 4:9] = 2


def shown(viewer) -> np.ndarray:
    picture = viewer.children[-1]
    return np.asarray(Image.open(io.BytesIO(picture.value)).convert("RGB"))


def colourful(viewer) -> bool:
    picture = shown(viewer).astype(int)
    return (picture.max(axis=2) - picture.min(axis=2)).max() > 100


def test_it_begins_with_the_slice_of_most_tumour_and_its_borders() -> None:
    viewer = slice_viewer(HU, LABELS)
    number, ends, borders, _ = viewer.children
    assert (number.value, number.max) == (3, 4)
    assert ends.value == (-40, 160)
    assert borders.value
    assert colourful(viewer)


def test_every_control_changes_the_picture() -> None:
    viewer = slice_viewer(HU, LABELS)
    number, ends, borders, _ = viewer.children
    seen = [shown(viewer)]
    for control, value in ((borders, False), (ends, (0, 400)), (number, 0)):
        control.value = value
        seen.append(shown(viewer))
        assert not np.array_equal(seen[-1], seen[-2])
    assert not colourful(viewer)


def test_pixels_that_are_no_squares_are_drawn_as_they_are_in_the_body() -> None:
    wide, tall = (
        np.ptp(np.argwhere(shown(slice_viewer(HU, 0 * LABELS, spacing)) < 255), axis=0)
        for spacing in ((1.0, 1.0), (3.0, 1.0))
    )
    assert wide[1] / wide[0] == pytest.approx(24 / 16, rel=0.02)
    assert tall[1] / tall[0] == pytest.approx(24 / 48, rel=0.02)


@pytest.mark.parametrize(("hu", "labels"), [(HU[0], LABELS[0]), (HU, LABELS[:2])])
def test_other_things_than_two_volumes_are_refused(hu, labels) -> None:
    with pytest.raises(ValueError, match="two volumes of one shape"):
        slice_viewer(hu, labels)
