"""Aorta, cava, portal vein and their branches, with what lies along them."""

from __future__ import annotations

import numpy as np

from mscf.data.phantom.kidneys import SIDES, kidney_centre
from mscf.data.phantom.scene import Scene
from mscf.data.phantom.space import Array, Box, Field, tube


def paint_branches(scene: Scene) -> None:
    """Crura, adrenals, and what leaves the aorta and enters the cava."""
    random, patient, phase = scene.stream("vessels"), scene.patient, scene.phase
    width, back = patient.half_width, patient.spine_y
    box = scene.box.cut((-0.6 * width, back - 20, -500), (0.6 * width, back + 110, 500))
    room = scene.inner[box.place]
    front = -scene.back[box.place]
    for side in (-1, 1):
        crus = np.array(
            [
                (-8 + side * 4, back + 46, 45), (-9 + side * 15, back + 38, 22),
                (-4 + side * 19, back + 27, -25), (-2 + side * 18, back + 20, -75),
            ]
        )  # fmt: skip
        thick = np.array([5.0, 4.5, 5.0, 2.0]) * random.uniform(0.8, 1.2)
        band = tube(box, crus, thick) + 0.8 * Field(random, 14)(box)
        scene.paint(box, np.minimum(band, room), 58)
    scene.paint(box, np.minimum(gullet_shape(scene, box), room), 55)
    for side, x in (("right", 30.0), ("left", -36.0)):
        z = kidney_centre(scene, side)[2] + 58
        y, s = back + 28, SIDES[side]
        for foot in ((x + s * 14, y - 12, z - 22), (x + s * 2, y - 14, z - 22)):
            limb = np.array([(x, y + 8, z + 8), (x + s * 2, y, z - 4), foot], float)
            gland = tube(box, limb, np.array([2.4, 3.2, 2.4]))
            scene.paint(box, np.minimum(gland, front - 1), 0.5 * phase.spleen + 20)
    for side, z in (("right", -5), ("left", 0)):
        x, y, zk = kidney_centre(scene, side)
        hilum = (x - SIDES[side] * 18, y + 4, zk)
        vein = np.array(
            [hilum, (SIDES[side] * 24, back + 34, zk + z), (20, back + 32, zk + 8)]
        )
        if side == "left":  # in front of the aorta
            vein[1] = (-8, back + 49, zk + 4)
        scene.paint(
            box, np.minimum(tube(box, vein, np.full(3, 4.8)), front), phase.veins
        )
        artery = np.array([(-9, back + 31, zk + 5), hilum])
        artery = tube(box, artery, np.array([3.2, 2.5]))
        scene.paint(box, np.minimum(artery, front), phase.aorta)
    branches = (
        ((-8, back + 30, -14), (-6, back + 56, -8), (0.18 * width, back + 66, -4)),
        ((-8, back + 30, -14), (-6, back + 56, -8), (-0.5 * width, back + 30, 6)),
        ((-8, back + 30, -30), (-5, back + 50, -45), (-6, back + 54, -150)),
    )
    for branch in branches:
        artery = tube(box, np.array(branch), np.array([3.8, 3.2, 2.2]))
        scene.paint(box, np.minimum(artery, room - 3), phase.aorta)
    vein = np.array([(0.00 * width, back + 46, -16), (8, back + 54, -160)])
    scene.paint(
        box, np.minimum(tube(box, vein, np.array([6.0, 4.5])), room), phase.veins
    )


def paint_trunks(scene: Scene) -> None:
    """Aorta with plaques in its wall, cava, and the oesophagus above the diaphragm."""
    random, patient, phase = scene.stream("trunks"), scene.patient, scene.phase
    back = patient.spine_y
    box = scene.box.cut((-70, back, -500), (70, back + 100, 500))
    room, aorta = scene.inner[box.place], aorta_shape(scene, box)
    gullet = np.minimum(gullet_shape(scene, box), 4 - scene.dome[box.place])
    scene.paint(box, np.minimum(gullet, room), 55)
    scene.paint(box, np.minimum(cava_shape(scene, box), room), phase.veins)
    scene.paint(box, np.minimum(aorta, room), 55)
    scene.paint(box, np.minimum(aorta - 1.2, room), phase.aorta)
    if random.random() < 0.35:
        plaque = 1.6 - np.abs(aorta - 0.8)
        plaque = np.minimum(plaque, 4 * (Field(random, 8)(box) - 1.4))
        scene.paint(box, plaque, random.uniform(350, 700))


def aorta_shape(scene: Scene, box: Box) -> Array:
    """In front of the spine, a little to the left."""
    random, back = scene.stream("aorta"), scene.patient.spine_y
    path = np.array(
        [(-19, back + 18, 130), (-10, back + 30, 20), (-7, back + 32, -190)]
    )
    radius = random.uniform(9, 12.5)
    return tube(box, path, np.array([radius + 1.5, radius, radius - 2]))


def gullet_shape(scene: Scene, box: Box) -> Array:
    """The oesophagus, down to the stomach."""
    random, back = scene.stream("gullet"), scene.patient.spine_y
    path = [(-12, back + 40, 130), (-18, back + 52, 45), (-44, back + 62, 30)]
    shape = tube(box, np.array(path), np.full(3, 8.5))
    return shape + 0.8 * Field(random, 12)(box)


def cava_shape(scene: Scene, box: Box) -> Array:
    """The inferior cava, oval, moving forward into the heart."""
    back = scene.patient.spine_y
    random = scene.stream("cava")
    wide = random.uniform(9, 12)
    path = np.array(
        [
            (17, back + 26, -190),
            (18, back + 30, -40),
            (20, back + 48, 40),
            (6, back + 62, 90),
        ]
    )
    flat = tube(box, path, np.full(4, wide), margin=9)
    beside = tube(box, path + np.array([6, -1, 0]), np.full(4, wide - 1), margin=9)
    return np.maximum(flat, beside)


def portal_path(scene: Scene) -> np.ndarray:
    """The portal vein from behind the pancreas to its fork, and on to the left."""
    random, patient = scene.stream("portal"), scene.patient
    width, back = patient.half_width, patient.spine_y
    z = random.uniform(-6, 4)
    return np.array(
        [
            (0.00 * width, back + 46, z - 16),
            (0.19 * width, back + 54, z),
            (0.13 * width, back + 68, z + 7),
            (random.uniform(-0.02, 0.06) * width, back + 78, z + 11),
        ]
    )
