"""All lesions of a scan on one HTML page, to be read on a screen or printed.

It stands alone: style and pictures lie within it, there is no script, and a policy in
its head keeps a browser from asking anything of a network.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from mscf.errors import printable
from mscf.inference.case_report import NOTICE, CaseReport, headline
from mscf.inference.diameters import Places, outline
from mscf.inference.greys import SOFT
from mscf.inference.lesions import numbers_in
from mscf.inference.measures import Lesion, measuring_spacing
from mscf.inference.surroundings import FAR, NEAR
from mscf.visualisation.key_picture import Window, key_picture, window_around

NONE = "–"
LEAST_ML = 0.01  # smaller volumes are not told apart
PICTURES = 100  # of the largest lesions: a browser opens no page without end
STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.45 system-ui, sans-serif; color: #222; background: white;
  max-width: 62rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; margin: 0.6rem 0; }
h2 { font-size: 1.1rem; margin: 1.6rem 0 0.5rem; }
.notice { border: 2px solid #b00020; padding: 0.4rem 0.8rem; font-weight: 600; }
.table { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.9em;
  font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: 0.2rem 0.4rem; text-align: right; vertical-align: top;
  white-space: nowrap; border-bottom: 1px solid #ccc; }
th { border-bottom: 2px solid #555; }
.lesions { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); }
figure { margin: 0; break-inside: avoid; }
.key { display: block; width: 100%; background: black; font-family: sans-serif; }
figcaption { font-size: 0.9em; padding-top: 0.3rem; }
dt { font-weight: 600; }
dd { margin: 0 0 0.4rem; }
footer { margin-top: 1.5rem; border-top: 1px solid #ccc; font-size: 0.9em; }
@page { size: A4; margin: 14mm; }
@media print {
  body { padding: 0; font-size: 9.5pt; max-width: none;
    print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .lesions { grid-template-columns: repeat(3, 1fr); }
  tr, dt { break-inside: avoid; }
  h2 { break-after: avoid; }
  .table { overflow: visible; }
}
"""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def lesion_page(report: CaseReport) -> Iterator[str]:
    """The page, piece by piece."""
    title = escape(headline(report))
    yield f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<p class="notice">{escape(NOTICE)}</p>
<h1>{title}</h1>
<p>{escape(made_from(report))}</p>"""
    for repair in report.repairs:
        yield f"<p>Warning: {escape(str(repair))}</p>"
    if report.lesions:
        yield "<h2>All lesions, the largest first</h2>"
        yield table(report)
        yield '<h2>Key pictures</h2>\n<div class="lesions">'
        for lesion in report.lesions[:PICTURES]:
            yield figure(report, lesion)
        yield "</div>"
        if (n := len(report.lesions)) > PICTURES:
            only = f"The {PICTURES} largest of {n} lesions"
            yield f"<p>{only}; the others are in the table only.</p>"
        yield "<h2>What the figures mean</h2>"
        yield definitions(report)
    else:
        yield "<p>Nothing in this scan was taken for tumour; there may be some.</p>"
    name = escape(quote(report.name), quote=True)
    yield f"""<footer><p>The same in tables: <a href="./{name}.csv">CSV</a>,
<a href="./{name}.json">JSON</a>. {escape(NOTICE)}</p></footer>
</body>
</html>"""


def made_from(report: CaseReport) -> str:
    """Scan, network, filters and units in two sentences."""
    scan, trained = report.scan, report.trained
    x, y, z = scan.spacing
    size = (
        f"voxels of {x:.2f} x {y:.2f} x {z:.2f} mm"
        if scan.spacing_known
        else "voxels of unknown size: ALL LENGTHS ARE IN PIXELS, volumes in voxels"
    )
    rows, columns = scan.slices.shape[1:]
    filters = [
        "cut to a liver mask" if report.filters["liver"] else "",
        f"from {report.filters['least_ml']:g} ml" if report.filters["least_ml"] else "",
        "the largest only" if report.filters["largest"] else "",
    ]
    asked = ", ".join(filter(None, filters)) or "no filter"
    return printable(
        f"{report.source}: {len(scan.slices)} slices of {columns} x {rows}, {size}. "
        f"Drawn by {trained.method} (weights {trained.digest[:12]}); {asked}."
    )


def table(report: CaseReport) -> str:
    """A row a lesion."""
    heads = {
        "No.": "", "Volume": report.volume_unit, "Diameters": report.unit,
        "Mean": "HU ± sd", "Around": "HU", "Contrast": "HU",
        "To surface": "mm", "Slices": "",
    }  # fmt: skip
    cells = [f'<th scope="col">{head}<br>{unit}</th>' for head, unit in heads.items()]
    rows = [f"<thead><tr>{''.join(cells)}</tr></thead>"]
    for lesion in report.lesions:
        star = "*" if lesion.at_border else ""
        figures = [
            f"{lesion.number}{star}",
            volume_of(report, lesion),
            across(lesion),
            f"{signed(lesion.mean_hu)} ± {lesion.sd_hu:.0f}",
            signed(lesion.around_hu),
            signed(lesion.contrast_hu, plus="+"),
            NONE if lesion.surface is None else f"{lesion.surface:.1f}",
            slices_of(lesion),
        ]
        rows.append(f"<tr>{''.join(f'<td>{figure}</td>' for figure in figures)}</tr>")
    cut = "<p>* reaches the border of the scan: what lies beyond is not measured.</p>"
    starred = cut if any(lesion.at_border for lesion in report.lesions) else ""
    lines = "\n".join(rows)
    return f'<div class="table"><table>\n{lines}\n</table></div>{starred}'


def volume_of(report: CaseReport, lesion: Lesion) -> str:
    """In ml, or in voxels, without the unit."""
    ml = report.ml(lesion.voxels)
    if ml is None:
        return f"{lesion.voxels}"
    return f"{ml:.2f}" if ml >= LEAST_ML else f"&lt; {LEAST_ML}"


def across(lesion: Lesion) -> str:
    """Longest by perpendicular diameter, without the unit."""
    found = lesion.diameters
    return f"{found.longest:.1f} × {found.perpendicular:.1f}"


def slices_of(lesion: Lesion) -> str:
    """The first and the last."""
    first, last = lesion.first_slice, lesion.last_slice
    return f"{first}" if first == last else f"{first} to {last}"


def signed(hu: float | None, plus: str = "") -> str:
    """Whole HU with a minus as wide as a figure."""
    if hu is None:
        return NONE
    sign = "−" if round(hu) < 0 else plus if round(hu) else ""
    return f"{sign}{abs(round(hu))}"


def figure(report: CaseReport, lesion: Lesion) -> str:
    """The key picture and what it shows."""
    scan, i = report.scan, lesion.key_slice
    x, y, _ = measuring_spacing(scan)
    numbers = numbers_in(report.mask, report.regions, i)
    mine = numbers == lesion.number
    ends = lesion.diameters.longest_ends, lesion.diameters.perpendicular_ends
    measured_here = lesion.widest_slice == i
    volume = f"{volume_of(report, lesion)}\xa0{report.volume_unit}"
    size = f"{across(lesion)}\xa0{report.unit}"
    where = "" if measured_here else f" (in slice {lesion.widest_slice})"
    contrast = f"contrast {signed(lesion.contrast_hu, plus='+')}\xa0HU"
    caption = f"slice {i}: {volume}, {size}{where}, {contrast}"
    lines = outline(mine)
    shown = window_around(lines, mine.shape, (y, x))
    picture = key_picture(
        scan.slices[i],
        lines,
        (y, x),
        report.unit,
        f"Lesion {lesion.number}, {caption}",
        others=outline_in(shown, (numbers > 0) & ~mine),
        callipers=ends if measured_here else (),
        sides=scan.spacing_known,
    )
    return (
        f"<figure>\n{picture}\n<figcaption><strong>Lesion {lesion.number}</strong>, "
        f"{caption}</figcaption>\n</figure>"
    )


def outline_in(shown: Window, region: NDArray[np.bool_]) -> list[Places]:
    """The lines round what a picture shows of a region, which may go on beyond.

    One pixel more on each side, so that the picture's end is no border.
    """
    top, left = max(shown.top - 1, 0), max(shown.left - 1, 0)
    bottom, right = shown.top + shown.rows + 1, shown.left + shown.columns + 1
    corner = np.array([top, left])
    return [line + corner for line in outline(region[top:bottom, left:right])]


def definitions(report: CaseReport) -> str:
    """Each term with its meaning."""
    unit = report.unit
    ring = f"{NEAR:g} to {FAR:g} {unit} from the lesion in its slices"
    tissue = (
        f"the mean HU of the liver mask's tissue {ring}"
        if report.filters["liver"]
        else f"the HU that most soft tissue has ({SOFT[0]} to {SOFT[1]} HU, of any "
        f"organ) {ring}, as no liver mask was given"
    )
    dropped = report.filters["largest"] or report.filters["least_ml"]
    also = " What the filters dropped counts as tissue." if dropped else ""
    terms = {
        "Lesion": "a predicted part connected by faces of voxels.",
        "Diameters": "the longest in one axial slice (as RECIST 1.1 takes it) and the "
        "longest at right angles to it in that slice (as WHO's criteria do), between "
        "points of the outline half way from the lesion's pixels to the others.",
        "Around": f"{tissue}.{also}",
        "Contrast": "the lesion's mean HU less that around; below 0 it is darker.",
        "To surface": "the least distance of the lesion's border and the liver mask's; "
        f"{NONE} without a mask or a known spacing, or of a tilted gantry.",
        "Slices": "count from the lowest, which is 0.",
        "Key picture": "the slice of the lesion's largest area. Orange: its outline. "
        "Dashed blue: other lesions. White: the diameters, where they are of this "
        "slice. R: the patient's right.",
    }
    lines = [f"<dt>{k}</dt><dd>{escape(v)}</dd>" for k, v in terms.items()]
    return "<dl>\n" + "\n".join(lines) + "\n</dl>"
