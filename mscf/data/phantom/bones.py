"""The spine and the ribs."""

from __future__ import annotations

import numpy as np

from mscf.data.phantom.scene import Scene
from mscf.data.phantom.space import FAR, Box, Field, capsule, coverage, ellipsoid

VERTEBRA = 34.0  # mm from one to the next


def paint_spine(scene: Scene) -> None:
    """Vertebrae with shell, marrow, discs, canal and arch."""
    random, y = scene.stream("spine"), scene.patient.spine_y
    box = scene.box.cut((-80, y - 80, -500), (80, y + 30, 500))
    start = random.uniform(0, VERTEBRA)
    z = np.mod(box.z - start, VERTEBRA) - VERTEBRA / 2
    one = Box(box.x, box.y, z, box.place)  # every vertebra has the same coordinates
    width, depth = random.uniform(20, 24), random.uniform(15, 18)
    shell, marrow = random.uniform(420, 620), random.uniform(95, 190)
    trabeculae = 32 * Field(random, 3.5)(box)

    waist = np.float32(1.6) * (1 - (2 * z / VERTEBRA) ** 2)
    rough = 0.7 * Field(random, 9)(box)
    body = ellipsoid(one, (0, y, 0), (width, depth, 1e4)) - waist + rough
    body = np.minimum(body, box.y - y + 0.85 * depth)  # flat towards the canal
    bone = np.abs(z) - (VERTEBRA / 2 - 3.5)  # positive in the disc
    scene.paint(box, body + 1, 85)
    scene.paint(box, np.minimum(body, -bone), shell)
    scene.paint(box, np.minimum(body - 2.2, -bone - 1.6), marrow + trabeculae)

    back = y - depth
    arch = np.full(box.shape, FAR, np.float32)
    for s in (-1, 1):
        struts = (
            ((s * 14, back + 4, 2), (s * 16, back - 10, 2), 5.0, 4.5),  # pedicle
            ((s * 15, back - 13, 3), (s * 3, back - 22, 1), 4.0, 3.4),  # lamina
            ((s * 13, back - 17, -6), (s * 3, back - 23, -9), 4.0, 3.2),
            ((s * 15, back - 12, 9), (s * 13, back - 17, 18), 4.8, 5.0),  # facets
            ((s * 15, back - 15, -18), (s * 12, back - 19, -8), 5.0, 4.2),
            ((s * 18, back - 9, 2), (s * 37, back - 17, 3), 4.6, 3.2),  # transverse
        )
        for start_, end, r0, r1 in struts:
            np.maximum(arch, capsule(one, start_, end, r0, r1), out=arch)
    spine_tip = back - random.uniform(42, 50)
    for z_ in (-3, -9, VERTEBRA - 9):
        process = capsule(one, (0, back - 23, z_), (0, spine_tip, z_ - 8), 3.2, 2.8)
        np.maximum(arch, process, out=arch)
    arch = arch + 0.6 * rough
    canal = ellipsoid(one, (0, back - 9.5, 0), (11.5, 9, 1e4))
    scene.paint(box, np.minimum(canal + 6, back + 3 - box.y), 60)  # ligaments
    scene.paint(box, canal + 1, -20)
    scene.paint(box, np.minimum(arch, -canal), 1.05 * shell)
    scene.paint(box, np.minimum(arch - 2, -canal - 2), marrow + trabeculae)
    scene.paint(box, canal - 1.5, 32)


def paint_ribs(scene: Scene) -> None:
    """Oblique ribs in the wall, each falling towards the front, cartilage at the end.

    A cut meets each rib elsewhere along its way; regular ones would be a necklace.
    """
    random, patient = scene.stream("ribs"), scene.patient
    wander = 7 * Field(random, (50, 50, 50))(scene.box)
    across = scene.skin - scene.fat - np.float32(0.62) * scene.muscle
    band = np.nonzero(np.abs(across) < 7)  # the rest of the body has no ribs
    across, wander = across[band], wander[band]
    x, y, z = (
        c.ravel()[i]
        for c, i in zip((scene.box.x, scene.box.y, scene.box.z), band, strict=True)
    )
    angle = np.arctan2(np.abs(x), -0.9 * (y - patient.spine_y) - 20)
    arc = angle * np.hypot(patient.half_width, patient.half_depth) / np.sqrt(2)
    arc *= 1 + 0.05 * np.sign(x)  # right and left differ
    slope = random.uniform(0.52, 0.66)
    fall = slope * (arc - 40 * np.exp(-(arc / 60))) + z
    level = (fall + wander + random.uniform(0, VERTEBRA)) / VERTEBRA
    index = np.round(level)
    high = (level - index) * VERTEBRA * 0.9
    rib = np.clip(index.astype(int) + 8, 0, 23)
    tall = random.uniform(4.2, 7.2, 24)[rib]
    thick = random.uniform(2.7, 3.9, 24)[rib]
    across = across - random.uniform(-1.5, 1.5, 24)[rib]
    shape = (1 - np.hypot(high / tall, across / thick)) * np.minimum(thick, tall)
    # Low ribs end early; where a rib ends, cartilage goes on for a while.
    end = np.clip(150 + 2.2 * fall, 60, 330)
    outside = np.abs(x) - 54  # further in they lie before the back muscles
    bone = np.minimum(np.minimum(shape, outside), end - arc)
    gristle = np.minimum(np.minimum(shape, arc - end), end + 60 - arc)
    shell, marrow = random.uniform(480, 700), random.uniform(140, 240)
    hu = scene.hu[band]
    layers = ((gristle, random.uniform(90, 130)), (bone, shell), (bone - 1.7, marrow))
    for distance, level in layers:
        hu += coverage(distance, scene.pixel) * (level - hu)
    scene.hu[band] = hu
