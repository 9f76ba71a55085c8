"""The couch, and what encloses the organs: skin, fat and muscle."""

from __future__ import annotations

import numpy as np

from mscf.data.phantom.scene import Scene
from mscf.data.phantom.space import Field, coverage


def paint_couch(scene: Scene, random: np.random.Generator) -> None:
    """A thin curved table under the back, in most scans."""
    if random.random() > 0.8:
        return
    patient = scene.patient
    gap, curve = random.uniform(3, 14), random.uniform(0.0004, 0.0011)
    skin_of_back = -patient.half_depth / patient.flat_back
    top = skin_of_back - gap + curve * scene.box.x**2
    depth = np.broadcast_to(top - scene.box.y, scene.box.shape)
    scene.paint(scene.box, depth, -890)  # foam
    shell = random.uniform(16, 40)
    scene.paint(scene.box, 1.6 - np.abs(depth), random.uniform(-350, 600))
    scene.paint(scene.box, depth - shell, -1000)
    scene.paint(scene.box, 1.2 - np.abs(depth - shell), random.uniform(-600, -250))


def paint_wall(scene: Scene) -> None:
    """Skin, fat, the layers of the abdominal wall, fat with strands inside."""
    box, random = scene.box, scene.stream("layers")
    fat_hu, muscle_hu = random.normal(-103, 5), random.normal(58, 5)
    strands = Field(random, (7, 7, 12))(box)
    scene.paint(box, scene.skin, 15)
    scene.paint(box, scene.skin - 2, fat_hu + 5 * strands)
    threads = np.maximum(1 - 9 * np.abs(strands - 1.2), 0)
    scene.hu += coverage(scene.skin - 4, 2) * 40 * threads
    depth = scene.skin - scene.fat  # inside the outer face of the muscle
    fibres = 6 * Field(random, (9, 9, 25))(box)
    scene.paint(box, depth, muscle_hu + fibres)
    ends = Field(random, (28, 28, 60))(box)
    side = np.abs(box.x) / scene.patient.half_width
    flank = np.float32(12) * (side - 0.55) - 0.25 * np.maximum(box.z - 5, 0)
    for share in (0.36, 0.68):  # fat between the three flat muscles of the flank
        seam = 0.8 - np.abs(depth - (share + 0.05 * ends) * scene.muscle)
        scene.paint(box, np.minimum(seam, flank + 5 * ends), -30)
    scene.paint(box, scene.inner, fat_hu + 5 * strands)
    mesh = np.maximum(1 - 7 * np.abs(strands - 0.6), 0)
    mesh += np.maximum(1 - 7 * np.abs(ends - strands), 0)
    scene.hu += coverage(scene.inner - 3, 4) * 26 * mesh
    sheets = Field(random, (14, 9, 40))(box)
    marbling = 26 * np.maximum(Field(random, (5, 5, 14))(box) - 1.1, 0)
    marbling += 70 * np.maximum(1 - 9 * np.abs(sheets - 0.5), 0)
    # They bulge into the fat behind the wall's own layer; cut by it they were a block.
    back = np.minimum(scene.back, scene.skin - 0.45 * scene.fat - 2)
    scene.paint(box, back, muscle_hu + fibres - marbling)
