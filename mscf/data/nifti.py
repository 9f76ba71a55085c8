"""A NIfTI file read to its end: header, numbers, digest, and what was odd about it.

Readers let much pass that ends as a wrong mask: nibabel returns other voxels for most
flipped bits of a ``.nii.gz``, because it does not read to the end where the checksum
stands, and it mends a header without a word. So all bytes are read here, a header is
looked at as it was stored, and nothing is unpacked that the header does not promise.
"""

from __future__ import annotations

import hashlib
import logging
import math
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from gzip import BadGzipFile
from pathlib import Path
from typing import IO

import nibabel as nib
import numpy as np
from isal import igzip, isal_zlib
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import io_orientation
from nibabel.spatialimages import HeaderDataError
from nibabel.volumeutils import apply_read_scaling
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from mscf.errors import Finding, InputError

Voxels = NDArray[np.int16] | NDArray[np.float32] | NDArray[np.uint8]

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
PIECE = 2**18  # bytes at once: igzip reads what it is asked for, and then copies it
SLACK = 2**20  # bytes of zeros that may follow the voxels
RENAME = "give it the ending of what it is"
BEGINNINGS = {  # what files are that have another name
    b"\x1f\x8b": "gzip", b"PK\x03\x04": "a zip archive", b"\xfd7zXZ": "an xz archive",
    b"BZh": "a bzip2 archive", b"(\xb5/\xfd": "a zstd archive",
    b"\\\x01\x00\x00": "plain NIfTI", b"\x00\x00\x01\\": "plain NIfTI",
    b"\x1c\x02\x00\x00": "plain NIfTI", b"\x00\x00\x02\x1c": "plain NIfTI",
}  # fmt: skip


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


class Digesting:
    """A file whose bytes are digested as they are read, in their order."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.sha256 = file, hashlib.sha256()

    def read(self, n: int = -1) -> bytes:
        """The next ``n`` bytes, or fewer at the end."""
        content = self.file.read(n)
        self.sha256.update(content)
        return content

    def readinto(self, buffer: memoryview) -> int:
        """The next bytes into ``buffer``; how many there were."""
        n = self.file.readinto(buffer)
        self.sha256.update(memoryview(buffer).cast("B")[:n])
        return n


Stream = IO[bytes] | Digesting


@dataclass(frozen=True)
class Content:
    """An opened file: its unpacked bytes in order, and the digest of what was read."""

    stream: Stream
    raw: Digesting

    @property
    def sha256(self) -> str:
        """Of the file as it lies on the disk, once all of it has been read."""
        return self.raw.sha256.hexdigest()


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


@contextmanager
def opened(path: Path) -> Iterator[Content]:
    """A file's content, unpacked while it is read.

    Raises:
        InputError: it cannot be read, is no sound gzip stream, or not what its name
            says.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would wait for ever
            found = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise InputError(path, "must be a file", found, "unreadable")
        with path.open("rb") as file:
            packed = path.name.endswith(".gz")
            check_kind(file.peek(4)[:8], packed, path)
            raw = Digesting(file)
            if not packed:
                yield Content(raw, raw)
                return
            with (
                sound_gzip(path, status.st_size),
                igzip.IGzipFile(fileobj=raw, mode="rb") as stream,
            ):
                yield Content(stream, raw)
    except OSError as error:
        raise InputError(
            path, "must be readable", error.strerror or error, "unreadable"
        ) from error


def check_kind(begin: bytes, packed: bool, path: Path) -> None:
    """Refuses what only its name calls gzip, or not gzip, by its first bytes."""
    known = (name for mark, name in BEGINNINGS.items() if begin.startswith(mark))
    found = next(known, "")
    if packed and not begin.startswith(b"\x1f\x8b"):
        if begin.lstrip()[:1] in (b"", b"<", b"{"):
            raise not_nifti(path, "a page of text" if begin else "an empty file")
        found = found or f"begins with {begin[:4]!r}"
        raise InputError(
            path, "must be what its name says, gzip", found, "gz-mismatch", RENAME
        )
    if not packed and found and found != "plain NIfTI":
        raise InputError(
            path, "must be what its name says, plain NIfTI", found, "gz-mismatch",
            RENAME,
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
    sides = np.linalg.norm(affine[:3, :3], axis=0)
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
    axes = np.linalg.norm(affine[:3, :3], axis=0)
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


def skip(n: int, stream: Stream, header: Header, path: Path) -> None:
    """Leaves ``n`` bytes between header and voxels behind."""
    if n > FURTHEST:
        raise not_nifti(path, f"voxels that begin at byte {header.offset:,}")
    if len(stream.read(n)) < n:
        raise file_short(path, header.end, header.offset - n)


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


def file_short(path: Path, promised: int, found: int) -> InputError:
    """The error of a file that ends before its voxels do."""
    return InputError(
        path, f"must hold the {promised:,} bytes that its header promises",
        f"{found:,}", "file-short", "copy or download it again",
    )  # fmt: skip


def not_nifti(path: Path, found: str) -> InputError:
    """The error of a file that is something else."""
    return InputError(path, "must be a NIfTI image", found, "not-nifti")


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
