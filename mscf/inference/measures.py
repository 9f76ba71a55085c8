"""What is measured of each lesion, in one pass over the slices.

In memory there are a few numbers a lesion and what belongs to one slice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label
from tqdm import tqdm

from mscf.data.geometry import at_right_angles
from mscf.data.scan import Scan, SliceFile
from mscf.inference.centres import Centres
from mscf.inference.diameters import Diameters, diameters
from mscf.inference.greys import Greys, Levels
from mscf.inference.lesions import Regions
from mscf.inference.liver_surface import surface_distances
from mscf.inference.surroundings import around


@dataclass(frozen=True)
class Lesion:
    """One lesion. Slices count from the lowest, which is 0.

    Lengths are in mm, or in pixels where the spacing is unknown. ``None`` is what
    cannot be said.
    """

    number: int  # 1 is the largest
    voxels: int
    first_slice: int
    last_slice: int
    key_slice: int  # of the largest area
    widest_slice: int  # of the diameters
    diameters: Diameters  # the longest in one axial slice, and that across it
    centre: tuple[float, float, float] | None  # scanner's mm, RAS; None: no spacing
    mean_hu: float
    sd_hu: float
    around_hu: float | None  # of the tissue around; None: there is none
    surface: float | None  # to the liver's; None: no mask, spacing, surface; sheared
    at_border: bool  # reaches the end of the scan, and may go on beyond

    @property
    def contrast_hu(self) -> float | None:
        """How much brighter than the tissue around; below 0, the lesion is darker."""
        return None if self.around_hu is None else self.mean_hu - self.around_hu


@dataclass
class Extent:
    """Where a lesion is, as far as the slices were seen."""

    first_slice: int
    last_slice: int = 0
    key_slice: int = 0
    area: int = 0  # pixels in the key slice
    widest_slice: int = 0
    widest: Diameters | None = None
    at_border: bool = False

    def add(self, i: int, area: int) -> None:
        """A slice in which it has so many pixels."""
        self.last_slice = i
        if area > self.area:
            self.area, self.key_slice = area, i

    def add_region(
        self, i: int, region: NDArray[np.bool_], box: tuple, spacing: tuple
    ) -> None:
        """A connected part of it in a slice, cut to its ``box``."""
        longest = self.widest.longest if self.widest else 0.0
        if math.hypot(*np.multiply(region.shape, spacing)) <= longest:
            return  # not even its box is so wide
        found = diameters(region, spacing)
        if found.longest > longest:
            corner = (box[0].start, box[1].start)
            self.widest_slice = i
            self.widest = replace(
                found,
                longest_ends=found.longest_ends + corner,
                perpendicular_ends=found.perpendicular_ends + corner,
            )


def measure(
    name: str,
    scan: Scan,
    mask: SliceFile,
    regions: Regions,
    liver: SliceFile | None = None,
) -> list[Lesion]:
    """The lesions in the order of ``regions``, which are those of ``mask`` as it is."""
    x, y, z = measuring_spacing(scan)
    n_lesions, n_slices = len(regions.voxels), len(mask)
    extents: dict[int, Extent] = {}
    inside, centres = Greys.of(n_lesions), Centres.of(n_lesions)
    outside = Levels.of(n_lesions) if liver is None else Greys.of(n_lesions)
    used = np.flatnonzero(np.diff(regions.first)).tolist()
    for i in tqdm(used, f"{name}: lesions", unit="slice", disable=None):
        labelled, _ = label(mask[i])
        of_region = regions.numbers(i)
        numbers, hu = of_region[labelled], scan.slices[i]
        inside.add(numbers, hu)
        centres.add(numbers, i)
        outside.add(around(numbers, (y, x), None if liver is None else liver[i]), hu)

        areas = np.bincount(numbers.ravel())
        for number in np.unique(of_region[1:]).tolist():
            extents.setdefault(number, Extent(i)).add(i, int(areas[number]))
        for region, box in enumerate(find_objects(labelled), start=1):
            extent = extents[int(of_region[region])]
            extent.add_region(i, labelled[box] == region, box, (y, x))
            extent.at_border |= i in (0, n_slices - 1) or reaches(box, numbers.shape)

    depths, placed = {}, scan.spacing_known
    if liver is not None and placed and at_right_angles(scan.affine):
        found = surface_distances(mask, regions, liver, (x, y, z))
        depths = {n: d for n, d in enumerate(found.tolist(), 1) if math.isfinite(d)}
    return [
        Lesion(
            number=number,
            voxels=int(regions.voxels[number - 1]),
            first_slice=extent.first_slice,
            last_slice=extent.last_slice,
            key_slice=extent.key_slice,
            widest_slice=extent.widest_slice,
            diameters=extent.widest,
            centre=centres.millimetres(number, scan.affine) if placed else None,
            mean_hu=inside.level(number),
            sd_hu=inside.sd(number),
            around_hu=outside.level(number),
            surface=depths.get(number),
            at_border=extent.at_border,
        )
        for number, extent in sorted(extents.items())
    ]


def measuring_spacing(scan: Scan) -> tuple[float, float, float]:
    """Along X, Y, Z: mm, or one pixel where the file does not say how large it is."""
    return scan.spacing if scan.spacing_known else (1.0, 1.0, 1.0)


def reaches(box: tuple[slice, ...], shape: tuple[int, ...]) -> bool:
    """Whether a box goes to the border of a slice."""
    return any(
        side.start == 0 or side.stop == end
        for side, end in zip(box, shape, strict=True)
    )
