"""Tumours: how many, how large, and the same ones in a second scan."""

import numpy as np
import pytest
from scipy.ndimage import label as components
from scipy.spatial.distance import cdist

from mscf.data.phantom import phantom
from mscf.data.phantom.generate import coarse_grid
from mscf.data.phantom.lesions import HABITS, draw_tumours, grown
from mscf.data.phantom.liver import plan_liver
from mscf.data.phantom.patient import Patient, stream
from mscf.data.phantom.phase import Phase
from mscf.data.phantom.scene import Scene


def lesions_of(made) -> tuple[np.ndarray, np.ndarray]:
    """Middles ``(n, 3)`` in mm and diameters ``(n,)`` of balls of equal volume."""
    parts, n = components(made.labels == 2, np.ones((3, 3, 3)))
    volumes = np.bincount(parts.ravel(), minlength=n + 1)[1:] * np.prod(made.spacing)
    middles = [np.argwhere(parts == k + 1).mean(axis=0) for k in range(n)]
    return np.array(middles) * made.spacing, np.cbrt(6 * volumes / np.pi)


@pytest.fixture(scope="module")
def plans():
    """Patients and the plans of their livers."""
    found = []
    for number in range(40):
        patient = Patient.draw(0, number)
        phase = Phase.draw(stream(0, number, "scan"), {"portal": 1.0})
        found.append((patient, plan_liver(Scene(patient, phase, coarse_grid()))))
    return found


@pytest.mark.parametrize(
    ("lesions", "counts", "least"), [("all", set(range(7)), 4), ("large", {2, 3}, 15)]
)
def test_patients_have_as_many_tumours_of_as_many_mm_as_said(
    lesions, counts, least, plans
) -> None:
    habit = HABITS[lesions]
    drawn = [draw_tumours(patient, plan, habit) for patient, plan in plans]
    assert {len(tumours) for tumours in drawn} == counts
    for growth in (0.85, 1.0, 1.15):
        diameters = [
            2 * tumour.radius
            for tumours in drawn
            for tumour in grown(tumours, growth, habit)
        ]
        assert least <= min(diameters)
        assert max(diameters) <= 72
    assert np.ptp(diameters) > 40


def test_large_tumours_are_all_dark_and_few_of_the_others_bright(plans) -> None:
    signs = {
        lesions: [
            np.sign(tumour.hu)
            for patient, plan in plans
            for tumour in draw_tumours(patient, plan, HABITS[lesions])
        ]
        for lesions in HABITS
    }
    assert set(signs["large"]) == {-1}
    assert 0 < np.mean(np.array(signs["all"]) > 0) < 0.25


# The border is displaced by a seventh of the radius, and ends where the liver ends.
@pytest.mark.parametrize(("lesions", "least"), [("all", 4), ("large", 15)])
def test_labels_measure_what_was_drawn(lesions, least, twelve) -> None:
    scans = twelve
    if lesions == "large":
        scans = [phantom(case, size=96, lesions="large") for case in range(2)]
    for made in scans:
        _, diameters = lesions_of(made)
        assert len(diameters) <= 6
        assert ((diameters > 0.85 * least) & (diameters < 1.15 * 72)).all()


@pytest.mark.parametrize("case", [2, 8])
def test_a_second_scan_shows_the_same_lesions(case, twelve) -> None:
    first, second = twelve[case], twelve[case + 1]
    assert first.patient == second.patient
    assert (first.spacing, first.orientation) != (second.spacing, second.orientation)
    before, after = lesions_of(first)[0], lesions_of(second)[0]
    assert len(before) == len(after) > 0
    # The scans' origins differ; the lesions' places among each other do not.
    apart = cdist(before - before.mean(axis=0), after - after.mean(axis=0))
    assert apart.min(axis=1).max() < 8  # mm: one voxel aslant
    assert sorted(apart.argmin(axis=1)) == list(range(len(after)))


def test_tumours_differ_from_the_liver_round_them(twelve) -> None:
    """Mostly darker, and by little: 5 to 60 HU."""
    differences = np.array([
        np.mean(made.hu[made.labels == 2]) - np.median(made.hu[made.labels == 1])
        for made in twelve
        if (made.labels == 2).any()
    ])  # fmt: skip
    assert (np.abs(differences) < 60).all()
    assert np.mean(differences < -5) > 0.7
