"""What was found in one scan, as reports of any form say it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mscf.data.scan import Scan, SliceFile
from mscf.errors import Finding, printable
from mscf.inference.lesions import Regions
from mscf.inference.measures import Lesion
from mscf.inference.weights import Trained

NOTICE = "Research code, no medical device: not for any decision about a patient."


@dataclass(frozen=True)
class CaseReport:
    """One scan's mask, its lesions, and how they came about.

    ``scan`` and ``mask`` can be read only until their files are closed.
    """

    name: str
    source: str  # the file's name
    scan: Scan
    mask: SliceFile
    regions: Regions  # of the mask
    lesions: list[Lesion]
    trained: Trained
    seconds: float
    filters: dict[str, float | bool]  # what was asked to be dropped
    outside: int | None  # voxels that the liver mask removed; None: none was given

    @property
    def unit(self) -> str:
        """Of all lengths."""
        return "mm" if self.scan.spacing_known else "pixels"

    @property
    def volume_unit(self) -> str:
        """Of all volumes."""
        return "ml" if self.scan.spacing_known else "voxels"

    @property
    def compared_with(self) -> str:
        """What a lesion's contrast is taken against (`mscf.inference.surroundings`)."""
        return "liver" if self.filters["liver"] else "soft tissue"

    @property
    def tumour_ml(self) -> float | None:
        """Volume of all lesions; None where the spacing is unknown."""
        return self.ml(sum(lesion.voxels for lesion in self.lesions))

    @property
    def largest_mm(self) -> float | None:
        """The largest diameter of any lesion; None without lesion or spacing."""
        if not (self.scan.spacing_known and self.lesions):
            return None
        return round(max(lesion.diameters.longest for lesion in self.lesions), 2)

    @property
    def tumour_slices(self) -> int:
        """How many slices hold tumour."""
        spans = (range(a.first_slice, a.last_slice + 1) for a in self.lesions)
        return len({i for span in spans for i in span})

    @property
    def repairs(self) -> tuple[Finding, ...]:
        """What was doubtful about the scan; a folder may bear a patient's name."""
        named = ((Path(f.file).name or self.name, f) for f in self.scan.repairs)
        return tuple(replace(finding, file=file) for file, finding in named)

    def ml(self, voxels: int | None) -> float | None:
        """Voxels as millilitres, to a microlitre; None where the spacing is unknown."""
        if voxels is None or not self.scan.spacing_known:
            return None
        return round(voxels * self.scan.voxel_ml, 3)


def headline(report: CaseReport) -> str:
    """How many lesions, how much of them, and what was outside the liver."""
    n = len(report.lesions)
    words = [f"{n} lesion{'' if n == 1 else 's'} predicted"]
    if n and report.scan.spacing_known:
        words += [f"{report.tumour_ml:.1f} ml", f"largest {report.largest_mm:.0f} mm"]
    if report.outside:
        ml = report.ml(report.outside)
        much = f"{report.outside} voxels" + ("" if ml is None else f" ({ml:.1f} ml)")
        words[-1] += f"; the liver mask removed {much}"
    return printable(f"{report.name}: {', '.join(words)}")
