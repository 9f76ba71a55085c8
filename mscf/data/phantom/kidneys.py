"""The kidneys in their fat, and the bed of the right one under the liver."""

from __future__ import annotations

import numpy as np

from mscf.data.phantom.scene import Scene
from mscf.data.phantom.space import Array, Box, Field, ellipsoid, join

# The patient's right is +x.
SIDES = {"right": 1, "left": -1}


def paint_kidneys(scene: Scene) -> None:
    """Fat capsule with its fascia, cortex, medulla, sinus fat with the pelvis."""
    for side in SIDES:
        random = scene.stream(f"kidney {side}")
        box, kidney = kidney_shape(scene, scene.box, side)
        room = np.minimum(scene.room[box.place], kidney + random.uniform(9, 14))
        scene.paint(box, room, -104)
        fascia = 0.9 - np.abs(room + Field(random, 16)(box))
        scene.paint(box, fascia, -50)
        kidney = np.minimum(kidney, scene.room[box.place] - 2)
        scene.paint(box, kidney, scene.phase.kidney)
        columns = 3 * Field(random, 8)(box)
        scene.paint(box, kidney - 7 + columns, scene.phase.medulla)
        x, y, z = kidney_centre(scene, side)
        sinus = ellipsoid(box, (x - SIDES[side] * 11, y + 5, z), (15, 10, 27))
        sinus = np.minimum(sinus + columns, kidney + 4)
        scene.paint(box, sinus, -85)
        scene.paint(box, sinus - 3.5 + columns, 0.6 * scene.phase.veins + 8)


def kidney_centre(scene: Scene, side: str) -> tuple[float, float, float]:
    """The right kidney lies lower than the left."""
    random, patient = scene.stream(f"kidney place {side}"), scene.patient
    z = random.uniform(-80, -52) if side == "right" else random.uniform(-62, -32)
    x = SIDES[side] * (0.33 * patient.half_width + random.uniform(6, 14))
    return x, patient.spine_y + random.uniform(-2, 8), z


def kidney_shape(scene: Scene, box: Box, side: str) -> tuple[Box, Array]:
    """A bean in its own box, leaning outwards below."""
    random = scene.stream(f"kidney shape {side}")
    centre = kidney_centre(scene, side)
    part = box.around(centre, (60, 60, 85))
    axes = random.uniform(24, 29), random.uniform(27, 33), random.uniform(50, 60)
    turn = SIDES[side] * random.uniform(0.3, 0.8)
    bean = ellipsoid(part, centre, axes, turn, lean=-0.2 * SIDES[side])
    x, y, z = centre
    dent = ellipsoid(part, (x - SIDES[side] * 26, y + 8, z), (10, 9, 16))
    return part, np.minimum(bean, -dent) + 1.3 * Field(random, 22)(part)


def kidney_bed(scene: Scene, box: Box) -> tuple[Box, Array]:
    """The right kidney and all that lies behind it: no liver reaches there."""
    random = scene.stream("kidney bed")
    part, kidney = kidney_shape(scene, box, "right")
    x, y, z = kidney_centre(scene, "right")
    behind = ellipsoid(part, (x - 4, y - 26, z - 10), (38, 40, 66))
    uneven = 2.5 * Field(random, 24)(part)
    return part, join(kidney + 2, behind, 12) + uneven
