"""The liver: its shape, its parenchyma and its vessels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mscf.data.phantom.great_vessels import aorta_shape, cava_shape, portal_path
from mscf.data.phantom.kidneys import kidney_bed
from mscf.data.phantom.organs import gall_bladder
from mscf.data.phantom.scene import Scene
from mscf.data.phantom.space import Array, Box, Field, ellipsoid, join, rods, tube
from mscf.data.phantom.tree import grow

REACH = ((-115, -140, -130), (180, 150, 90))


def liver_shape(scene: Scene) -> tuple[Box, Array]:
    """Right, left and caudate lobe, displaced, cut by all that lies beside them."""
    random, patient = scene.stream("liver"), scene.patient
    width, depth, back = patient.half_width, patient.half_depth, patient.spine_y
    box = scene.box.cut(*REACH)
    right = ellipsoid(
        box,
        (0.45 * width, random.uniform(-0.06, 0.04) * depth, random.uniform(-8, 4)),
        (
            random.uniform(0.50, 0.58) * width,
            random.uniform(0.66, 0.78) * depth,
            random.uniform(70, 88),
        ),
        turn=random.uniform(-0.2, 0.2),
        lean=random.uniform(-0.25, 0.0),
    )
    left = ellipsoid(
        box,
        (random.uniform(-0.10, 0.10) * width, 0.46 * depth, random.uniform(10, 24)),
        (
            random.uniform(0.36, 0.52) * width,
            random.uniform(0.25, 0.38) * depth,
            random.uniform(36, 52),
        ),
        turn=random.uniform(-0.1, 0.3),
    )
    caudate = ellipsoid(box, (0.12 * width, back + 58, 22), (20, 15, 26))
    liver = join(join(right, left, 38), caudate, 10)
    liver = liver + 5 * Field(random, 48)(box) + 1.6 * Field(random, 17)(box)
    liver = np.minimum(liver, scene.room[box.place] - 1.2)
    np.minimum(liver, -cava_shape(scene, box), out=liver)
    np.minimum(liver, -3 - aorta_shape(scene, box), out=liver)
    np.minimum(liver, -fissures(scene, box), out=liver)
    neighbours = [kidney_bed(scene, box), gall_bladder(scene, box)]
    for gap, found in zip((3.0, 0.5), neighbours, strict=True):
        if found is not None:
            part, shape = found
            view = liver[part.place]
            np.minimum(view, -shape - gap, out=view)
    return box, liver


def fissures(scene: Scene, box: Box) -> Array:
    """Fat in the liver: round the portal vein, and where its two ligaments enter."""
    random, patient = scene.stream("fissures"), scene.patient
    width, path = patient.half_width, portal_path(scene)
    ragged = 1.6 * Field(random, 9)(box)
    radii = np.array([10.0, 7.2, 6.8, 5.4])
    hilum = tube(box, path, radii, margin=6) + ragged
    # The round ligament: a wedge from the left portal vein, open below.
    bend = 7 * Field(random, (40, 18, 30))(box)
    x, y, z = path[-1]
    forward = box.y - y
    top = z + random.uniform(0, 14)
    slant = random.uniform(-0.25, 0.25) * forward
    open_ = np.clip((top - box.z) * random.uniform(0.03, 0.09), 0, 6)
    open_ = open_ + random.uniform(0, 0.05) * forward
    wedge = open_ - 0.9 + 1.1 * ragged - np.abs(box.x - x - bend - slant)
    long = random.uniform(25, 80)
    wedge = np.minimum(np.minimum(wedge, forward + 4), top - box.z)
    wedge = np.minimum(wedge, long - forward)
    # The ligament of the veins: a cleft from there back along the caudate lobe.
    end = (0.08 * width, y - random.uniform(14, 22), z + 34)
    points = np.array([(x, y, z), (x + 4, y - 6, z + 14), end])
    cleft = tube(box, points, np.array([6.5, 5.0, 3.0]), margin=6)
    flat = 1.6 + 0.6 * ragged - np.abs(box.y - y + 0.35 * (x - box.x) + 0.4 * bend + 4)
    cleft = np.minimum(cleft + 9, flat)
    return np.maximum(np.maximum(hilum, wedge), cleft)


@dataclass(frozen=True)
class Plan:
    """What grows in the liver of a patient, drawn once on a coarse grid."""

    points: Array  # (n, 3) places in the liver, mm
    depth: Array  # (n,) under its surface
    portal: Array  # (segments, 8)
    hepatic: Array


def plan_liver(scene: Scene) -> Plan:
    """Vessel trees for the liver of a coarse scene; the same for every scan."""
    random, patient = scene.stream("liver vessels"), scene.patient
    box, liver = liver_shape(scene)
    x, y, z = np.nonzero(liver > 0)
    points = np.column_stack([box.x.ravel()[x], box.y.ravel()[y], box.z.ravel()[z]])
    depth = liver[x, y, z]
    inside = points[depth > 3]

    fork, left = portal_path(scene)[[1, 3]]
    targets = random.choice(inside, 240, replace=False)
    on_left = targets[:, 0] < left[0] + 12
    right = np.array([fork[0] + 22, fork[1] + 2, fork[2] + 10])
    trunk = random.uniform(4.8, 6.2)
    portal = np.vstack(
        [
            [(*fork, *right, 1.1 * trunk, trunk)],
            grow(random, right, targets[~on_left], trunk),
            grow(random, left, targets[on_left], 0.75 * trunk),
        ]
    )

    confluence = np.array([20.0, patient.spine_y + 52, 44.0])
    targets = random.choice(inside, 170, replace=False)
    away = targets - confluence
    angle = np.arctan2(away[:, 0], away[:, 1])  # right, middle and left vein
    hepatic = [
        grow(random, confluence, targets[part], random.uniform(4.6, 6.2))
        for part in (angle > 1.0, (angle <= 1.0) & (angle > 0.1), angle <= 0.1)
        if part.sum() > 2
    ]
    return Plan(points, depth, portal, np.vstack(hepatic))


def paint_liver(scene: Scene, plan: Plan) -> tuple[Box, Array]:
    """Parenchyma and vessels; the box and the distance for the labels."""
    random, phase = scene.stream("parenchyma"), scene.phase
    box, liver = liver_shape(scene)
    cleft = fissures(scene, box)
    fat = np.minimum(cleft + 1, scene.room[box.place] - 2)
    scene.paint(box, np.minimum(fat, liver + 12), -75)
    tissue = phase.liver + 3 * Field(random, 22)(box) + 1.5 * Field(random, 8)(box)
    scene.paint(box, liver, tissue)
    path = portal_path(scene)
    trunk = tube(box, path, np.array([6.8, 6.5, 5.5, 4.2]))
    scene.paint(box, trunk, max(phase.veins, phase.portal))
    for tree, hu in ((plan.hepatic, phase.hepatic), (plan.portal, phase.portal)):
        vessel = rods(box, tree, margin=2)
        scene.paint(box, np.minimum(vessel, liver + 2), hu)
    return box, liver
