"""One NIfTI file read, checked and turned: voxels ``(X, Y, Z)`` in RAS order.

Readers let much pass that ends as a wrong mask: nibabel returns other voxels for most
flipped bits of a ``.nii.gz``, because it does not read to the end where the checksum
stands. So a file is read whole here, and every doubt is one error that names it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from gzip import BadGzipFile
from pathlib import Path
from typing import Protocol

import nibabel as nib
import numpy as np
from isal import igzip, isal_zlib
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from nibabel.spatialimages import HeaderDataError
from nibabel.volumeutils import apply_read_scaling
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from mscf.errors import Finding, InputError

Voxels = NDArray[np.int16] | NDArray[np.float32] | NDArray[np.uint8]

LABELS = (0, 1, 2)  # background, liver, tumour
NO_NIFTI = (  # what nibabel raises of a file that it can make nothing of
    HeaderDataError, WrapStructError, ImageFileError,
    ValueError, OverflowError, KeyError, OSError, EOFError,
)  # fmt: skip
HEADER_BYTES = 540  # the longer of the two kinds
FAT = -20  # HU; a CT of a body goes at least so low
ROUNDING = 0.01  # how far a label stored as a scaled number may lie from its integer


class Grid(Protocol):
    """Where voxels lie, in RAS order, and how a file's axes lead there."""

    shape: tuple[int, ...]
    affine: NDArray[np.float64]
    orientation: NDArray[np.float64]
    spacing_known: bool


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

    @property
    def end(self) -> int:
        """Where the last voxel ends, in bytes."""
        return self.offset + math.prod(self.shape) * self.dtype.itemsize


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
    spacing_known: bool
    sha256: str  # of the file
    repairs: tuple[Finding, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along X, Y, Z."""
        return self.voxels.shape

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres a voxel along X, Y, Z."""
        return tuple(np.linalg.norm(self.affine[:3, :3], axis=0).tolist())


def read_volume(path: Path) -> Volume:
    """A CT in HU, checked.

    Raises:
        InputError: damaged, no NIfTI, not three axes, NaN or infinite, no HU.
    """
    header, voxels, sha256 = read_nifti(path)
    seen = GreyValues(path)
    seen.add(voxels)
    seen.check(header.dtype)
    orientation = io_orientation(header.affine)
    affine = header.affine @ inv_ornt_aff(orientation, voxels.shape)
    repairs = doubts_of_geometry(header, path)
    return Volume(
        voxels=apply_orientation(voxels, orientation),
        affine=affine,
        orientation=orientation,
        spacing_known=not repairs,
        sha256=sha256,
        repairs=repairs,
    )


def read_labels(
    path: Path, like: Volume, of: str = "image"
) -> tuple[NDArray[np.uint8], str]:
    """Labels 0, 1, 2 on the grid of ``like``, in RAS order; and the file's SHA-256.

    ``of`` is what an error calls ``like``.

    Raises:
        InputError: as ``read_volume``; another shape or place; other values.
    """
    header, values, sha256 = read_nifti(path)
    if values.dtype.kind == "f":
        check_finite(values, path)
    labels = as_labels(values, path)
    orientation = orientation_on(like, header, path, of)
    return apply_orientation(labels, orientation), sha256


def read_mask(path: Path) -> Volume:
    """Labels 0, 1, 2 that lie on a grid of their own, in RAS order.

    Raises:
        InputError: as ``read_labels``.
    """
    header, values, sha256 = read_nifti(path)
    if values.dtype.kind == "f":
        check_finite(values, path)
    labels = as_labels(values, path)
    orientation = io_orientation(header.affine)
    repairs = doubts_of_geometry(header, path)
    return Volume(
        voxels=apply_orientation(labels, orientation),
        affine=header.affine @ inv_ornt_aff(orientation, labels.shape),
        orientation=orientation,
        spacing_known=not repairs,
        sha256=sha256,
        repairs=repairs,
    )


def orientation_on(
    like: Grid, header: Header, path: Path, of: str = "image"
) -> NDArray[np.float64]:
    """How a file's axes lead to those of ``like``, on whose grid it must lie.

    Raises:
        InputError: another shape or place.
    """
    placed = not doubts_of_geometry(header, path) and like.spacing_known
    # Without a place of its own a mask is taken to lie as its image's file does.
    orientation = io_orientation(header.affine) if placed else like.orientation
    turned = tuple(header.shape[i] for i in np.argsort(orientation[:, 0]))
    if turned != like.shape:
        raise InputError(
            path, f"must have the {of}'s shape {like.shape}", turned, "shape-mismatch"
        )
    affine = header.affine @ inv_ornt_aff(orientation, header.shape)
    if placed and (off := largest_shift(affine, like)) > 0.5:
        raise InputError(
            path, f"must lie where its {of} lies", f"up to {off:.1f} voxels away",
            "affine-mismatch", f"export the mask on the {of}'s own grid",
        )  # fmt: skip
    return orientation


def as_slices(voxels: NDArray) -> NDArray:
    """``(X, Y, Z)`` in RAS order as slices ``(Z, H, W)``, as radiology shows them.

    Row 0 is anterior, column 0 the patient's right, slice 0 the lowest.
    """
    return voxels[::-1, ::-1].transpose(2, 1, 0)


def read_nifti(path: Path) -> tuple[Header, Voxels, str]:
    """What a file says of itself, its voxels ``shape``, its SHA-256; all bytes checked.

    Voxels are as stored, or times slope plus offset as float32.
    """
    raw = read_bytes(path)
    sha256 = hashlib.sha256(raw).hexdigest()
    content = unpacked(raw, path) if path.name.endswith(".gz") else raw
    header = read_header(content[:HEADER_BYTES], path)
    if len(content) < header.end:
        raise file_short(path, header.end, len(content))
    n_voxels = math.prod(header.shape)
    stored = np.frombuffer(content, header.dtype, n_voxels, header.offset)
    return header, scaled(stored, header).reshape(header.shape, order="F"), sha256


def read_header(begin: bytes, path: Path) -> Header:
    """The header in the first ``HEADER_BYTES`` of a file, checked.

    Raises:
        InputError: no NIfTI, not three axes, no voxels or no numbers, no place.
    """
    second = begin[:4] in (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c")  # 540 bytes
    kind = nib.Nifti2Header if second else nib.Nifti1Header
    try:
        nifti = kind(begin[: kind.template_dtype.itemsize])
        shape, offset = nifti.get_data_shape(), nifti.get_data_offset()
        slope, inter = nifti.get_slope_inter()
        dtype, affine = nifti.get_data_dtype(), nifti.get_best_affine()
    except NO_NIFTI as error:
        raise not_nifti(path, error) from error
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3:
        raise InputError(
            path, "must have three axes", f"shape {tuple(map(int, shape))}", "four-d",
            "give one file for each volume",
        )  # fmt: skip
    if min(shape) < 1:
        raise InputError(path, "must have voxels", f"shape {shape}", "dims-invalid")
    if dtype.kind not in "iuf":
        raise InputError(path, "must hold real numbers", dtype, "voxel-type")
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine)) < 1e-9:
        raise InputError(
            path, "must place its voxels in space", "an affine that does not",
            "geometry-invalid",
        )  # fmt: skip
    return Header(
        nifti, tuple(map(int, shape)), dtype, int(offset), affine,
        1.0 if slope is None else slope, 0.0 if inter is None else inter,
    )  # fmt: skip


def file_short(path: Path, promised: int, found: int) -> InputError:
    """The error of a file that ends before its voxels do."""
    return InputError(
        path, f"must hold the {promised:,} bytes that its header promises",
        f"{found:,}", "file-short", "copy or download it again",
    )  # fmt: skip


def promised_slices(path: Path) -> int:
    """How many slices a file's header promises; 0 where it makes no sense."""
    try:
        image = nib.load(path)
        return image.shape[list(io_orientation(image.affine)[:, 0]).index(2)]
    except NO_NIFTI:
        return 0


def read_bytes(path: Path) -> bytes:
    """The file as it lies on the disk."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            path, "must be readable", error.strerror or error, "unreadable"
        ) from error


def unpacked(raw: bytes, path: Path) -> bytes:
    """The gzip stream read to its end, where its checksum stands."""
    check_gzip(raw[:4], path)
    with sound_gzip(path, len(raw)):
        return igzip.decompress(raw)  # faster than Python's own


def check_gzip(begin: bytes, path: Path) -> None:
    """Refuses what only its name calls gzip, by its first bytes."""
    if begin[:2] != b"\x1f\x8b":
        raise InputError(
            path, "must be what its name says, gzip", f"begins with {begin!r}",
            "gz-mismatch",
        )  # fmt: skip


@contextmanager
def sound_gzip(path: Path, size: int) -> Iterator[None]:
    """Says of a stream of ``size`` bytes that fails in the block what is wrong."""
    again = "copy or download it again"
    try:
        yield
    except EOFError as error:
        raise InputError(
            path, "the gzip stream must be whole", f"ends after {size:,} bytes",
            "gz-truncated", again,
        ) from error  # fmt: skip
    except (BadGzipFile, isal_zlib.error) as error:
        raise InputError(
            path, "the gzip stream must be sound", error, "gz-corrupt", again
        ) from error


def not_nifti(path: Path, error: Exception) -> InputError:
    """The error of a file that nibabel cannot make sense of."""
    found = str(error) or type(error).__name__
    return InputError(path, "must be a NIfTI image", found, "not-nifti")


def scaled(stored: NDArray, header: Header) -> Voxels:
    """A file's numbers, as stored; where there is a slope or offset, float32."""
    if (header.slope, header.inter) == (1, 0):
        return stored.astype(stored.dtype.newbyteorder("="), copy=False)
    with np.errstate(over="ignore"):  # an infinity is refused by name, later
        values = apply_read_scaling(stored, header.slope, header.inter)
        return values.astype(np.float32)


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
    bad: int = 0  # NaN or infinite
    first_bad: tuple[int, ...] = ()

    def add(self, values: Voxels, start: int = 0) -> None:
        """Looks at ``(X, Y, n)``, the file's voxels from ``start`` on the last axis."""
        if values.dtype.kind == "f" and (n := np.count_nonzero(~np.isfinite(values))):
            where = np.unravel_index((~np.isfinite(values)).argmax(), values.shape)
            place = tuple(int(i) for i in where)
            self.first_bad = self.first_bad or (*place[:2], start + place[2])
            self.bad += n
        low, high = values.min(), values.max()
        self.low, self.high = min(self.low, low), max(self.high, high)
        if len(self.some) < 3:
            between = (values != low) & (values != high)
            third = values.flat[between.argmax()]
            self.some |= {low.item(), high.item(), third.item()}
        self.size += values.size
        self.tissue += np.count_nonzero((values > 800) & (values < 1250))
        self.bright += np.count_nonzero(values > 300)

    def check(self, stored: np.dtype) -> None:
        """Refuses what cannot be Hounsfield units, of numbers kept as ``stored``.

        That is: NaN and infinity; two values only; soft tissue near 1,000, where
        HU + 1024 has it; a byte a voxel; nothing as low as fat and air; more than a
        store can hold.
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


def as_labels(values: NDArray, path: Path) -> NDArray[np.uint8]:
    """Labels as integers; stored ones may be off by ``ROUNDING``."""
    whole = values.dtype.kind in "iu"
    if whole and values.min() >= min(LABELS) and values.max() <= max(LABELS):
        return values.astype(np.uint8)  # what nearly all files hold: no more to look at
    rounded = np.rint(values)
    good = np.isin(rounded, LABELS) & (np.abs(values - rounded) <= ROUNDING)
    if not good.all():
        found, counts = np.unique(values[~good], return_counts=True)
        listed = ", ".join(
            f"{v:g} in {n:,} voxels" for v, n in zip(found[:3], counts, strict=False)
        )
        raise InputError(
            path, "labels must be 0, 1 or 2", listed, "label-values",
            "0 is background, 1 liver, 2 tumour",
        )  # fmt: skip
    return rounded.astype(np.uint8)


def doubts_of_geometry(header: Header, path: Path) -> tuple[Finding, ...]:
    """Why millimetres may not be read from a file, if they may not."""
    codes = tuple(int(header.nifti[f"{form}_code"]) for form in ("sform", "qform"))
    must, todo = "must say where it lies and how large a voxel is", "mm are left out"
    if codes == (0, 0):
        found = "codes 0 and 0"
    elif np.array_equal(np.abs(header.affine[:3, :3]), np.eye(3)) and (
        header.shape[:2] == (512, 512)
    ):  # volumes 28 to 47 of LiTS: no body of 512 mm fills its picture
        found = "1 x 1 x 1 mm"
    else:
        return ()
    return (Finding(str(path), must, found, "geometry-unknown", todo),)


def largest_shift(affine: NDArray, like: Grid) -> float:
    """How far any corner of a grid lies from that of ``like``, in voxels."""
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(like.shape) - 1)
    corners = np.column_stack([corners, np.ones(8)])
    away = np.linalg.inv(like.affine) @ (affine @ corners.T) - corners.T
    return float(np.abs(away[:3]).max())
