"""One NIfTI file read, checked and turned: voxels ``(X, Y, Z)`` in RAS order.

Readers let much pass that ends as a wrong mask: nibabel returns other voxels for most
flipped bits of a ``.nii.gz``, because it does not read to the end where the checksum
stands. So a file is read whole here, and every doubt is one error that names it.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from isal import igzip, isal_zlib
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from mscf.errors import Finding, InputError

Voxels = NDArray[np.int16] | NDArray[np.float32] | NDArray[np.uint8]

LABELS = (0, 1, 2)  # background, liver, tumour
NO_NIFTI = (  # what nibabel raises of a file that it can make nothing of
    HeaderDataError, WrapStructError, ImageFileError,
    ValueError, OverflowError, KeyError, OSError, EOFError,
)  # fmt: skip
FAT = -20  # HU; a CT of a body goes at least so low
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
    image, voxels, sha256 = read_nifti(path)
    if voxels.dtype.kind == "f":
        check_finite(voxels, path)
    check_hu(voxels, image.get_data_dtype(), path)
    orientation = io_orientation(image.affine)
    affine = image.affine @ inv_ornt_aff(orientation, voxels.shape)
    repairs = doubts_of_geometry(image, path)
    return Volume(
        voxels=apply_orientation(voxels, orientation),
        affine=affine,
        orientation=orientation,
        spacing_known=not repairs,
        sha256=sha256,
        repairs=repairs,
    )


def read_labels(path: Path, like: Volume) -> tuple[NDArray[np.uint8], str]:
    """Labels 0, 1, 2 on the grid of ``like``, in RAS order; and the file's SHA-256.

    Raises:
        InputError: as ``read_volume``; another shape or place; other values.
    """
    image, values, sha256 = read_nifti(path)
    if values.dtype.kind == "f":
        check_finite(values, path)
    labels = as_labels(values, path)
    placed = not doubts_of_geometry(image, path) and like.spacing_known
    # Without a place of its own a mask is taken to lie as its image's file does.
    orientation = io_orientation(image.affine) if placed else like.orientation
    affine = image.affine @ inv_ornt_aff(orientation, labels.shape)
    labels = apply_orientation(labels, orientation)
    if labels.shape != like.shape:
        raise InputError(
            path, f"must have the image's shape {like.shape}", labels.shape,
            "shape-mismatch",
        )  # fmt: skip
    if placed and (off := largest_shift(affine, like)) > 0.5:
        raise InputError(
            path, "must lie where its image lies", f"up to {off:.1f} voxels away",
            "affine-mismatch", "export the mask on the image's own grid",
        )  # fmt: skip
    return labels, sha256


def as_slices(voxels: NDArray) -> NDArray:
    """``(X, Y, Z)`` in RAS order as slices ``(Z, H, W)``, as radiology shows them.

    Row 0 is anterior, column 0 the patient's right, slice 0 the lowest.
    """
    return voxels[::-1, ::-1].transpose(2, 1, 0)


def read_nifti(path: Path) -> tuple[nib.Nifti1Image, Voxels, str]:
    """A file's image, its voxels on three axes, and its SHA-256; all bytes checked."""
    raw = read_bytes(path)
    sha256 = hashlib.sha256(raw).hexdigest()
    content = unpacked(raw, path) if path.name.endswith(".gz") else raw
    second = content[:4] in (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c")  # 540 bytes
    kind = nib.Nifti2Image if second else nib.Nifti1Image
    try:
        header = kind.header_class.from_fileobj(io.BytesIO(content))
        shape, offset = header.get_data_shape(), header.get_data_offset()
        dtype = header.get_data_dtype()
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
    promised = int(offset) + int(np.prod(shape, dtype=object)) * dtype.itemsize
    if len(content) < promised:
        raise InputError(
            path, f"must hold the {promised:,} bytes that its header promises",
            f"{len(content):,}", "file-short", "copy or download it again",
        )  # fmt: skip
    try:
        image = kind.from_bytes(content)
        voxels = scaled(image).reshape(shape)
    except NO_NIFTI as error:
        raise not_nifti(path, error) from error
    if not np.isfinite(image.affine).all() or abs(np.linalg.det(image.affine)) < 1e-9:
        raise InputError(
            path, "must place its voxels in space", "an affine that does not",
            "geometry-invalid",
        )  # fmt: skip
    return image, voxels, sha256


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
    if raw[:2] != b"\x1f\x8b":
        raise InputError(
            path, "must be what its name says, gzip", f"begins with {raw[:4]!r}",
            "gz-mismatch",
        )  # fmt: skip
    try:
        return igzip.decompress(raw)  # faster than Python's own
    except EOFError as error:
        raise InputError(
            path, "the gzip stream must be whole", f"ends after {len(raw):,} bytes",
            "gz-truncated", "copy or download it again",
        ) from error  # fmt: skip
    except (OSError, isal_zlib.error) as error:
        raise InputError(
            path, "the gzip stream must be sound", error, "gz-corrupt",
            "copy or download it again",
        ) from error  # fmt: skip


def not_nifti(path: Path, error: Exception) -> InputError:
    """The error of a file that nibabel cannot make sense of."""
    found = str(error) or type(error).__name__
    return InputError(path, "must be a NIfTI image", found, "not-nifti")


def scaled(image: nib.Nifti1Image) -> Voxels:
    """The voxels times slope plus offset: as stored without them, else float32."""
    proxy = image.dataobj  # the header of a loaded image has forgotten both
    if (proxy.slope, proxy.inter) == (1, 0):
        raw = np.asanyarray(proxy.get_unscaled())
        return raw.astype(raw.dtype.newbyteorder("="), copy=False)
    with np.errstate(over="ignore"):  # an infinity is refused by name, later
        return np.asarray(proxy, np.float32)


def check_finite(values: NDArray, path: Path) -> None:
    """Refuses NaN and infinity, with how many and the first."""
    bad = ~np.isfinite(values)
    if n := int(bad.sum()):
        first = tuple(int(i) for i in np.unravel_index(bad.argmax(), bad.shape))
        raise InputError(
            path, "voxels must be finite", f"{n:,} that are not, the first at {first}",
            "nonfinite",
        )  # fmt: skip


def check_hu(values: NDArray, stored: np.dtype, path: Path) -> None:
    """Refuses what cannot be Hounsfield units.

    That is: two values only; soft tissue near 1,000, where HU + 1024 has it; a byte a
    voxel; nothing as low as fat and air; more than a store can hold.
    """
    low, high = values.min(), values.max()
    some = values[:, :, values.shape[2] // 2]  # nearly always enough to see a third
    if all(((x == low) | (x == high)).all() for x in (some, values)):
        found = f"only {low:g} and {high:g}" if low < high else f"only {low:g}"
        raise InputError(path, "must show something", found, "constant")
    must = "must be in Hounsfield units, air near -1000"
    found = f"{stored} from {low:g} to {high:g}"
    tissue = np.count_nonzero((values > 800) & (values < 1250))
    if tissue > max(0.05 * values.size, 0.5 * np.count_nonzero(values > 300)):
        raise InputError(
            path, must, f"{found}, much of it near 1,000 like soft tissue in HU + 1024",
            "not-hu", "subtract 1024 from its voxels",
        )  # fmt: skip
    stores = np.iinfo(np.int16)
    in_range = stores.min <= low <= FAT and high <= stores.max
    if values.dtype.itemsize == 1 or not in_range:
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


def doubts_of_geometry(image: nib.Nifti1Image, path: Path) -> tuple[Finding, ...]:
    """Why millimetres may not be read from a file, if they may not."""
    header = image.header
    codes = int(header["sform_code"]), int(header["qform_code"])
    must, todo = "must say where it lies and how large a voxel is", "mm are left out"
    if codes == (0, 0):
        found = "codes 0 and 0"
    elif np.array_equal(np.abs(image.affine[:3, :3]), np.eye(3)) and (
        image.shape[:2] == (512, 512)
    ):  # volumes 28 to 47 of LiTS: no body of 512 mm fills its picture
        found = "1 x 1 x 1 mm"
    else:
        return ()
    return (Finding(str(path), must, found, "geometry-unknown", todo),)


def largest_shift(affine: NDArray, like: Volume) -> float:
    """How far any corner of a grid lies from that of ``like``, in voxels."""
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(like.shape) - 1)
    corners = np.column_stack([corners, np.ones(8)])
    away = np.linalg.inv(like.affine) @ (affine @ corners.T) - corners.T
    return float(np.abs(away[:3]).max())
