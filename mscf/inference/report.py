"""What was found in one scan: a JSON, a table of lesions and an overview to look at.

``as_record`` is what a report says, ``overview`` what it shows: more to measure goes
into the first, more to draw into the second.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from nibabel.orientations import ornt2axcodes

from mscf.data.scan import Scan, SliceFile
from mscf.data.spreadsheet import as_csv
from mscf.errors import printable
from mscf.inference.lesions import Lesion
from mscf.inference.weights import Trained
from mscf.replacing import replacing
from mscf.visualisation.lesions import draw_areas, draw_lesion_slice

NOTICE = "Research code, no medical device: not for any decision about a patient."
SHOWN = 6  # slices in the overview
LESION = ["number", "voxels", "volume_ml", "diameter_mm", "diameter_slice",
          "first_slice", "last_slice", "slices"]  # fmt: skip

CASE = ["case", "slices", "lesions", "tumour_ml", "largest_diameter_mm",
        "tumour_slices"]  # fmt: skip


@dataclass(frozen=True)
class CaseReport:
    """One scan's mask, its lesions, and how they came about.

    ``scan`` and ``mask`` can be read only until their files are closed.
    """

    name: str
    source: str  # the file's name
    scan: Scan
    mask: SliceFile
    lesions: list[Lesion]
    trained: Trained
    seconds: float
    filters: dict[str, float | bool]  # what was asked to be dropped

    @property
    def tumour_ml(self) -> float | None:
        """Volume of all lesions; None where the spacing is unknown."""
        return self.ml(sum(lesion.voxels for lesion in self.lesions))

    @property
    def largest_mm(self) -> float | None:
        """The largest diameter of any lesion; None without lesion or spacing."""
        if not (self.scan.spacing_known and self.lesions):
            return None
        return round(max(lesion.diameter for lesion in self.lesions), 2)

    @property
    def tumour_slices(self) -> int:
        """How many slices hold tumour."""
        spans = (range(a.first_slice, a.last_slice + 1) for a in self.lesions)
        return len({i for span in spans for i in span})

    def ml(self, voxels: int) -> float | None:
        """Voxels as millilitres, to a microlitre; None where the spacing is unknown."""
        known = self.scan.spacing_known
        return round(voxels * self.scan.voxel_ml, 3) if known else None


def lesion_rows(report: CaseReport) -> list[dict]:
    """A row a lesion, the largest first."""
    known = report.scan.spacing_known
    return [
        {
            "number": lesion.number,
            "voxels": lesion.voxels,
            "volume_ml": report.ml(lesion.voxels),
            "diameter_mm": round(lesion.diameter, 2) if known else None,
            "diameter_slice": lesion.key_slice,
            "first_slice": lesion.first_slice,
            "last_slice": lesion.last_slice,
            "slices": lesion.last_slice - lesion.first_slice + 1,
        }
        for lesion in report.lesions
    ]


def as_record(report: CaseReport) -> dict:
    """The whole report, as JSON takes it. Slices count from the lowest, which is 0."""
    scan, trained = report.scan, report.trained
    x, y, z = scan.spacing
    return {
        "notice": NOTICE,
        "case": report.name,
        "source": report.source,
        "mask": f"{report.name}.nii.gz",
        "labels": {"0": "all else", "2": "tumour"},
        "grid": {
            "shape": list(scan.header.shape),
            "orientation": "".join(ornt2axcodes(scan.orientation)),
            "slices": len(scan.slices),
            "spacing_mm": [x, y, z] if scan.spacing_known else None,
        },
        "weights": {
            "method": trained.method,
            "image_size": trained.image_size,
            "window": list(trained.window),
            "sha256": trained.digest,
        },
        "filters": report.filters,
        "repairs": [str(repair) for repair in scan.repairs],
        "lesion_count": len(report.lesions),
        "tumour_ml": report.tumour_ml,
        "largest_diameter_mm": report.largest_mm,
        "tumour_slices": report.tumour_slices,
        "lesions": lesion_rows(report),
    }


def write_report(report: CaseReport, folder: Path) -> None:
    """NAME.json, NAME.csv and NAME.png, each whole or not at all."""
    with replacing(folder / f"{report.name}.json") as file:
        json.dump(as_record(report), file, indent=2)
        file.write("\n")
    with replacing(folder / f"{report.name}.csv") as file:
        file.write(as_csv(pd.DataFrame(lesion_rows(report), columns=LESION)))
    with replacing(folder / f"{report.name}.png", text=False) as file:
        overview(report).savefig(file, format="png", dpi=150)


def cases_table(reports: Sequence[CaseReport]) -> pd.DataFrame:
    """A row a scan: the columns of cases.csv."""
    rows = [
        {
            "case": report.name,
            "slices": len(report.scan.slices),
            "lesions": len(report.lesions),
            "tumour_ml": report.tumour_ml,
            "largest_diameter_mm": report.largest_mm,
            "tumour_slices": report.tumour_slices,
        }
        for report in reports
    ]
    return pd.DataFrame(rows, columns=CASE)


def write_cases(reports: Sequence[CaseReport], path: Path) -> None:
    """cases.csv."""
    with replacing(path) as file:
        file.write(as_csv(cases_table(reports)))


def key_slices(report: CaseReport) -> list[int]:
    """The slices to show: where the largest lesions are widest; else evenly spread."""
    if report.lesions:
        shown = dict.fromkeys(lesion.key_slice for lesion in report.lesions)
        return sorted(list(shown)[:SHOWN])
    n_slices = len(report.scan.slices)
    places = np.linspace(0, n_slices - 1, min(SHOWN, n_slices) + 2)[1:-1]
    return sorted({round(place) for place in places.tolist()})


def overview(report: CaseReport) -> Figure:
    """Key slices with the mask's border, and below them its area slice by slice."""
    scan, mask = report.scan, report.mask
    shown = key_slices(report)
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(7.2, 2.3 * rows + 1.9), layout="constrained")
    axes = figure.subplot_mosaic(
        [[f"{row * columns + c}" for c in range(columns)] for row in range(rows)]
        + [["areas"] * columns],
        height_ratios=[2.3] * rows + [1.0],
    )
    x, y, _ = scan.spacing
    for place, i in enumerate(shown):
        of_slice = [n for n in report.lesions if n.key_slice == i]
        ax = draw_lesion_slice(axes.pop(f"{place}"), scan.slices[i], mask[i] > 0, y / x)
        ax.set_title(caption(report, i, of_slice), fontsize=8)
    areas = np.array([np.count_nonzero(mask[i]) for i in range(len(mask))])
    unit = "pixels"
    if scan.spacing_known:
        areas, unit = areas * (x * y / 100), "cm²"
    draw_areas(axes.pop("areas"), areas, shown, unit)
    for ax in axes.values():
        ax.set_axis_off()
    figure.suptitle(headline(report), fontsize=10, parse_math=False)
    figure.supxlabel(NOTICE, fontsize=8)
    return figure


def caption(report: CaseReport, i: int, lesions: list[Lesion]) -> str:
    """A slice's number and what is widest there."""
    words = [f"slice {i}"]
    for lesion in lesions[:1]:
        size = f", {lesion.diameter:.0f} mm" if report.scan.spacing_known else ""
        words.append(f"lesion {lesion.number}{size}")
    return ": ".join(words)


def headline(report: CaseReport) -> str:
    """How many lesions, how much of them."""
    n = len(report.lesions)
    words = [f"{n} lesion{'' if n == 1 else 's'} predicted"]
    if n and report.scan.spacing_known:
        words += [f"{report.tumour_ml:.1f} ml", f"largest {report.largest_mm:.0f} mm"]
    return printable(f"{report.name}: {', '.join(words)}")
