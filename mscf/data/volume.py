"""A CT and its labels, checked and turned: voxels ``(X, Y, Z)`` in RAS order.

What `nifti` read of a file is looked at here: whether it can be HU, whether it can be
labels, and whether the two lie on each other (`geometry`). Every doubt is one error
that names the file, or a repair that is kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from numpy.typing import NDArray

from mscf.data.geometry import (
    doubts_of_geometry,
    orientation_on,
    says_spacing,
    voxel_ml,
)
from mscf.data.nifti import Voxels, read_nifti
from mscf.data.nifti_header import Header
from mscf.errors import Finding, InputError

LIVER, TUMOUR = 1, 2
LABELS = (0, LIVER, TUMOUR)  # 0 is background
FAT = -20  # HU; a CT of a body goes at least so low
# Of a CT's voxels, from -200 to 300 HU. An abdomen (3D-IRCADb-01) has 51 %, 28 in its
# emptiest slice: a small body in much air still passes. With the offset subtracted
# twice it has 0.2 %, 0.5 in the slice with most bone.
LEAST_SOFT = 0.01
ROUNDING = 0.01  # how far a label stored as a scaled number may lie from its integer


@dataclass(frozen=True)
class Volume:
    """A CT in canonical form, and how its file was stored.

    ``voxels`` ``(X, Y, Z)`` are HU in RAS order: X to the patient's right, Y to the
    front, Z to the head. ``affine`` maps their indices to mm. ``orientation`` leads
    from the file's axes to these (nibabel's form).
    """

    voxels: Voxels
    affine: NDArray[np.float64]
    orientation: NDArray[np.float64]
    sha256: str  # of the file
    repairs: tuple[Finding, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along X, Y, Z."""
        return self.voxels.shape

    @property
    def spacing_known(self) -> bool:
        """Whether millimetres may be read from the file."""
        return says_spacing(self.repairs)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres a voxel along X, Y, Z."""
        return tuple(voxel_sizes(self.affine).tolist())

    @property
    def voxel_ml(self) -> float:
        """Millilitres a voxel, also where the axes are not at right angles."""
        return voxel_ml(self.affine)


def read_volume(path: Path) -> Volume:
    """A CT in HU, checked.

    Raises:
        InputError: damaged, no NIfTI, not three axes, NaN or infinite, no HU.
    """
    header, voxels, sha256 = read_nifti(path)
    seen = GreyValues(path)
    for plane in range(voxels.shape[2]):  # what is looked at stays in the cache
        seen.add(voxels[..., plane : plane + 1], plane)
    seen.check(header.dtype)
    return turned(voxels, header, sha256, path)


def read_labels(
    path: Path, like: Volume, of: str = "image"
) -> tuple[NDArray[np.uint8], str, tuple[Finding, ...]]:
    """Labels 0, 1, 2 on the grid of ``like``, in RAS order; SHA-256; what was repaired.

    ``of`` is what an error calls ``like``.

    Raises:
        InputError: as ``read_volume``; another shape or place; other values.
    """
    header, values, sha256 = read_nifti(path)
    labels, rounded = as_labels(values, path)
    orientation, moved = orientation_on(like, header, path, of)
    repairs = header.repairs + rounded + moved
    return apply_orientation(labels, orientation), sha256, repairs


def read_mask(path: Path) -> Volume:
    """Labels 0, 1, 2 that lie on a grid of their own, in RAS order.

    Raises:
        InputError: as ``read_labels``.
    """
    header, values, sha256 = read_nifti(path)
    labels, rounded = as_labels(values, path)
    return turned(labels, header, sha256, path, rounded)


def turned(
    voxels: Voxels,
    header: Header,
    sha256: str,
    path: Path,
    repairs: tuple[Finding, ...] = (),
) -> Volume:
    """A file's voxels in RAS order, and what was doubtful about the file."""
    orientation = io_orientation(header.affine)
    return Volume(
        voxels=apply_orientation(voxels, orientation),
        affine=header.affine @ inv_ornt_aff(orientation, voxels.shape),
        orientation=orientation,
        sha256=sha256,
        repairs=header.repairs + repairs + doubts_of_geometry(header, path),
    )


def as_slices(voxels: NDArray) -> NDArray:
    """``(X, Y, Z)`` in RAS order as slices ``(Z, H, W)``, as radiology shows them.

    Row 0 is anterior, column 0 the patient's right, slice 0 the lowest.
    """
    return voxels[::-1, ::-1].transpose(2, 1, 0)


def check_finite(values: NDArray, path: Path) -> None:
    """Refuses NaN and infinity, with how many and the first."""
    bad = ~np.isfinite(values)
    if n := int(bad.sum()):
        first = tuple(int(i) for i in np.unravel_index(bad.argmax(), bad.shape))
        raise nonfinite(path, n, first)


def nonfinite(path: Path, n: int, first: tuple[int, ...]) -> InputError:
    """The error of voxels that are no numbers."""
    return InputError(
        path, "voxels must be finite", f"{n:,} that are not, the first at {first}",
        "nonfinite",
    )  # fmt: skip


@dataclass
class GreyValues:
    """What tells Hounsfield units from other grey values, seen piece by piece."""

    path: Path
    size: int = 0
    low: float = math.inf
    high: float = -math.inf
    some: set[float] = field(default_factory=set)  # three of them, if there are
    tissue: int = 0  # between 800 and 1250
    bright: int = 0  # above 300
    soft: int = 0  # between -200 and 300
    bad: int = 0  # NaN or infinite
    first_bad: tuple[int, ...] = ()

    def add(self, values: Voxels, start: int = 0) -> None:
        """Looks at ``(X, Y, n)``, the file's voxels from ``start`` on the last axis."""
        if values.dtype.kind == "f" and (n := np.count_nonzero(~np.isfinite(values))):
            where = np.unravel_index((~np.isfinite(values)).argmax(), values.shape)
            place = tuple(int(i) for i in where)
            self.first_bad = self.first_bad or (*place[:2], start + place[2])
            self.bad += n
        values = values.ravel(order="K")  # as they lie in memory: a view
        low, high = values.min(), values.max()
        self.low, self.high = min(self.low, low), max(self.high, high)
        if len(self.some) < 3:
            third = values[((values != low) & (values != high)).argmax()]
            self.some |= {low.item(), high.item(), third.item()}
        self.size += values.size
        self.tissue += np.count_nonzero((values > 800) & (values < 1250))
        self.bright += np.count_nonzero(values > 300)
        self.soft += np.count_nonzero((values >= -200) & (values <= 300))

    def check(self, stored: np.dtype) -> None:
        """Refuses what cannot be Hounsfield units, of numbers kept as ``stored``.

        That is: NaN and infinity; two values only; soft tissue near 1,000, where
        HU + 1024 has it; a byte a voxel; nothing as low as fat and air; more than a
        store can hold; hardly any soft tissue where it should be, as in HU - 1024.
        """
        path, low, high = self.path, self.low, self.high
        if self.bad:
            raise nonfinite(path, self.bad, self.first_bad)
        if len(self.some) < 3:
            found = f"only {low:g} and {high:g}" if low < high else f"only {low:g}"
            raise InputError(path, "must show something", found, "constant")
        must = "must be in Hounsfield units, air near -1000"
        found = f"{stored} from {low:g} to {high:g}"
        if self.tissue > max(0.05 * self.size, 0.5 * self.bright):
            raise InputError(
                path, must,
                f"{found}, much of it near 1,000 like soft tissue in HU + 1024",
                "not-hu", "subtract 1024 from its voxels",
            )  # fmt: skip
        stores = np.iinfo(np.int16)
        in_range = stores.min <= low <= FAT and high <= stores.max
        if stored.itemsize == 1 or not in_range:
            raise InputError(
                path, must, found, "not-hu", "export the CT in HU, not as a picture"
            )
        if self.soft < LEAST_SOFT * self.size:
            raise InputError(
                path, must,
                f"{found}, {self.soft / self.size:.1%} of it from -200 to 300 like "
                "soft tissue",
                "not-hu", "was 1024 subtracted twice? Then add it to its voxels",
            )  # fmt: skip


def as_labels(
    values: NDArray, path: Path
) -> tuple[NDArray[np.uint8], tuple[Finding, ...]]:
    """Labels as integers, and whether they were stored as other numbers.

    Those may be off by ``ROUNDING``.
    """
    whole = values.dtype.kind in "iu"
    if whole and values.min() >= min(LABELS) and values.max() <= max(LABELS):
        return values.astype(np.uint8, copy=False), ()  # what nearly all files hold
    if not whole:
        check_finite(values, path)
    labels, wrong = np.empty_like(values, np.uint8), []
    for plane in range(values.shape[2]):  # all at once would take four times as much
        part = values[..., plane]
        rounded = np.rint(part)
        good = np.isin(rounded, LABELS) & (np.abs(part - rounded) <= ROUNDING)
        labels[..., plane] = np.where(good, rounded, 0)
        wrong.append(part[~good])
    found, counts = np.unique(np.concatenate(wrong), return_counts=True)
    if found.size:
        listed = ", ".join(
            f"{v:g} in {n:,} voxels" for v, n in zip(found[:3], counts, strict=False)
        )
        raise InputError(
            path, "labels must be 0, 1 or 2", listed, "label-values",
            "0 is background, 1 liver, 2 tumour",
        )  # fmt: skip
    repair = Finding(
        str(path), "labels must be stored as whole numbers", "floating-point numbers",
        "label-float", "they are rounded",
    )  # fmt: skip
    return labels, (repair,)
