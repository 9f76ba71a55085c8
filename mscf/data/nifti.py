"""The voxels of a NIfTI file, read to its end.

Readers let much pass that ends as a wrong mask: nibabel returns other voxels for most
flipped bits of a ``.nii.gz``, because it does not read to the end where the checksum
stands. So all bytes are read here, and nothing is unpacked that the header does not
promise.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from nibabel.orientations import io_orientation
from nibabel.volumeutils import apply_read_scaling
from numpy.typing import NDArray

from mscf.data.nifti_header import Header, file_short, read_header
from mscf.data.opened_file import Stream, opened
from mscf.errors import Finding, InputError

Voxels = NDArray[np.int16] | NDArray[np.float32] | NDArray[np.uint8]

PIECE = 2**18  # bytes at once: igzip reads what it is asked for, and then copies it
SLACK = 2**20  # bytes of zeros that may follow the voxels


def read_nifti(path: Path) -> tuple[Header, Voxels, str]:
    """What a file says of itself, its voxels ``shape``, its SHA-256; all bytes checked.

    Voxels are as stored, or times slope plus offset; of either kind floats are float32.

    Raises:
        InputError: it cannot be read, is damaged, or no NIfTI of three axes.
    """
    with opened(path) as content:
        header = read_header(content.stream, path)
        stored = np.empty(math.prod(header.shape), header.dtype)
        fill(stored, content.stream, header, header.offset, path)
        rest = read_rest(content.stream, path)
    header = replace(header, repairs=header.repairs + rest)
    voxels = shortened(scaled(stored, header)).reshape(header.shape, order="F")
    return header, voxels, content.sha256


def fill(
    stored: NDArray, stream: Stream, header: Header, start: int, path: Path
) -> None:
    """Reads as many numbers as ``stored`` has room for, from byte ``start`` on."""
    room = memoryview(stored.view(np.uint8))
    done = 0
    while done < len(room):
        n = stream.readinto(room[done : done + PIECE])
        if not n:
            raise file_short(path, header.end, start + done)
        done += n


def read_rest(stream: Stream, path: Path) -> tuple[Finding, ...]:
    """Reads what follows the voxels: at the very end stands the checksum of gzip.

    Raises:
        InputError: it is more than ``SLACK``, or other than zeros.
    """
    rest = stream.read(SLACK + 1)
    if not rest:
        return ()
    must = "must end with its voxels"
    if len(rest) > SLACK or rest.count(0) < len(rest):
        what = f"more than {SLACK:,}" if len(rest) > SLACK else f"{len(rest):,}"
        raise InputError(
            path, must, f"{what} bytes behind them", "file-long",
            "copy or download it again",
        )  # fmt: skip
    found = f"{len(rest):,} zeros behind them"
    return (Finding(str(path), must, found, "file-long", "they are left out"),)


def scaled(stored: NDArray, header: Header) -> Voxels:
    """A file's numbers, as stored; where there is a slope or offset, float32."""
    if (header.slope, header.inter) == (1, 0):
        return stored.astype(stored.dtype.newbyteorder("="), copy=False)
    with np.errstate(over="ignore"):  # an infinity is refused by name, later
        values = apply_read_scaling(stored, header.slope, header.inter)
        return values.astype(np.float32)


def shortened(values: NDArray) -> Voxels:
    """Floats as float32: enough for HU, and half of what many files take."""
    if values.dtype.kind != "f":
        return values
    try:
        with np.errstate(over="raise"):
            return values.astype(np.float32, copy=False)
    except FloatingPointError:  # beyond it: refused later, as what it is
        return values


def promised_slices(path: Path) -> int:
    """How many slices a file's header promises; 0 where it makes no sense."""
    try:
        with opened(path) as content:
            header = read_header(content.stream, path)
    except InputError:
        return 0
    return header.shape[list(io_orientation(header.affine)[:, 0]).index(2)]
