"""What a folder of labelled cases is like: tissues, lesions, spacing, numbers.

One volume is in memory at a time and process; what stays of it are sums and a slice.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage
from tqdm import tqdm

from mscf.data.cases import Case
from mscf.data.processes import how_many, in_order
from mscf.data.volume import LIVER, TUMOUR, as_slices, read_labels, read_volume
from mscf.errors import SettingsError

BODY = -200  # HU; below it is air, lung or the table's foam
BINS = np.arange(-200, 305, 5)  # HU, of the histograms
TISSUES = ("body", "liver", "tumour")


@dataclass(frozen=True)
class CaseFacts:
    """One case: a row of facts, a row a lesion, a histogram a tissue, one slice."""

    facts: dict
    lesions: list[dict]
    histogram: NDArray[np.int64]  # (tissues, bins)
    hu: NDArray[np.int16]  # (H, W), the slice with most tumour, else with most liver
    labels: NDArray[np.uint8]


@dataclass(frozen=True)
class Exploration:
    """All cases: tables, the voxels of each tissue by HU, and one slice of each."""

    cases: pd.DataFrame
    lesions: pd.DataFrame
    histogram: pd.DataFrame  # a row a bin by its lower end, a column a tissue
    slices: list[tuple[str, NDArray[np.int16], NDArray[np.uint8], tuple[float, float]]]


def numbered(cases: Sequence[Case], number: int) -> Case:
    """The case of this number, counted from 0.

    Raises:
        SettingsError: there is none.
    """
    if not 0 <= number < len(cases):  # a negative one would count from the end
        raise SettingsError(
            "case", f"must be from 0 to {len(cases) - 1}", number, "case"
        )
    return cases[number]


def explore(cases: Sequence[Case], processes: int | None = None) -> Exploration:
    """Reads every case once, in as many processes as there are cores.

    Raises:
        InputError: a case is refused, as ``prepare`` would refuse it.
    """
    found = in_order(case_facts, cases, min(how_many(processes), len(cases)))
    hidden = not sys.stderr.isatty()
    every = list(tqdm(found, "volumes", len(cases), leave=False, disable=hidden))
    table = pd.DataFrame([one.facts for one in every])
    return Exploration(
        table,
        pd.DataFrame([row for one in every for row in one.lesions], columns=LESION),
        pd.DataFrame(sum(one.histogram for one in every).T, BINS[:-1], list(TISSUES)),
        [(one.facts["case"], one.hu, one.labels, one.facts["pixel"]) for one in every],
    )


LESION = ["case", "patient", "volume_ml", "diameter_mm", "mean_hu", "contrast_hu"]


def case_facts(case: Case) -> CaseFacts:
    """Reads, checks and measures one case."""
    volume = read_volume(case.image)
    labels = read_labels(case.label, like=volume)[0]
    hu, labels = as_slices(volume.voxels), as_slices(labels)
    x, y, z = volume.spacing
    known = case.spacing_known and volume.spacing_known
    ml = volume.voxel_ml if known else math.nan
    liver, tumour = labels == LIVER, labels == TUMOUR
    liver_hu = float(hu[liver].mean()) if liver.any() else math.nan
    shown = int((tumour if tumour.any() else labels > 0).sum(axis=(1, 2)).argmax())
    lesions = lesions_of(hu, tumour, ml, liver_hu)
    who = {"case": case.name, "patient": case.patient}
    facts = {
        **who,
        "slices": len(hu),
        "tumour_slices": int(tumour.any(axis=(1, 2)).sum()),
        "pixel_mm": y if known else math.nan,
        "thickness_mm": z if known else math.nan,
        "pixel": (y, x),
        "liver_ml": float(np.count_nonzero(labels)) * ml,
        "tumour_ml": float(tumour.sum()) * ml,
        "lesions": len(lesions),
        "liver_hu": liver_hu,
    }
    return CaseFacts(
        facts,
        [who | lesion for lesion in lesions],
        np.stack([histogram(hu[part]) for part in (hu > BODY, liver, tumour)]),
        np.array(hu[shown]),
        np.array(labels[shown]),
    )


def lesions_of(
    hu: NDArray, tumour: NDArray[np.bool_], ml: float, liver_hu: float
) -> list[dict]:
    """A row for each component of a tumour mask, connected by faces.

    The diameter is that of the ball of equal volume, the contrast the mean HU less that
    of the liver without tumour: below 0, the lesion is darker.
    """
    components, n = ndimage.label(tumour)
    numbers = np.arange(1, n + 1)
    sizes = np.bincount(components.ravel(), minlength=n + 1)[1:] * ml
    means = ndimage.mean(hu, components, numbers)
    return [
        {
            "volume_ml": size,
            "diameter_mm": 10 * math.cbrt(6 / math.pi * size),
            "mean_hu": mean,
            "contrast_hu": mean - liver_hu,
        }
        for size, mean in zip(
            sizes.tolist(), np.atleast_1d(means).tolist(), strict=True
        )
    ]


def histogram(values: NDArray) -> NDArray[np.int64]:
    """Voxels in each of the bins; those beyond their ends are left out."""
    return np.histogram(values, BINS)[0]
