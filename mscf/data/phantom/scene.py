"""A scan being painted: the voxels, the patient, and the room that organs share."""

from __future__ import annotations

import numpy as np

from mscf.data.phantom.patient import Patient
from mscf.data.phantom.phase import Phase
from mscf.data.phantom.space import (
    FAR,
    Array,
    Box,
    Field,
    capsule,
    coverage,
    ellipsoid,
    join,
    tube,
)


class Scene:
    """Voxels in HU and the distances that every organ is cut by.

    ``skin`` is the depth under the skin, ``inner`` the depth inside the muscular wall,
    ``cavity`` the same without what stands in the way at the back (spine and its
    muscles), ``room`` the cavity under the diaphragm.
    """

    def __init__(self, patient: Patient, phase: Phase, box: Box) -> None:
        self.patient, self.phase, self.box = patient, phase, box
        self.pixel = 1.2 * float(np.ptp(box.x)) / max(box.x.size - 1, 1)
        self.hu = np.full(box.shape, -1000, np.float32)
        self.skin = patient.skin(box)
        self.fat, self.muscle = patient.wall(box)
        self.inner = self.skin - self.fat - self.muscle
        self.back = back_muscles(patient, box)
        self.cavity = -join(-self.inner, self.back, 22)  # no notch beside the spine
        self.dome = patient.below_dome(box)
        self.room = np.minimum(self.cavity, self.dome)

    def paint(self, box: Box, distance: Array, hu: Array | float) -> None:
        """Covers a shape with a level; partial volume at its edge."""
        view = self.hu[box.place]
        view += coverage(distance, self.pixel) * (hu - view)

    def stream(self, name: str) -> np.random.Generator:
        """The patient's random numbers for one organ."""
        return self.patient.stream(name)


def back_muscles(patient: Patient, box: Box) -> Array:
    """Spine, paraspinal muscles and psoas as one shape; far away: well outside."""
    random, y = patient.stream("back"), patient.spine_y
    distance = np.full(box.shape, FAR, np.float32)
    part = box.cut((-100, y - 100, -500), (100, y + 40, 500))
    view = distance[part.place]
    wobble = 1.5 * Field(random, 20)(part)
    np.maximum(view, ellipsoid(part, (0, y, 0), (23.5, 18.5, 1e4)), out=view)
    width, depth = random.uniform(27, 31), random.uniform(24, 28)
    for side in (-1, 1):
        muscle = ellipsoid(
            part, (side * 31, y - 43, 0), (width, depth, 1e4), side * 0.2
        )
        muscle = muscle - 0.1 * np.maximum(part.z, 0)  # slighter behind the chest
        np.maximum(view, muscle + wobble, out=view)
        top = random.uniform(-30, -5)
        points = np.array([(side * 36, y - 4, -190), (side * 24, y + 2, top)])
        psoas = tube(part, points, np.array([26.0, 5.0]), margin=8)
        np.maximum(view, psoas + wobble, out=view)
        quadratus = capsule(
            part, (side * 62, y - 18, -190), (side * 46, y - 20, top + 5), 11, 6
        )
        np.maximum(view, quadratus + wobble, out=view)
    return distance
