"""Small bowel, colon and mesentery: what crowds the cavity."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from mscf.data.phantom.scene import Scene
from mscf.data.phantom.space import FAR, Array, Field, rods, tube
from mscf.data.phantom.tree import grow


def paint_bowel(scene: Scene) -> None:
    """Loops of small bowel and the colon, pressed against each other like cells.

    Each point belongs to the loop whose surface is nearest; halfway to the next loop
    lies a seam of fat. So loops fill the room whatever their number.
    """
    random = scene.stream("bowel")
    loops, radii, kinds = small_bowel(scene, random)
    for path, radius in colon(scene, random):
        loops += path
        radii += [radius] * len(path)
        kinds += ["colon"] * len(path)
    radii = np.array(radii, np.float32)
    box = scene.box
    first = np.full(box.shape, -FAR, np.float32)
    second = first.copy()
    owner = np.zeros(box.shape, np.uint8)
    for number, (path, radius) in enumerate(zip(loops, radii, strict=True)):
        reach = radius + 12
        part = box.cut(path.min(axis=0) - reach, path.max(axis=0) + reach)
        if 0 in part.shape:
            continue
        outside = -tube(part, path, np.full(len(path), radius), margin=12)
        one, two, who = (a[part.place] for a in (first, second, owner))
        nearer = outside < one
        np.minimum(two, np.maximum(one, outside), out=two)
        who[nearer] = number
        np.minimum(one, outside, out=one)
    folds = 1.3 * Field(random, (9, 9, 9))(box)
    depth = np.minimum(-first, (second - first) / 2 - 0.8) + folds
    depth = np.minimum(depth, scene.room - 1.5)
    middle = np.array([path[:, 1].mean() for path in loops])
    contents(scene, random, depth, owner, np.array(kinds), middle)


def small_bowel(scene: Scene, random) -> tuple[list[Array], list[float], list[str]]:
    """Short bent tubes in the middle and left of the cavity, low under the liver."""
    width, depth = scene.patient.half_width, scene.patient.half_depth
    paths, radii = [], []
    for _ in range(180):
        x, y = random.uniform(-0.8, 0.6) * width, random.uniform(-0.15, 0.85) * depth
        top = 28 if x < -0.15 * width else -30
        z = random.uniform(-175, top)
        steps = random.standard_normal((3, 3)) * (13, 13, 8)
        paths.append(np.cumsum(np.vstack([[x, y, z], steps]), axis=0))
        radii.append(random.uniform(10, 17))
    return paths, radii, ["small"] * len(paths)


def colon(scene: Scene, random) -> list[tuple[list[Array], float]]:
    """Pieces of the colon along its frame, each with its own radius."""
    width, depth = scene.patient.half_width, scene.patient.half_depth
    sag = random.uniform(-85, -35)
    frame = np.array(
        [
            (0.66, -0.05, -190), (0.66, 0.05, -110), (0.55, 0.30, -75),
            (0.25, 0.62, sag), (-0.15, 0.70, sag), (-0.42, 0.62, sag + 45),
            (-0.56, 0.48, 20), (-0.68, 0.16, random.uniform(20, 55)),
            (-0.70, -0.15, -30), (-0.68, -0.12, -100), (-0.62, -0.05, -190),
        ]
    ) * (width, depth, 1)  # fmt: skip
    frame += random.standard_normal(frame.shape) * (6, 6, 6)
    pieces = []
    for start, end in pairwise(frame):
        n = max(int(np.linalg.norm(end - start) / 22), 2)
        points = np.linspace(start, end, n + 1)
        points[1:-1] += random.standard_normal((n - 1, 3)) * 4
        radius = random.choice([12.0, 17.0, 22.0])
        pieces.append(
            ([points[i : i + 2] for i in range(n)], radius + random.uniform(-2, 3))
        )
    return pieces


def contents(
    scene: Scene, random, depth: Array, owner: Array, kinds: Array, middle: Array
) -> None:
    """Wall, and inside it fluid, contrast, stool or gas above a level."""
    n, colon_loop = len(kinds), kinds == "colon"
    wall = random.normal(scene.phase.bowel, 9, n).astype(np.float32)
    drink = random.random() < 0.35  # contrast was drunk before the scan
    level = random.uniform(5, 40, n)
    level = np.where(
        (random.random(n) < 0.6) & drink, random.uniform(100, 330, n), level
    )
    level = np.where(colon_loop, random.uniform(-10, 60, n), level).astype(np.float32)
    thick = np.where(colon_loop, random.uniform(1.5, 2.8, n), random.uniform(2, 6, n))
    collapsed = ~colon_loop & (random.random(n) < 0.45)
    thick[collapsed] = 30
    mottled = Field(random, (3.5, 3.5, 4))(scene.box)
    stool = colon_loop & (random.random(n) < 0.6)
    gas_share = np.where(colon_loop, random.choice([-1.0, 0.0, 0.5], n), -2.0)
    gas_share[~colon_loop & (random.random(n) < 0.12)] = 0.3

    box = scene.box
    scene.paint(box, depth, wall[owner])
    inside = depth - thick.astype(np.float32)[owner]
    filling = level[owner] + 30 * stool.astype(np.float32)[owner] * mottled
    scene.paint(box, inside, filling)
    bubbles = np.minimum(inside - 1, 2 * (mottled - 1.5)) - 9 * ~stool[owner]
    scene.paint(box, bubbles, -450)
    surface = (middle - 10 * gas_share).astype(np.float32)
    above = box.y - surface[owner]
    gas = np.minimum(inside, np.where(gas_share[owner] > -1.5, above, FAR))
    scene.paint(box, gas, -960)


def paint_mesentery(scene: Scene) -> None:
    """Vessels between the loops."""
    random, patient = scene.stream("mesentery"), scene.patient
    width, depth, back = patient.half_width, patient.half_depth, patient.spine_y
    lower, upper = np.array([-4, back + 48, -45]), np.array([-12, back + 50, -12])
    regions = (
        (lower, 170, 6.5, (-0.65, 0.55), (-0.05, 0.7), (-180, -35)),
        (upper, 90, 5.0, (-0.75, -0.1), (-0.2, 0.75), (-30, 50)),
    )
    for root, n, radius, x, y, z in regions:
        ends = [random.uniform(*x, n) * width, random.uniform(*y, n) * depth]
        tree = grow(
            random, root, np.column_stack([*ends, random.uniform(*z, n)]), radius
        )
        vessel = np.minimum(rods(scene.box, tree, margin=2), scene.room - 4)
        scene.paint(scene.box, vessel, scene.phase.veins)
