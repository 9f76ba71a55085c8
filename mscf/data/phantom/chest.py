"""Above the diaphragm: lungs and heart."""

from __future__ import annotations

import numpy as np

from mscf.data.phantom.scene import Scene
from mscf.data.phantom.space import Field, ellipsoid, join, rods
from mscf.data.phantom.tree import grow


def paint_chest(scene: Scene) -> None:
    """Above the diaphragm: lungs with vessels, the heart between them, muscle below."""
    patient, random = scene.patient, scene.stream("chest")
    low = patient.dome[1] - 75
    box = scene.box.cut((-500, -500, low), (500, 500, 500))
    inner, dome = scene.cavity[box.place], scene.dome[box.place]
    above = np.minimum(inner + 2, -dome)
    top = max(patient.dome)
    scene.paint(box, np.minimum(2.0 - np.abs(dome + 1), inner + 2), 55)

    x, y = -0.14 * patient.half_width, 0.42 * patient.half_depth
    axes = (random.uniform(52, 62), random.uniform(40, 48), random.uniform(40, 48))
    heart = ellipsoid(box, (x, y, top + 28), axes, turn=-0.5)
    middle = ellipsoid(box, (-4, patient.spine_y + 28, 0), (26, 34, 1e4))
    front = ellipsoid(box, (-8, 0.95 * patient.half_depth, 0), (34, 30, 1e4))
    between = join(join(heart + 7, middle, 25), front, 20) + 3 * Field(random, 25)(box)
    lung = np.minimum(above - 1, -between)
    scene.paint(box, above, -95)
    spongy = 25 * Field(random, 6)(box)
    scene.paint(box, lung, -862 + spongy)
    for side in (-1, 1):
        root = np.array([side * 25, patient.spine_y + 45, top + 60])
        n = 260
        spots = np.column_stack(
            [
                side * random.uniform(0.15, 0.85, n) * patient.half_width,
                random.uniform(-0.85, 0.8, n) * patient.half_depth,
                random.uniform(-60, 75, n) + top - 30,
            ]
        )
        tree = rods(box, grow(random, root, spots, 8.0), margin=2)
        scene.paint(box, np.minimum(np.minimum(tree, lung - 1), 0.8), -60)
    blood = scene.phase.aorta * 0.5 + scene.phase.veins * 0.5
    wall = 0.45 * blood + 45
    bumpy = 2 * Field(random, 22)(box)
    heart = np.minimum(heart + bumpy, above - 2)
    scene.paint(box, heart, wall)
    left = ellipsoid(box, (x - 20, y - 2, top + 30), (26, 20, 30), turn=-0.6)
    right = ellipsoid(box, (x + 27, y + 8, top + 32), (24, 17, 30), turn=-0.3)
    scene.paint(box, np.minimum(np.maximum(left, right) + bumpy, heart - 4), blood)
