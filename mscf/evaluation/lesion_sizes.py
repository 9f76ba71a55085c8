"""Misses and false components by size: in mm, in voxels where no spacing is known.

Made of ``lesions.csv`` of kept runs, read by ``read_beside`` with its ``fold`` and
``seed``, of a split by patient: there a seed tests each case once, whole.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mscf.evaluation.lesion_claim import shared_cases
from mscf.evaluation.lesions import LESION_SIZES

IN_MM = {  # how the classes of LESION_SIZES are called
    "below_10": "below 10 mm", "10_20": "10 to 20 mm", "above_20": "above 20 mm",
}  # fmt: skip
IN_VOXELS = {  # where the spacing is not known: from so many on
    "1 to 9 voxels": 1, "10 to 99 voxels": 10, "100 to 999 voxels": 100,
    "1000 voxels and more": 1000,
}  # fmt: skip
CLASSES = [*IN_MM.values(), *IN_VOXELS]


def lesions_by_size(lesions: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Of each size how many lesions there are, of how many patients, and each's finds.

    ``found``: one predicted component has an intersection over union above one half;
    ``met``: any predicted voxel lies in it. On the runs that all methods share; the
    last row is of all sizes.
    """
    table = {}
    for size, of in by_size(lesions, lesion=1).items():
        first = of[next(iter(lesions))]  # the true lesions are the same of all
        table[size] = {
            ("", "patients"): first["patient"].nunique(),
            ("", "lesions"): len(first),
        }
        for method, rows in of.items():
            table[size][method, "found"] = (rows["iou"] > 0.5).sum()
            table[size][method, "met"] = (rows["common"] > 0).sum()
    return pd.DataFrame(table).T


def components_by_size(lesions: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Of each size how many components each method predicts, and how many are false.

    ``no lesion``: of no lesion is the intersection over union above one half; ``meet
    none``: no voxel lies in any. On the runs that all methods share; the last row is of
    all sizes.
    """
    table = {}
    for size, of in by_size(lesions, lesion=0).items():
        table[size] = {}
        for method, rows in of.items():
            table[size][method, "drawn"] = len(rows)
            table[size][method, "no lesion"] = (rows["iou"] <= 0.5).sum()
            table[size][method, "meet none"] = (rows["common"] == 0).sum()
    return pd.DataFrame(table).T


def by_size(
    lesions: Mapping[str, pd.DataFrame], lesion: int
) -> dict[str, dict[str, pd.DataFrame]]:
    """Of each size, and of ``all``, each method's rows, on the runs that all share."""
    rows = shared_cases(lesions)
    rows = rows[rows["lesion"] == lesion].pipe(with_size)
    sizes = {size: rows[rows["size"] == size] for size in CLASSES} | {"all": rows}
    return {
        size: {method: of[of["method"] == method] for method in lesions}
        for size, of in sizes.items()
    }


def with_size(rows: pd.DataFrame) -> pd.DataFrame:
    """Each row with its class: by its diameter, by its voxels where none is known."""
    edges = [low for low, _ in LESION_SIZES.values()]
    mm = pd.cut(
        rows["diameter_mm"], [*edges, np.inf], right=False, labels=[*IN_MM.values()]
    )
    voxels = pd.cut(
        rows["voxels"], [*IN_VOXELS.values(), np.inf], right=False, labels=[*IN_VOXELS]
    )
    return rows.assign(size=mm.astype(object).where(mm.notna(), voxels.astype(object)))


def cases_by_any_overlap(lesions: pd.DataFrame) -> pd.DataFrame:
    """What `lesion_claim` reads of ``per_case.csv``, with any overlap for one half.

    A case without a lesion of which nothing is drawn has no row here.
    """
    true, met = lesions["lesion"] == 1, lesions["common"] > 0
    diameter, known = lesions["diameter_mm"], lesions["diameter_mm"].notna()
    size, (low, high) = next(iter(LESION_SIZES.items()))
    small = true & (low <= diameter) & (diameter < high)
    counted = {
        f"lesions_{size}": small.where(known),
        f"detected_{size}": (small & met).where(known),
        "false_50": ~true & ~met,
    }
    who = [lesions[name] for name in ("fold", "seed", "patient", "case")]
    rows = pd.DataFrame(counted).astype(float).groupby(who).sum(min_count=1)
    return rows.reset_index()
