"""What the header of a NIfTI file says, as it was stored, and what it may not say.

nibabel mends a header without a word. So it is looked at before, and refused where it
gives voxels no shape, no numbers or no place.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from mscf.data.opened_file import Stream, not_nifti
from mscf.errors import Finding, InputError

NO_NIFTI = (  # what nibabel raises of a file that it can make nothing of
    HeaderDataError, WrapStructError, ImageFileError,
    ValueError, OverflowError, KeyError, OSError, EOFError,
)  # fmt: skip
KINDS = {  # by the length that a header begins with
    348: (nib.Nifti1Header, nib.Nifti1Header.single_magic),
    540: (nib.Nifti2Header, nib.Nifti2Header.single_magic),
}
ORDERS = {"<": "little", ">": "big"}
UNITS = {1: ("metres", 1e3), 3: ("micrometres", 1e-3)}  # and their mm; others are mm
QUIET = logging.getLogger("mscf.nibabel")  # what it mends is said in one line, by us
QUIET.disabled = True
EXTENSION = 4  # bytes behind the header: the first is 1 where more of it follows
MOST_VOXELS = 10**9  # 3,800 slices of 512 x 512
FURTHEST = 2**24  # bytes; where voxels begin, behind the header and its extensions
SIZES = (1e-4, 1e4)  # of a voxel, in whatever unit: metres, mm and micrometres pass
AWAY, FLAT = 1e7, 1e4  # of the origin, likewise; of axes nearly in one plane


@dataclass(frozen=True)
class Header:
    """What a file says of its voxels: first axis fastest."""

    nifti: nib.Nifti1Header
    shape: tuple[int, int, int]
    dtype: np.dtype
    offset: int  # bytes
    affine: NDArray[np.float64]  # voxel of the file to mm, RAS
    slope: float
    inter: float
    repairs: tuple[Finding, ...] = ()  # what was odd about the bytes

    @property
    def end(self) -> int:
        """Where the last voxel ends, in bytes."""
        return self.offset + math.prod(self.shape) * self.dtype.itemsize

    @property
    def unit(self) -> tuple[str, float]:
        """What ``nifti`` has its lengths in, and how many mm that is.

        ``nifti`` stays as it lies in the file, ``affine`` is in mm.
        """
        return UNITS.get(int(self.nifti["xyzt_units"]) & 7, ("mm", 1.0))


def read_header(stream: Stream, path: Path) -> Header:
    """The header that a file begins with, checked; leaves the stream at voxel 0.

    Raises:
        InputError: no NIfTI, not three axes, no voxels, too many or no numbers, no
            place.
    """
    begin = stream.read(4)
    lengths = {order: int.from_bytes(begin, name) for order, name in ORDERS.items()}
    order = next((o for o, length in lengths.items() if length in KINDS), None)
    if order is None or len(begin) < 4:
        found = f"begins with {begin!r}" if begin else "an empty file"
        raise not_nifti(path, found)
    kind, magic = KINDS[lengths[order]]
    size = kind.template_dtype.itemsize
    begin += stream.read(size + EXTENSION - len(begin))
    stored = stored_header(begin[:size], kind, order, path)
    shape = shape_of(stored, path)
    nifti = stored.copy()
    try:
        nifti.check_fix(QUIET)
        offset, dtype = nifti.get_data_offset(), nifti.get_data_dtype()
        slope, inter = nifti.get_slope_inter()
        with np.errstate(invalid="ignore"):  # looked at by check_place
            affine = nifti.get_best_affine()
    except NO_NIFTI as error:
        raise not_nifti(path, str(error) or type(error).__name__) from error
    if stored["magic"].item() != magic or offset < size + EXTENSION:
        raise not_nifti(path, "a header whose voxels are in another file")
    if dtype.kind not in "iuf":
        raise InputError(path, "must hold real numbers", dtype, "voxel-type")
    check_place(stored, nifti, affine, path)
    repairs = oddities(stored, order, begin[size:], slope, path)
    header = Header(
        nifti, shape, dtype, offset, affine,
        1.0 if slope is None else slope, 0.0 if inter is None else inter, repairs,
    )  # fmt: skip
    skip(offset - len(begin), stream, header, path)
    return in_mm(header, path)


def in_mm(header: Header, path: Path) -> Header:
    """The header with its affine in mm, and a word where the file has it otherwise."""
    name, mm = header.unit
    if mm == 1:
        return header
    affine = np.diag([mm, mm, mm, 1]) @ header.affine
    sides = voxel_sizes(affine)
    todo = f"its voxels are read as {' x '.join(f'{side:g}' for side in sides)} mm"
    repair = Finding(str(path), "must have its lengths in mm", name, "units", todo)
    return replace(header, affine=affine, repairs=(*header.repairs, repair))


def stored_header(begin: bytes, kind: type, order: str, path: Path) -> nib.Nifti1Header:
    """The fields as they lie in the file: nibabel mends some when it reads them."""
    try:
        return kind(begin, order, check=False)
    except NO_NIFTI as error:
        raise not_nifti(path, "a header cut off") from error


def shape_of(stored: nib.Nifti1Header, path: Path) -> tuple[int, int, int]:
    """The three axes, where the number of voxels can be meant.

    Further axes of one voxel are no axes.
    """
    n, *sides = (int(side) for side in stored["dim"])
    shape = tuple(sides[: max(n, 0)])
    if not 3 <= n <= 7 or min(shape) < 1:
        must = "must have three axes of at least one voxel"
        raise InputError(path, must, f"dim {n}, {sides[:3]}", "dims-invalid")
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3:
        raise InputError(
            path, "must have three axes", f"shape {shape}", "four-d",
            "give one file for each volume",
        )  # fmt: skip
    if math.prod(shape) > MOST_VOXELS:
        found = " x ".join(f"{side:,}" for side in shape)
        raise InputError(
            path, f"must have at most {MOST_VOXELS:,} voxels", found, "dims-bomb",
            "cut it into parts",
        )  # fmt: skip
    return shape


def check_place(
    stored: nib.Nifti1Header, nifti: nib.Nifti1Header, affine: NDArray, path: Path
) -> None:
    """Refuses a file whose voxels have no place or size at all.

    The sizes in the header count where no matrix says them; ``nifti`` has them mended.
    """
    must = "must place its voxels in space"
    sizes = stored["pixdim"][1:4]
    if nifti["sform_code"] == 0 and not (np.isfinite(sizes) & (sizes > 0)).all():
        found = "voxels of " + " x ".join(f"{size:g}" for size in sizes) + " mm"
        raise InputError(path, must, found, "geometry-invalid")
    axes = voxel_sizes(affine)
    sound = np.isfinite(affine).all() and (axes > SIZES[0]).all()
    sound = sound and (axes < SIZES[1]).all() and np.abs(affine[:3, 3]).max() < AWAY
    if not sound or np.linalg.cond(affine[:3, :3] / axes) > FLAT:
        found = "an affine that does not"
        raise InputError(path, must, found, "geometry-invalid")


def oddities(
    stored: nib.Nifti1Header,
    order: str,
    extension: bytes,
    slope: float | None,
    path: Path,
) -> tuple[Finding, ...]:
    """What of a header is not as most files have it, and how it is taken."""
    found = []
    if slope is None:
        must, todo = "must scale its voxels by a number", "slope 1 and offset 0 taken"
        value = f"{stored['scl_slope'].item():g}"
        found.append(Finding(str(path), must, value, "scaling", todo))
    for odd, is_so, todo in (
        ("big-endian numbers", order == ">", "read as such"),
        ("an extension", extension[:1] not in (b"", b"\0"), "it is not copied"),
        ("further axes of one voxel", stored["dim"][0] > 3, "left out"),
    ):
        if is_so:
            must = "has what most files have not"
            found.append(Finding(str(path), must, odd, "header-odd", todo))
    return tuple(found)


def skip(n: int, stream: Stream, header: Header, path: Path) -> None:
    """Leaves ``n`` bytes between header and voxels behind."""
    if n > FURTHEST:
        raise not_nifti(path, f"voxels that begin at byte {header.offset:,}")
    if len(stream.read(n)) < n:
        raise file_short(path, header.end, header.offset - n)


def file_short(path: Path, promised: int, found: int) -> InputError:
    """The error of a file that ends before its voxels do."""
    return InputError(
        path, f"must hold the {promised:,} bytes that its header promises",
        f"{found:,}", "file-short", "copy or download it again",
    )  # fmt: skip
