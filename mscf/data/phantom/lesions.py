"""Tumours, and what looks like them: cysts and focal fat."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mscf.data.phantom.liver import Plan
from mscf.data.phantom.patient import Patient
from mscf.data.phantom.scene import Scene
from mscf.data.phantom.space import Array, Box, Field, coverage, ellipsoid

LOWEST = -40  # mm; no lesion's centre lies lower, and every scan reaches so far
DARK_LIVER = 80  # HU; below it lesions and vessels differ less from the liver


@dataclass(frozen=True)
class Habit:
    """How the tumours of one kind of phantom are drawn."""

    counts: tuple[int, ...]  # of a patient, equally likely
    diameter: tuple[float, float]  # mm
    skew: float  # 1: logarithm of the diameter is even; below 1: more large ones
    contrast: tuple[float, float]  # HU
    bright: float  # share of patients whose tumours are brighter than the liver
    edge: tuple[float, float]  # mm, logistic width of the border
    phases: dict[str, float]  # shares


HABITS = {
    "all": Habit(
        counts=(0, 1, 1, 2, 2, 3, 3, 4, 5, 6),
        diameter=(4, 72),
        skew=0.75,
        contrast=(12, 55),
        bright=0.1,
        edge=(0.5, 3.2),
        phases={"portal": 0.7, "arterial": 0.15, "unenhanced": 0.15},
    ),
    # Few, large and dark: what a network learns in minutes. Liver levels are spread so
    # wide that no threshold serves all patients: one's liver is another's tumour.
    "large": Habit(
        counts=(2, 2, 3),
        diameter=(15, 72),
        skew=0.4,
        contrast=(24, 50),
        bright=0.0,
        edge=(0.5, 2.2),
        phases={"portal": 0.65, "arterial": 0.1, "unenhanced": 0.25},
    ),
}


@dataclass(frozen=True)
class Lesion:
    """A place in the liver; ``hu`` adds to its level, or is a cyst's own."""

    name: str
    centre: Array
    radius: float
    hu: float
    edge: float


def draw_tumours(patient: Patient, plan: Plan, habit: Habit) -> list[Lesion]:
    """The tumours of a patient: apart from each other, alike in contrast."""
    random = patient.stream("tumours")
    contrast = random.uniform(*habit.contrast)
    sign = 1 if random.random() < habit.bright else -1
    low, high = np.log(habit.diameter)
    tumours: list[Lesion] = []
    for number in range(random.choice(habit.counts)):
        radius = np.exp(low + (high - low) * random.random() ** habit.skew) / 2
        hu = sign * np.clip(contrast * random.uniform(0.7, 1.3), *habit.contrast)
        edge = min(random.uniform(*habit.edge), 0.4 * radius)
        place = free_place(random, plan, tumours, radius)
        if place is not None:
            tumours.append(Lesion(f"tumour {number}", place, radius, hu, edge))
    return tumours


def draw_cysts(patient: Patient, plan: Plan, tumours: list[Lesion]) -> list[Lesion]:
    """None to four cysts: water, sharp and round."""
    random = patient.stream("cysts")
    cysts: list[Lesion] = []
    for number in range(random.choice(5)):
        radius, hu = np.exp(random.uniform(*np.log((2, 11)))), random.uniform(2, 18)
        place = free_place(random, plan, tumours + cysts, radius)
        if place is not None:
            cysts.append(Lesion(f"cyst {number}", place, radius, hu, 0.0))
    return cysts


def free_place(
    random: np.random.Generator, plan: Plan, others: list[Lesion], radius: float
) -> Array | None:
    """A place deep enough in the liver, at a height every scan shows, not taken."""
    some = random.permutation(len(plan.points))[:400]
    points, depth = plan.points[some], plan.depth[some]
    good = (depth > 0.45 * radius) & (points[:, 2] > LOWEST) & (points[:, 2] < 50)
    for other in others:
        apart = np.linalg.norm(points - other.centre, axis=1)
        good &= apart > 1.15 * (radius + other.radius)
    return points[good][0] if good.any() else None


def grown(tumours: list[Lesion], growth: float, habit: Habit) -> list[Lesion]:
    """The same tumours at another time, ``growth`` times as wide, within the habit."""
    low, high = np.array(habit.diameter) / 2
    return [
        replace(tumour, radius=float(np.clip(growth * tumour.radius, low, high)))
        for tumour in tumours
    ]


def paint_tumours(scene: Scene, box: Box, liver: Array, tumours: list[Lesion]) -> Array:
    """Paints tumours and gives their mask on the liver's box."""
    mask = np.zeros(box.shape, bool)
    level = scene.phase.liver
    faint = 0.7 if level < DARK_LIVER else 1.0
    for tumour in tumours:
        random = scene.stream(tumour.name)
        radius = tumour.radius
        part, shape = lesion_shape(random, box, tumour.centre, radius, 0.22, 0.13)
        inside = liver[part.place]
        hu = max(level + faint * tumour.hu, min(level - 10, 26))
        grain = Field(random, max(radius / 4, 2.5))(part)
        target = hu + 0.16 * faint * abs(tumour.hu) * grain
        if radius > 18 and random.random() < 0.4:  # a core without blood
            core = coverage(shape - 0.45 * radius + 0.08 * radius * grain, 4)
            target += core * (max(hu - random.uniform(8, 25), 12) - hu)
        view = scene.hu[box.place][part.place]
        border = 1 / (1 + np.exp(-np.clip(shape / tumour.edge, -20, 20)))
        view += border * coverage(inside, scene.pixel) * (target - view)
        if radius > 8 and random.random() < 0.28:  # a rim full of blood
            rim = coverage(1.6 - np.abs(shape + 0.5), 2) * random.uniform(14, 38)
            view += 0.5 * faint * rim * coverage(inside, scene.pixel)
        mask[part.place] |= (shape > 0) & (inside > 0)
    return mask


def paint_cysts(scene: Scene, box: Box, liver: Array, cysts: list[Lesion]) -> None:
    """Paints cysts; they are labelled liver, as LiTS's custom is."""
    for cyst in cysts:
        random = scene.stream(cyst.name)
        part, shape = lesion_shape(random, box, cyst.centre, cyst.radius, 0.08, 0.03)
        view = scene.hu[box.place][part.place]
        inside = coverage(np.minimum(shape, liver[part.place]), scene.pixel)
        view += inside * (cyst.hu - view)


def lesion_shape(
    random: np.random.Generator,
    box: Box,
    centre: Array,
    radius: float,
    stretch: float,
    bumps: float,
) -> tuple[Box, Array]:
    """An ellipsoid of a ball's volume, its surface displaced by ``bumps`` radii."""
    part = box.around(centre, 1.7 * radius + 3)
    axes = random.uniform(1 - stretch, 1 + stretch, 3)
    axes *= radius / np.cbrt(axes.prod())
    shape = ellipsoid(part, centre, axes, turn=random.uniform(0, 3))
    return part, shape + bumps * radius * Field(random, max(0.7 * radius, 2.5))(part)


def paint_focal_fat(scene: Scene, box: Box, liver: Array) -> None:
    """A darker patch beside the fissure in three of ten patients; no tumour."""
    random, patient = scene.stream("focal fat"), scene.patient
    if random.random() > 0.3:
        return
    x, y = 0.10 * patient.half_width, 0.5 * patient.half_depth
    centre = (x, y, random.uniform(-5, 15))
    part = box.around(centre, 30)
    patch = ellipsoid(part, centre, random.uniform(8, 15, 3))
    patch = patch + 3 * Field(random, 10)(part)
    view = scene.hu[box.place][part.place]
    fade = coverage(patch, 5) * coverage(liver[part.place], scene.pixel)
    view += fade * random.uniform(-32, -14)
