"""One case: a patient is drawn, painted on the grid of a scan, and scanned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mscf.data.phantom.bones import paint_ribs, paint_spine
from mscf.data.phantom.bowel import paint_bowel, paint_mesentery
from mscf.data.phantom.chest import paint_chest
from mscf.data.phantom.great_vessels import paint_branches, paint_trunks
from mscf.data.phantom.imaging import scan
from mscf.data.phantom.kidneys import paint_kidneys
from mscf.data.phantom.lesions import (
    HABITS,
    LOWEST,
    draw_cysts,
    draw_tumours,
    grown,
    paint_cysts,
    paint_focal_fat,
    paint_tumours,
)
from mscf.data.phantom.liver import paint_liver, plan_liver
from mscf.data.phantom.organs import (
    paint_gall_bladder,
    paint_pancreas,
    paint_spleen,
    paint_stomach,
)
from mscf.data.phantom.patient import Patient, stream
from mscf.data.phantom.phase import Phase
from mscf.data.phantom.scene import Scene
from mscf.data.phantom.space import Array, Box
from mscf.data.phantom.wall import paint_couch, paint_wall

# How files are stored: mostly as scanners do, now and then with axes in other order.
ORIENTATIONS = ("LPS", "LAS", "RAS", "LPI", "RPS", "RAI", "PLS", "SLP")
ORIENTATION_SHARES = (0.3, 0.2, 0.2, 0.08, 0.08, 0.06, 0.04, 0.04)


@dataclass(frozen=True)
class Phantom:
    """A synthetic CT: ``hu`` int16 and ``labels`` uint8, both ``(X, Y, Z)`` in RAS.

    ``orientation`` is the axis order its file is stored in.
    """

    hu: Array
    labels: Array
    affine: Array
    spacing: tuple[float, float, float]
    orientation: str
    patient: int
    phase: Phase


def patient_of(case: int) -> int:
    """The patient of a case: every sixth is a second scan of the one before it."""
    return case - 1 if case % 6 == 3 else case


def phantom(
    case: int = 0, seed: int = 0, size: int = 256, lesions: str = "all"
) -> Phantom:
    """The case number ``case`` of a seed; ``lesions`` as in `make_phantoms`."""
    habit = HABITS[lesions]
    number = patient_of(case)
    patient, random = Patient.draw(seed, number), stream(seed, case, "scan")
    phase = Phase.draw(random, habit.phases)
    box, spacing = scan_grid(random, patient, size)
    growth = 1.0 if case == number else float(random.uniform(0.85, 1.15))

    plan = plan_liver(Scene(patient, phase, coarse_grid()))
    tumours = draw_tumours(patient, plan, habit)
    cysts = draw_cysts(patient, plan, tumours)
    tumours = grown(tumours, growth, habit)

    scene = Scene(patient, phase, box)
    paint_couch(scene, random)
    paint_wall(scene)
    paint_bowel(scene)
    paint_mesentery(scene)
    paint_kidneys(scene)
    paint_pancreas(scene)
    paint_branches(scene)
    paint_stomach(scene)
    paint_spleen(scene)
    paint_gall_bladder(scene)
    liver_box, liver = paint_liver(scene, plan)
    paint_focal_fat(scene, liver_box, liver)
    paint_cysts(scene, liver_box, liver, cysts)
    tumour = paint_tumours(scene, liver_box, liver, tumours)
    paint_chest(scene)
    paint_trunks(scene)
    paint_ribs(scene)
    paint_spine(scene)

    labels = np.zeros(box.shape, np.uint8)
    view = labels[liver_box.place]
    view[liver > 0] = 1
    view[tumour] = 2
    return Phantom(
        hu=scan(random, scene.hu, box, patient.spine_y),
        labels=labels,
        affine=affine_of(random, box, spacing),
        spacing=spacing,
        orientation=str(random.choice(ORIENTATIONS, p=ORIENTATION_SHARES)),
        patient=number,
        phase=phase,
    )


def scan_grid(
    random: np.random.Generator, patient: Patient, size: int
) -> tuple[Box, tuple[float, float, float]]:
    """A field of view of 1.0 to 1.16 body widths, 24 to 48 slices, from the lungs."""
    pixel = 2 * patient.half_width * random.uniform(1.0, 1.16) / size
    pixel = round(pixel, 3)
    thick = float(random.choice([2.5, 3.0, 3.75, 4.0, 5.0]))
    slices = int(np.clip(round(random.uniform(115, 165) / thick), 24, 48))
    top = patient.dome[0] + random.uniform(-2, 22)
    top = min(top, LOWEST - 5 + thick * (slices - 1))
    row = (np.arange(size) - (size - 1) / 2) * pixel
    x, y = row + random.normal(0, 4), row + random.normal(0, 4) - 6
    return Box.grid(x, y, top - thick * np.arange(slices)[::-1]), (pixel, pixel, thick)


def coarse_grid() -> Box:
    """Voxels of 5 mm round the liver, the same for every scan of a patient."""
    x, y, z = np.arange(-120, 185, 5), np.arange(-145, 155, 5), np.arange(-135, 95, 5)
    return Box.grid(x, y, z)


def affine_of(
    random: np.random.Generator, box: Box, spacing: tuple[float, float, float]
) -> Array:
    """Voxel to world in RAS; a scanner's origin lies anywhere."""
    affine = np.diag([*spacing, 1.0])
    corner = np.array([box.x.flat[0], box.y.flat[0], box.z.flat[0]], float)
    affine[:3, 3] = np.round(
        corner + random.uniform(-300, 300) * np.array([0, 0, 1]), 2
    )
    return affine
