"""The files that say what was found in a scan.

A JSON (``as_record``), a table of its lesions (``lesion_row``), a page of them with key
pictures (``mscf.inference.lesion_page``) and an overview of the scan (``overview``).
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from nibabel.affines import voxel_sizes
from nibabel.orientations import ornt2axcodes

from mscf.data.one_at_a_time import one_at_a_time
from mscf.data.spreadsheet import as_csv, as_named
from mscf.errors import Finding, warn
from mscf.inference.case_report import NOTICE, CaseReport, headline
from mscf.inference.lesion_page import lesion_page
from mscf.inference.measures import Lesion
from mscf.replacing import replacing, write_text
from mscf.visualisation.lesions import draw_areas, draw_lesion_slice

REPORTS = (".json", ".csv", ".html", ".png")  # what ``write_report`` leaves of a scan
SHOWN = 6  # slices in the overview
LESION = ["number", "voxels", "volume_ml", "diameter_{unit}", "perpendicular_{unit}",
          "diameter_slice", "mean_hu", "sd_hu", "around_hu", "contrast_hu",
          "contrast_to", "surface_mm", "first_slice", "last_slice", "slices",
          "key_slice", "at_border", "centre_x_mm", "centre_y_mm",
          "centre_z_mm"]  # fmt: skip

CASE = ["case", "slices", "lesions", "tumour_ml", "largest_diameter_mm",
        "tumour_slices"]  # fmt: skip


def lesion_row(report: CaseReport, lesion: Lesion) -> dict:
    """A lesion's figures; lengths in the unit that their names end with.

    None: what cannot be said (``Lesion`` says why).
    """
    unit, found = report.unit, lesion.diameters
    x, y, z = lesion.centre or (None, None, None)
    return {
        "number": lesion.number,
        "voxels": lesion.voxels,
        "volume_ml": report.ml(lesion.voxels),
        f"diameter_{unit}": round(found.longest, 2),
        f"perpendicular_{unit}": round(found.perpendicular, 2),
        "diameter_slice": lesion.widest_slice,
        "mean_hu": round(lesion.mean_hu, 1),
        "sd_hu": round(lesion.sd_hu, 1),
        "around_hu": rounded(lesion.around_hu, 1),
        "contrast_hu": rounded(lesion.contrast_hu, 1),
        "contrast_to": report.compared_with,
        "surface_mm": rounded(lesion.surface, 2),
        "first_slice": lesion.first_slice,
        "last_slice": lesion.last_slice,
        "slices": lesion.last_slice - lesion.first_slice + 1,
        "key_slice": lesion.key_slice,
        "at_border": lesion.at_border,
        "centre_x_mm": rounded(x, 2),
        "centre_y_mm": rounded(y, 2),
        "centre_z_mm": rounded(z, 2),
    }


def rounded(number: float | None, digits: int) -> float | None:
    """None stays None."""
    return None if number is None else round(number, digits)


def lesion_table(report: CaseReport) -> pd.DataFrame:
    """A row a lesion, the largest first."""
    columns = [name.format(unit=report.unit) for name in LESION]
    rows = [lesion_row(report, lesion) for lesion in report.lesions]
    return pd.DataFrame(rows, columns=columns)


def as_record(report: CaseReport) -> dict:
    """The whole report, as JSON takes it. Slices count from the lowest, which is 0."""
    scan, trained = report.scan, report.trained
    spacing = voxel_sizes(scan.header.affine).tolist()
    return {
        "notice": NOTICE,
        "case": report.name,
        "source": report.source,
        "mask": f"{report.name}.nii.gz",
        "labels": {"0": "all else", "2": "tumour"},
        "grid": {
            # Both along the file's own axes.
            "shape": list(scan.header.shape),
            "orientation": "".join(ornt2axcodes(scan.orientation)),
            "slices": len(scan.slices),
            "spacing_mm": spacing if scan.spacing_known else None,
        },
        "weights": {
            "method": trained.method,
            "image_size": trained.image_size,
            "window": list(trained.window),
            "sha256": trained.digest,
        },
        "filters": {
            **report.filters,
            "liver_removed_voxels": report.outside,
            "liver_removed_ml": report.ml(report.outside),
        },
        "repairs": [str(repair) for repair in report.repairs],
        "lesion_count": len(report.lesions),
        "tumour_ml": report.tumour_ml,
        "largest_diameter_mm": report.largest_mm,
        "tumour_slices": report.tumour_slices,
        "units": {"lengths": report.unit, "volumes": report.volume_unit},
        "lesions": [lesion_row(report, lesion) for lesion in report.lesions],
    }


def write_report(report: CaseReport, folder: Path) -> None:
    """NAME.json, NAME.csv, NAME.html and NAME.png, each whole or not at all."""
    record = json.dumps(as_record(report), indent=2)
    write_text(folder / f"{report.name}.json", record + "\n")
    write_text(folder / f"{report.name}.csv", as_csv(lesion_table(report)))
    with replacing(folder / f"{report.name}.html") as file:
        file.writelines(f"{part}\n" for part in lesion_page(report))
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


def write_cases(
    reports: Sequence[CaseReport], refused: Iterable[str], path: Path
) -> None:
    """cases.csv: the rows of earlier calls, but none of a scan of this one; its own."""
    new = cases_table(reports)
    with one_at_a_time(path.with_name(f".{path.name}.lock"), path.parent):
        old = earlier_cases(path)
        others = old[~old["case"].isin([*refused, *new["case"]])]
        write_text(path, as_csv(pd.concat([others, new.astype(object)])))


def earlier_cases(path: Path) -> pd.DataFrame:
    """The rows, as text, of a cases.csv whose masks lie beside it; none without one."""
    if not path.exists():
        return pd.DataFrame(columns=CASE)
    try:
        # Objects: pandas' own text may refuse to be compared with a name not in UTF-8.
        table = pd.read_csv(path, dtype=object, keep_default_na=False)
        table = as_named(table, ["case"])
    except (OSError, ValueError):  # pandas' own are of the second
        table = pd.DataFrame()
    if list(table.columns) != CASE:
        must, found = f"must have the columns {', '.join(CASE)}", "another table"
        warn(Finding(str(path), must, found, "cases-columns", "it is begun anew"))
        return pd.DataFrame(columns=CASE)
    masks = [mask.name for mask in path.parent.glob("*.nii.gz")]
    return table[(table["case"] + ".nii.gz").isin(masks)]


def key_slices(report: CaseReport) -> list[int]:
    """The slices to show: where the largest lesions are widest; else evenly spread."""
    if report.lesions:
        shown = dict.fromkeys(lesion.widest_slice for lesion in report.lesions)
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
        of_slice = [n for n in report.lesions if n.widest_slice == i]
        ax = draw_lesion_slice(axes.pop(f"{place}"), scan.slices[i], mask[i] > 0, y / x)
        ax.set_title(caption(report, i, of_slice), fontsize=8)
    areas = np.array([np.count_nonzero(mask[i]) for i in range(len(mask))])
    unit = "pixels"
    if scan.spacing_known:
        areas, unit = areas * (x * y / 100), "cm²"
    draw_areas(axes.pop("areas"), areas, shown, unit)
    for ax in axes.values():
        ax.set_axis_off()
    title = textwrap.fill(headline(report), 90)
    figure.suptitle(title, fontsize=10, parse_math=False)
    figure.supxlabel(NOTICE, fontsize=8)
    return figure


def caption(report: CaseReport, i: int, lesions: list[Lesion]) -> str:
    """A slice's number and what is widest there."""
    words = [f"slice {i}"]
    for lesion in lesions[:1]:
        size = (
            f", {lesion.diameters.longest:.0f} mm" if report.scan.spacing_known else ""
        )
        words.append(f"lesion {lesion.number}{size}")
    return ": ".join(words)
