"""What was found in one scan, as reports of any form say it."""

from __future__ import annotations

from dataclasses import dataclass

from mscf.data.scan import Scan, SliceFile
from mscf.errors import printable
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

    def ml(self, voxels: int) -> float | None:
        """Voxels as millilitres, to a microlitre; None where the spacing is unknown."""
        known = self.scan.spacing_known
        return round(voxels * self.scan.voxel_ml, 3) if known else None


def headline(report: CaseReport) -> str:
    """How many lesions, how much of them."""
    n = len(report.lesions)
    words = [f"{n} lesion{'' if n == 1 else 's'} predicted"]
    if n and report.scan.spacing_known:
        words += [f"{report.tumour_ml:.1f} ml", f"largest {report.largest_mm:.0f} mm"]
    return printable(f"{report.name}: {', '.join(words)}")
