"""Doubts about labels that only the body can tell: sides, and tumour elsewhere."""

from pathlib import Path

import numpy as np
import pytest

from mscf.data.anatomy import doubts_of_anatomy

LABELS = Path("labels.nii")


def body() -> tuple[np.ndarray, np.ndarray]:
    """HU and labels in RAS order: lungs above, spine behind, liver right of the middle.

    One lesion of 3 x 3 x 3 voxels within the liver.
    """
    hu = np.full((40, 30, 20), -1000, np.int16)
    hu[4:36, 3:27] = 40
    hu[17:23, 5:9] = 500
    hu[7:33, 10:24, 15:] = -800
    labels = np.zeros(hu.shape, np.uint8)
    labels[22:33, 10:22, 4:14] = 1
    labels[25:28, 14:17, 6:9] = 2
    return hu, labels


def said(hu, labels, ml=None) -> list[str]:
    return [f"{f.must}: {f.found}" for f in doubts_of_anatomy(hu, labels, ml, LABELS)]


def test_a_sound_body_has_no_doubt() -> None:
    assert said(*body()) == []


@pytest.mark.parametrize(
    ("axis", "doubt"),
    [
        (0, "the liver must lie on the right: on the left"),
        (1, "the spine must lie at the back: bone in front"),
        (2, "the lungs must lie above the liver: below it"),
    ],
)
def test_a_mirrored_body_is_doubted_for_what_is_wrong(axis, doubt) -> None:
    assert said(*(np.flip(x, axis) for x in body())) == [doubt]


def test_a_copy_cut_to_a_window_is_not_asked_where_its_bone_is() -> None:
    hu, labels = (np.flip(x, 1) for x in body())
    assert said(hu.clip(-160, 240), labels) == []


def test_a_liver_on_the_middle_is_no_doubt() -> None:
    hu, labels = body()
    assert said(hu, np.roll(labels, -8, axis=0)) == []


def test_without_labels_nothing_is_asked() -> None:
    hu, labels = (np.flip(x, 0) for x in body())
    assert said(hu, 0 * labels) == []


@pytest.mark.parametrize(
    ("ml", "amount"), [(None, "8 voxels"), (0.5, "4.00 ml"), (0.002, "0.02 ml")]
)
def test_tumour_away_from_the_liver_is_measured(ml, amount) -> None:
    hu, labels = body()
    labels[8:10, 14:16, 6:8] = 2  # the other lesion stays one in the liver
    assert said(hu, labels, ml) == [
        f"tumour must lie in or at the liver: {amount} away from it"
    ]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("side", [-1, 1])
def test_tumour_that_touches_the_liver_by_a_face_lies_at_it(axis, side) -> None:
    hu, labels = body()
    labels[labels == 2] = 1  # no other lesion
    liver = np.argwhere(labels == 1)
    place = [27, 15, 9]
    place[axis] = liver[:, axis].min() - 1 if side < 0 else liver[:, axis].max() + 1
    labels[tuple(place)] = 2
    assert said(hu, labels) == []
    labels[tuple(place)] = 0
    place[axis] += side
    labels[tuple(place)] = 2
    away = "tumour must lie in or at the liver: 1 voxels away from it"
    assert away in said(hu, labels)  # above the liver there is air too


def test_tumour_in_air_is_measured_but_a_little_is_none() -> None:
    hu, labels = body()
    hu[25:28, 14:17, 8] = -500  # 9 of 27 voxels
    assert said(hu, labels, 1.0) == ["tumour must lie in the body: 9.00 ml in air"]
    hu[25:28, 14:17, 8] = 40
    hu[25, 14, 8:] = -500  # one
    assert said(hu, labels, 1.0) == []


def test_a_doubt_names_its_file_and_changes_nothing() -> None:
    hu, labels = (np.flip(x, 0) for x in body())
    before = hu.copy(), labels.copy()
    (doubt,) = doubts_of_anatomy(hu, labels, None, LABELS)
    assert (doubt.file, doubt.check) == ("labels.nii", "anatomy-suspect")
    assert np.array_equal(hu, before[0])
    assert np.array_equal(labels, before[1])
