"""Stomach, spleen, pancreas and gall bladder."""

from __future__ import annotations

import numpy as np

from mscf.data.phantom.great_vessels import portal_path
from mscf.data.phantom.scene import Scene
from mscf.data.phantom.space import Array, Box, Field, ellipsoid, join, tube


def paint_stomach(scene: Scene) -> None:
    """Fundus, body and antrum with folds; fluid or food, gas at the front."""
    random, patient = scene.stream("stomach"), scene.patient
    width, depth = patient.half_width, patient.half_depth
    full = random.uniform(0.75, 1.15)
    box = scene.box.cut((-0.9 * width, -0.7 * depth, -90), (0.5 * width, depth, 90))
    fundus = ellipsoid(
        box, (-0.42 * width, 0.02 * depth, 28), np.array([40, 44, 44]) * full
    )
    body = ellipsoid(
        box, (-0.36 * width, 0.36 * depth, -6), np.array([33, 32, 44]) * full, turn=0.5
    )
    antrum = ellipsoid(
        box, (-0.06 * width, 0.44 * depth, -34), np.array([50, 20, 19]) * full, turn=0.2
    )
    stomach = join(join(fundus, body, 22), antrum, 18) + 3 * Field(random, 30)(box)
    stomach = np.minimum(stomach, scene.room[box.place] - 3)
    folds = 2.2 * Field(random, (8, 8, 14))(box)
    wall = random.uniform(3, 5.5)
    inside = stomach - wall + np.minimum(folds, 1)
    fill = random.choice(
        [random.uniform(5, 40), random.uniform(150, 320)], p=[0.75, 0.25]
    )
    food = random.choice([3, 35]) * Field(random, (5, 5, 6))(box)
    scene.paint(box, stomach, scene.phase.bowel + 4 * folds)
    scene.paint(box, inside, fill + food)
    level = random.uniform(0.3, 0.75) * depth
    scene.paint(box, np.minimum(inside, box.y - level), -960)


def paint_spleen(scene: Scene) -> None:
    """At the back on the left, hollow towards the stomach; mottled when arterial."""
    random, patient = scene.stream("spleen"), scene.patient
    width, depth = patient.half_width, patient.half_depth
    centre = (-0.66 * width, -0.34 * depth, random.uniform(4, 26))
    size = random.uniform(0.85, 1.2)
    box = scene.box.around(centre, 95)
    spleen = ellipsoid(
        box, centre, np.array([0.26 * width, 0.42 * depth, 48]) * size, turn=0.45
    )
    x, y, z = centre
    hollow = ellipsoid(box, (x + 0.28 * width, y + 0.18 * depth, z), (36, 42, 62))
    spleen = np.minimum(spleen + 2.5 * Field(random, 26)(box), -hollow)
    spleen = np.minimum(spleen, scene.room[box.place] - 2)
    moire = Field(random, 11)(box) * (22 if scene.phase.name == "arterial" else 2)
    scene.paint(box, spleen, scene.phase.spleen + moire)


def paint_pancreas(scene: Scene) -> None:
    """From the duodenum across to the spleen, lobulated, with the splenic vein."""
    random, patient = scene.stream("pancreas"), scene.patient
    width, back = patient.half_width, patient.spine_y
    points = np.array(
        [
            (0.24 * width, back + 50, -62), (0.16 * width, back + 58, -38),
            (-0.02 * width, back + 66, -24), (-0.24 * width, back + 52, -12),
            (-0.44 * width, back + 22, 2),
        ]
    ) + random.standard_normal((5, 3)) * 5  # fmt: skip
    size = random.uniform(0.8, 1.1)
    radii = np.array([14, 13, 9, 9.5, 8.5]) * size
    box = scene.box.cut(points.min(axis=0) - 30, points.max(axis=0) + 30)
    room = scene.room[box.place] - 3
    lobules = 2.6 * Field(random, 8)(box)
    gland = np.minimum(tube(box, points, radii, margin=8) + lobules, room)
    tissue = 0.35 * scene.phase.spleen + 0.4 * scene.phase.bowel + 22
    scene.paint(box, gland, tissue + 6 * lobules)
    bend = np.array(
        [(0.33, 46, -50), (0.36, 44, -85), (0.2, 40, -108), (-0.2, 44, -104)]
    ) * (width, 1, 1) + (0, back, 0)
    duodenum = tube(box, bend, np.array([13.0, 13, 12, 10]), margin=8) + 0.6 * lobules
    duodenum = np.minimum(duodenum, room)
    scene.paint(box, duodenum, scene.phase.bowel)
    scene.paint(box, duodenum - 4.5, 22 + 8 * lobules)
    vein = points[2:] - (0, 11, 2)
    vein = np.vstack([portal_path(scene)[0], vein])
    splenic = tube(box, vein, np.full(len(vein), 4.2))
    scene.paint(box, np.minimum(splenic, room), scene.phase.veins)


def gall_bladder(scene: Scene, box: Box) -> tuple[Box, Array] | None:
    """Under the liver in three of four patients: dark, sharp, outside of it."""
    random, patient = scene.stream("gall bladder"), scene.patient
    if random.random() > 0.75:
        return None
    centre = (
        random.uniform(0.28, 0.40) * patient.half_width,
        random.uniform(0.34, 0.52) * patient.half_depth,
        random.uniform(-50, -34),
    )
    axes = random.uniform(11, 17), random.uniform(14, 26), random.uniform(22, 36)
    part = box.around(centre, 50)
    shape = ellipsoid(part, centre, axes, turn=random.uniform(-0.6, 0.2), lean=0.25)
    return part, shape + 0.8 * Field(random, 18)(part)


def paint_gall_bladder(scene: Scene) -> None:
    """Wall and bile."""
    found = gall_bladder(scene, scene.box)
    if found is None:
        return
    box, shape = found
    random = scene.stream("bile")
    shape = np.minimum(shape, scene.room[box.place] - 2)
    scene.paint(box, shape, scene.phase.bowel - 20)
    scene.paint(box, shape - 1.8, random.uniform(2, 20))
