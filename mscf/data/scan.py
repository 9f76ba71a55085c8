"""A CT of any length in bounded memory: its slices in a file without a name.

``read_volume`` holds a volume whole, as preparing needs it. Here the same bytes are
unpacked, checked and turned by pieces, and a mask is written so on the CT's own grid.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Self

import numpy as np
from isal import igzip
from nibabel.affines import voxel_sizes
from nibabel.nifti1 import Nifti1Header
from nibabel.orientations import (
    apply_orientation,
    axcodes2ornt,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)
from numpy.typing import DTypeLike, NDArray

from mscf.data.geometry import (
    doubts_of_geometry,
    orientation_on,
    says_spacing,
    voxel_ml,
)
from mscf.data.nifti import Voxels, fill, read_rest, scaled
from mscf.data.nifti_header import Header, read_header
from mscf.data.opened_file import Content, opened
from mscf.data.volume import GreyValues, as_labels
from mscf.errors import Finding, cannot_write, warn
from mscf.replacing import replacing, reserve

PIECE = 2**22  # bytes of a file at once: eight slices of 512 x 512
PLACE = (  # what says where voxels lie: all that a mask's header takes from its CT's
    "pixdim", "xyzt_units", "qform_code", "sform_code",
    "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z",
    "srow_x", "srow_y", "srow_z",
)  # fmt: skip


class SliceFile:
    """Slices ``(N, H, W)`` in a file without a name, gone when the process ends.

    It is mapped only while slices are read or written, so that what was looked at
    does not stay in memory.
    """

    def __init__(
        self, folder: Path, shape: tuple[int, int, int], dtype: DTypeLike
    ) -> None:
        """Takes the room in ``folder``'s file system.

        Raises:
            StorageError: there is not enough, or no permission.
        """
        self.shape, self.dtype = shape, np.dtype(dtype)
        size = int(np.prod(shape, dtype=object)) * self.dtype.itemsize
        try:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
            reserve(self._file, 0, size)
            self._file.truncate(size)
        except (OSError, OverflowError) as error:
            system = error if isinstance(error, OSError) else OSError(str(error))
            must = f"must have room for {size:,} bytes of voxels"
            raise cannot_write(folder, system, must) from error

    def __len__(self) -> int:
        return self.shape[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __getitem__(self, part: int | slice) -> NDArray:
        """A copy of one slice or some."""
        return np.array(self.mapped()[part])

    def __setitem__(self, part: int | slice, slices: NDArray) -> None:
        self.mapped()[part] = slices

    @contextmanager
    def filled(self) -> Iterator[None]:
        """Gives its room back where what fills it in the block fails.

        Not later: an error that is kept would keep the room.
        """
        try:
            yield
        except BaseException:
            self._file.close()
            raise

    def mapped(self) -> np.memmap:
        """All of it; let it go after use."""
        return np.memmap(self._file, self.dtype, "r+", shape=self.shape)


@dataclass(frozen=True)
class Scan:
    """A CT as slices of HU, and how its file was stored.

    Row 0 is anterior, column 0 the patient's right, slice 0 the lowest, as in a store.
    ``affine`` maps indices in RAS order to mm; ``orientation`` leads there from the
    file's axes.
    """

    slices: SliceFile
    header: Header
    affine: NDArray[np.float64]
    orientation: NDArray[np.float64]
    repairs: tuple[Finding, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along X, Y, Z."""
        return self.slices.shape[::-1]

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


def read_scan(path: Path, folder: Path) -> Scan:
    """A NIfTI file's CT in HU, checked as ``read_volume`` does; slices in ``folder``.

    Raises:
        InputError: as ``read_volume``.
        StorageError: no room in ``folder``.
    """
    with opened(path) as content:
        header = read_header(content.stream, path)
        orientation = io_orientation(header.affine)
        slices = new_slices(header, orientation, folder, scaled_type(header))
        seen = GreyValues(path)
        with slices.filled():
            for start, values in pieces(content, header, path):
                seen.add(values, start)
                put(slices, values, start, orientation)
            rest = read_rest(content.stream, path)
            seen.check(header.dtype)
            doubts = doubts_of_geometry(header, path)
    affine = header.affine @ inv_ornt_aff(orientation, header.shape)
    repairs = header.repairs + rest + doubts
    return Scan(slices, header, affine, orientation, repairs)


def read_labels_of(path: Path, like: Scan, folder: Path) -> SliceFile:
    """Labels 0, 1, 2 on the grid of ``like`` as slices in ``folder``.

    Raises:
        InputError: as ``read_labels``.
    """
    with opened(path) as content:
        header = read_header(content.stream, path)
        orientation, moved = orientation_on(like, header, path, of="CT")
        repairs = dict.fromkeys(header.repairs + moved)  # each once, in order
        slices = SliceFile(folder, like.slices.shape, np.uint8)
        with slices.filled():
            for start, values in pieces(content, header, path):
                labels, rounded = as_labels(values, path)
                put(slices, labels, start, orientation)
                repairs |= dict.fromkeys(rounded)
            repairs |= dict.fromkeys(read_rest(content.stream, path))
    for repair in repairs:
        warn(repair)
    return slices


def write_on_grid(slices: SliceFile, like: Scan, path: Path) -> None:
    """Replaces ``path`` by a gzipped NIfTI file on the very grid of ``like``'s own.

    Its shape, its axes in their order, its place and units are kept; nothing else of
    its header is. Equal slices give equal bytes.
    """
    nifti = header_like(like.header, slices.dtype)
    depth = pieces_deep(like.header.shape, slices.dtype)
    with (
        replacing(path, text=False) as file,
        igzip.IGzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed,
    ):
        packed.write(nifti.binaryblock.ljust(int(nifti["vox_offset"]), b"\0"))
        for start in range(0, like.header.shape[2], depth):
            voxels = in_file_order(slices.mapped(), like.orientation)
            packed.write(voxels[..., start : start + depth].tobytes(order="F"))
            del voxels  # the map with it


def header_like(header: Header, dtype: np.dtype) -> Nifti1Header:
    """A header for other voxels in the same place, of the same kind."""
    nifti = type(header.nifti)()
    nifti.set_data_dtype(dtype)
    nifti.set_data_shape(header.shape)
    nifti.set_slope_inter(1, 0)
    for name in PLACE:
        nifti[name] = header.nifti[name]
    nifti["vox_offset"] = len(nifti.binaryblock) + 4  # four zeros: no extension
    nifti["descrip"] = f"mscf {version('mscf')}: research, no medical device"
    return nifti


def pieces(
    content: Content, header: Header, path: Path
) -> Iterator[tuple[int, Voxels]]:
    """The voxels ``(X, Y, n)`` from where on the last axis."""
    *plane, end = header.shape
    depth = pieces_deep(header.shape, header.dtype)
    at = header.offset
    for start in range(0, end, depth):
        n = min(depth, end - start)
        stored = np.empty(n * plane[0] * plane[1], header.dtype)
        fill(stored, content.stream, header, at, path)
        at += stored.nbytes
        yield start, scaled(stored, header).reshape(*plane, n, order="F")


def pieces_deep(shape: tuple[int, ...], dtype: np.dtype) -> int:
    """How many planes of a file make a piece."""
    return max(1, PIECE // (shape[0] * shape[1] * dtype.itemsize))


def scaled_type(header: Header) -> np.dtype:
    """The type of ``scaled`` voxels."""
    return scaled(np.zeros(0, header.dtype), header).dtype


def new_slices(
    header: Header, orientation: NDArray, folder: Path, dtype: DTypeLike
) -> SliceFile:
    """Room for a file's voxels as slices."""
    x, y, z = (header.shape[i] for i in np.argsort(orientation[:, 0]))
    return SliceFile(folder, (z, y, x), dtype)


def put(
    slices: SliceFile, values: NDArray, start: int, orientation: NDArray[np.float64]
) -> None:
    """Writes a piece of a file to where it belongs in the slices."""
    voxels = in_file_order(slices.mapped(), orientation)
    voxels[..., start : start + values.shape[2]] = values


def in_file_order(slices: NDArray, orientation: NDArray[np.float64]) -> NDArray:
    """Slices ``(Z, H, W)`` seen along the axes of a file, the inverse of ``as_slices``.

    A view, so that writing to it writes to the slices.
    """
    ras = slices.transpose(2, 1, 0)[::-1, ::-1]
    return apply_orientation(ras, ornt_transform(axcodes2ornt("RAS"), orientation))
