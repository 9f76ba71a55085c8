"""A DICOM series read as a CT: its slices sorted by place, every doubt an error.

SimpleITK decodes the files: unlike a reader in Python alone, it brings along every
compression that scanners use. It would only warn of a missing slice and not see a
tilted gantry, so where the slices lie is decided here. No tag is copied anywhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.orientations import inv_ornt_aff, io_orientation
from numpy.typing import NDArray

from mscf.data.geometry import UNKNOWN, doubts_of_axes, says_spacing
from mscf.data.nifti_header import Header
from mscf.data.scan import Scan, new_slices, put
from mscf.data.volume import GreyValues
from mscf.data.volume_files import files_in
from mscf.errors import Finding, InputError

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
SAME = 1e-3  # mm
UNEVEN = 0.2  # of a step: places are often rounded to a tenth of a millimetre
MODALITY = re.compile(rb"\x08\0\x60\0(?:CS(.)\0|(.)\0\0\0)", re.DOTALL)  # its length
NO_SLICES = ("RTSTRUCT", "RTDOSE", "RTPLAN", "SEG", "SR", "PR", "KO", "REG", "DOC")
COMPANIONS = (  # what lies beside a series and is no slice of it
    ".csv", ".txt", ".json", ".xml", ".md", ".html", ".pdf", ".png", ".jpg", ".jpeg",
    ".nii", ".nii.gz", ".ini", ".db",
)  # fmt: skip


@dataclass(frozen=True)
class Plane:
    """One file of a series: what it says of its place, in mm, LPS."""

    path: Path
    series: str
    modality: str
    size: tuple[int, int]  # columns, rows
    position: NDArray[np.float64]  # of the first pixel's centre
    row: NDArray[np.float64]  # direction along a row
    column: NDArray[np.float64]  # direction down a column
    spacing: tuple[float, float]  # of rows, of columns
    thickness: float  # 0 where the file does not say it
    kind: str  # ImageType; nothing where the file does not say it
    fractions: bool  # whether its HU are scaled to other numbers than whole ones


def looks_like_dicom(path: Path) -> bool:
    """Whether the mark of a DICOM file stands behind its first 128 bytes.

    Raises:
        InputError: it may not be read.
    """
    if not path.is_file() or path.name == "DICOMDIR":
        return False
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError as error:
        raise InputError(
            path, "must be readable", error.strerror or error, "unreadable"
        ) from error


def read_series(source: Path, folder: Path) -> Scan:
    """The CT in ``source``, a folder of one series; slices in ``folder``.

    Raises:
        InputError: SimpleITK is not installed; a file that cannot be read, is no CT,
            holds several frames or does not say its place; several series; a scout;
            slices that are missing, double, of several sizes, at uneven steps, aside of
            each other (as by a tilted gantry), or far from axial; no HU.
        StorageError: no room in ``folder``.
    """
    sitk = simple_itk(source)
    files = files_in(source)
    paths = [path for path in files if looks_like_dicom(path)]
    planes = [read_plane(path, sitk) for path in paths]
    check_one_series(planes, source)
    normal = np.cross(planes[0].row, planes[0].column)
    planes.sort(key=lambda plane: float(plane.position @ normal))
    step, doubts = check_steps(planes, normal, source)
    dtype = read_pixels(planes[0].path, sitk).dtype
    if any(plane.fractions for plane in planes):  # not of the first alone
        dtype = np.dtype(np.float64)
    header = header_of(planes, normal * step, dtype)
    doubts += doubts_of_axes(header, source, says_spacing(doubts))
    doubts += left_out(files, paths, source)
    orientation = io_orientation(header.affine)
    slices = new_slices(header, orientation, folder, header.dtype)
    seen = GreyValues(source)
    with slices.filled():
        for k, plane in enumerate(planes):
            values = read_pixels(plane.path, sitk)[..., None]  # (X, Y, 1)
            seen.add(values, k)
            put(slices, values, k, orientation)
        seen.check(header.dtype)
    affine = header.affine @ inv_ornt_aff(orientation, header.shape)
    return Scan(slices, header, affine, orientation, doubts)


def left_out(files: list[Path], paths: list[Path], source: Path) -> tuple[Finding, ...]:
    """How many of ``files`` may be slices, but lack the mark that ``paths`` have."""
    dicom = set(paths)
    others = [
        path
        for path in files
        if path.is_file()
        and path not in dicom
        and path.name != "DICOMDIR"
        and not path.name.startswith(".")
        and not path.name.lower().endswith(COMPANIONS)
    ]
    if not others:
        return ()
    found = f"{len(others)} without the mark of one, the first {others[0].name}"
    must, todo = "must hold DICOM files", "left out: look whether slices are missing"
    return (Finding(str(source), must, found, "dicom-left-out", todo),)


def simple_itk(source: Path) -> ModuleType:
    """SimpleITK, which need not be installed."""
    try:
        import SimpleITK as sitk  # noqa: N813 (as everywhere)
    except ImportError as error:
        raise InputError(
            source, "must be NIfTI where SimpleITK is not installed", "DICOM",
            "dicom-reader", "install it: pip install 'mscf[dicom]'",
        ) from error  # fmt: skip
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # the checks here are stricter
    return sitk


def read_plane(path: Path, sitk: ModuleType) -> Plane:
    """What one file says of its place, without its pixels.

    Raises:
        InputError: it is no image, cannot be read, holds several frames or does not say
            its place.
    """
    if (modality := modality_of(path)) in NO_SLICES:
        raise InputError(
            path, "must be a slice of a CT", modality, "dicom-modality",
            "move it out of the folder",
        )  # fmt: skip
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        columns, rows, *frames = reader.GetSize()
        if any(n != 1 for n in frames):  # their places stand elsewhere: looked at first
            raise InputError(
                path, "must hold one slice", f"{frames[0]} frames", "dicom-frames",
                "convert the series to NIfTI",
            )  # fmt: skip
        tags = {
            name: reader.GetMetaData(tag).strip()
            for name, tag in (
                ("series", "0020|000e"), ("modality", "0008|0060"),
                ("position", "0020|0032"), ("directions", "0020|0037"),
                ("spacing", "0028|0030"),
            )
        }  # fmt: skip
        thick, kind = (
            reader.GetMetaData(tag).strip() if reader.HasMetaDataKey(tag) else ""
            for tag in ("0018|0050", "0008|0008")
        )
        directions = numbers(tags["directions"], 6)
        return Plane(
            path, tags["series"], tags["modality"], (columns, rows),
            numbers(tags["position"], 3), directions[:3], directions[3:],
            tuple(numbers(tags["spacing"], 2).tolist()), float(thick or 0), kind,
            reader.GetPixelID() in (sitk.sitkFloat32, sitk.sitkFloat64),
        )  # fmt: skip
    except (RuntimeError, ValueError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(
            path, "must be a DICOM slice that says where it lies", lines[-1],
            "dicom-unreadable",
        ) from error  # fmt: skip


def modality_of(path: Path) -> str:
    """The modality that stands among a file's first tags; nothing where it does not.

    Read by hand: SimpleITK reads no tag of a file without pixels. Little endian, with
    the types of values or without, as all such files are that are not compressed.
    """
    with path.open("rb") as file:
        tags = file.read(4096)
    if not (found := MODALITY.search(tags)):
        return ""
    length = (found[1] or found[2])[0]
    return tags[found.end() : found.end() + length].decode("ascii", "replace").strip()


def numbers(text: str, n: int) -> NDArray[np.float64]:
    """Numbers between backslashes."""
    values = np.array([float(word) for word in text.split("\\")])
    if values.shape != (n,) or not np.isfinite(values).all():
        raise ValueError(f"{text} instead of {n} numbers")
    return values


def read_pixels(path: Path, sitk: ModuleType) -> NDArray:
    """The HU ``(X, Y)`` of one file, integers as int16 where they fit."""
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise InputError(
            path, "must have pixels that can be decoded",
            str(error).strip().splitlines()[-1], "dicom-unreadable",
            "copy it again, or convert the series to NIfTI",
        ) from error  # fmt: skip
    if image.GetNumberOfComponentsPerPixel() > 1:
        raise InputError(
            path, "must have one grey value a pixel", "colours", "dicom-unreadable",
            "remove what is no slice of the scan, such as a report",
        )  # fmt: skip
    values = sitk.GetArrayFromImage(image)
    values = values.reshape(values.shape[-2:]).T
    stores = np.iinfo(np.int16)
    small = values.dtype.kind in "iu" and values.dtype.itemsize > 1
    if small and stores.min <= values.min() and values.max() <= stores.max:
        return values.astype(np.int16)
    return values


def check_one_series(planes: list[Plane], source: Path) -> None:
    """All files must be slices of one CT, alike in size, direction and spacing.

    Raises:
        InputError: they are not.
    """
    first = planes[0]
    series = {plane.series for plane in planes}
    if len(series) > 1:
        raise InputError(
            source, "must hold one DICOM series", f"{len(series)}", "dicom-series",
            "give each series a folder of its own",
        )  # fmt: skip
    for plane in planes:
        if plane.modality != "CT":
            raise InputError(
                plane.path, "must be a CT", plane.modality or "no modality",
                "dicom-modality",
            )  # fmt: skip
        if "LOCALIZER" in map(str.strip, plane.kind.upper().split("\\")):
            raise InputError(
                plane.path, "must be a slice, no scout view", plane.kind,
                "dicom-localizer", "remove it, and give the axial series",
            )  # fmt: skip
        if plane.size != first.size:
            sizes = " and ".join(f"{p.size[0]} x {p.size[1]}" for p in (first, plane))
            raise InputError(
                plane.path, "must be of the size of the others", sizes, "dicom-gap",
                "remove what is no slice of the scan, such as a scout view",
            )  # fmt: skip
        placed = [(*p.row, *p.column, *p.spacing) for p in (first, plane)]
        if not np.allclose(*placed, atol=1e-3):
            raise InputError(
                plane.path, "must lie as the others do", "other directions or spacing",
                "dicom-gap", "remove what is no slice of the scan",
            )  # fmt: skip


def check_steps(
    planes: list[Plane], normal: NDArray, source: Path
) -> tuple[float, tuple[Finding, ...]]:
    """Millimetres from slice to slice, and whether they are to be believed.

    ``planes`` are sorted along the normal. A single one has the thickness that it says.

    Raises:
        InputError: a slice is missing or double, off the even grid or aside of the
            first, or the gantry was tilted.
    """
    if len(planes) == 1:
        thickness = planes[0].thickness
        if thickness > 0:
            return thickness, ()
        must, todo = "must say how thick its one slice is", "mm are left out"
        return 1.0, (Finding(str(source), must, "nothing", UNKNOWN, todo),)
    places = np.array([plane.position for plane in planes])
    along = places @ normal
    steps = np.diff(along)
    usual = float(np.median(steps))
    uneven = np.flatnonzero(np.abs(steps - usual) > UNEVEN * usual)
    if usual < SAME or uneven.size:
        k = int(uneven[0]) if uneven.size else 0
        raise InputError(
            source, f"must have a slice every {usual:g} mm",
            f"{steps[k]:g} mm from {planes[k].path.name} at {along[k]:g} mm to "
            f"{planes[k + 1].path.name}",
            "dicom-gap", "export the whole series again, each slice once",
        )  # fmt: skip
    step = float((along[-1] - along[0]) / (len(planes) - 1))
    off = np.abs(along - (along[0] + step * np.arange(len(planes))))
    k = int(off.argmax())
    if off[k] > UNEVEN * step:  # small differences that add up
        raise InputError(
            source, f"must have a slice every {step:g} mm",
            f"{planes[k].path.name} {off[k]:.1f} mm from its place", "dicom-gap",
            "export the whole series again at even steps",
        )  # fmt: skip
    away = places - places[0]
    aside = np.linalg.norm(away - np.outer(away @ normal, normal), axis=1)
    if aside[-1] > min(planes[0].spacing):
        tilt = float(np.degrees(np.arctan2(aside[-1], away[-1] @ normal)))
        raise InputError(
            source, "must have its slices straight above each other",
            f"a gantry tilted by {tilt:.1f} degrees", "dicom-gap",
            "convert it to NIfTI with a tool that corrects the tilt",
        )  # fmt: skip
    k = int(aside.argmax())
    if aside[k] > min(planes[0].spacing):
        raise InputError(
            source, "must have its slices straight above each other",
            f"{planes[k].path.name} {aside[k]:.1f} mm aside of {planes[0].path.name}",
            "dicom-gap", "export the whole series again, all of one place",
        )  # fmt: skip
    return step, ()


def header_of(planes: list[Plane], step: NDArray, dtype: np.dtype) -> Header:
    """A NIfTI header for sorted slices, whose masks are to lie on their grid."""
    first = planes[0]
    lps = np.eye(4)
    lps[:3, 0] = first.row * first.spacing[1]
    lps[:3, 1] = first.column * first.spacing[0]
    lps[:3, 2], lps[:3, 3] = step, first.position
    shape = (*first.size, len(planes))
    nifti = Nifti1Header()
    nifti.set_data_shape(shape)
    nifti.set_data_dtype(dtype)
    nifti.set_qform(LPS_TO_RAS @ lps, 1)
    nifti.set_sform(LPS_TO_RAS @ lps, 1)
    nifti.set_xyzt_units("mm")
    return Header(nifti, shape, dtype, 0, nifti.get_best_affine(), 1.0, 0.0)
