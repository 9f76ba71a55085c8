"""Where a file's voxels lie: what is doubtful about it, and whose grid it fits.

NIfTI says the place of its voxels twice (sform, qform), once or not at all. What
nibabel takes is taken; what it does not say is said here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.orientations import aff2axcodes, inv_ornt_aff, io_orientation
from numpy.typing import NDArray

from mscf.data.nifti_header import NO_NIFTI, Header
from mscf.errors import Finding, InputError

UNKNOWN = "geometry-unknown"  # the repair with which no millimetre may be read
SAME = 1e-3  # voxels; what float32 and a quaternion leave of equal places
NEAR = 0.5  # voxels; further away, a mask is another place's
LONG = 1.5  # times; the pixels of axial slices are square
STRAIGHT, STEEPEST = 0.1, 40.0  # degrees; towards 45 the names of the axes jump
SHEARED = 1.0  # degrees off a right angle; distances are then up to 1 % off


class Grid(Protocol):
    """Where voxels lie, in RAS order, and how a file's axes lead there."""

    shape: tuple[int, ...]
    affine: NDArray[np.float64]
    orientation: NDArray[np.float64]
    spacing_known: bool


def doubts_of_geometry(header: Header, path: Path) -> tuple[Finding, ...]:
    """What a file does not say of its place, says twice otherwise, or says askew.

    Raises:
        InputError: its axes lie between those of the body.
    """
    doubts = (*unknown(header, path), *disagreeing(header, path))
    return doubts + doubts_of_axes(header, path, says_spacing(doubts))


def doubts_of_axes(
    header: Header, path: Path, spacing_known: bool
) -> tuple[Finding, ...]:
    """Why a file's axial slices may not be such as a scanner makes.

    Raises:
        InputError: its axes lie between those of the body.
    """
    doubts = oblique(header, path)
    return doubts + not_axial(header, path) if spacing_known else doubts


def says_spacing(repairs: tuple[Finding, ...]) -> bool:
    """Whether millimetres may be read from a file with these repairs."""
    return all(repair.check != UNKNOWN for repair in repairs)


def unknown(header: Header, path: Path) -> tuple[Finding, ...]:
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
    return (Finding(str(path), must, found, UNKNOWN, todo),)


def disagreeing(header: Header, path: Path) -> tuple[Finding, ...]:
    """How far qform and sform are apart, if both say a place and not the same."""
    if 0 in (header.nifti["sform_code"], header.nifti["qform_code"]):
        return ()
    must, todo = "sform and qform must say the same place", "sform is taken"
    try:
        with np.errstate(invalid="ignore"):
            other = header.nifti.get_qform()
    except NO_NIFTI:
        other = np.full((4, 4), np.nan)
    other[:3] *= header.unit[1]
    if not np.isfinite(other).all() or not other[:3, :3].any(axis=0).all():
        found = "a qform that makes no sense"
    elif shift(other, header.affine, header.shape) <= SAME:
        return ()
    else:
        turned = angles(directions(header.affine), directions(other)).max()
        away = np.linalg.norm(header.affine[:3, 3] - other[:3, 3])
        found = f"{turned:.1f} degrees and {away:.1f} mm apart"
    return (Finding(str(path), must, found, "geometry-disagree", todo),)


def oblique(header: Header, path: Path) -> tuple[Finding, ...]:
    """How far a file's axes are from those of the body, if they are.

    Raises:
        InputError: so far that which axis is which is a matter of taste.
    """
    axes = directions(header.affine)
    orientation = io_orientation(header.affine)
    nearest = np.zeros((3, 3))
    for i, (axis, sign) in enumerate(orientation):
        nearest[int(axis), i] = sign
    angle = angles(axes, nearest).max()
    codes = "".join(aff2axcodes(header.affine))
    found = f"{angle:.1f} degrees off {codes}"
    if angle > STEEPEST:
        must = f"must have axes within {STEEPEST:g} degrees of the body's"
        todo = "resample it to axial slices"
        raise InputError(path, must, found, "oblique", todo)
    if angle <= STRAIGHT:
        return ()
    must, todo = "must have the axes of the body", "its slices are taken as stored"
    if not at_right_angles(header.affine):
        found, todo = f"{found}, sheared", f"{todo}, mm across them are left out"
    return (Finding(str(path), must, found, "oblique", todo),)


def not_axial(header: Header, path: Path) -> tuple[Finding, ...]:
    """Whether the pixels of axial slices are long, as where others were made.

    Coronal and sagittal slices lie along the axes of the body too.
    """
    sides = voxel_sizes(header.affine)
    x, y = sides[np.argsort(io_orientation(header.affine)[:, 0])][:2]
    if max(x, y) <= LONG * min(x, y):
        return ()
    must = "must be a series of axial slices, whose pixels are nearly square"
    todo = "it is cut into axial slices all the same; give the axial series instead"
    return (Finding(str(path), must, f"{x:g} x {y:g} mm", "not-axial", todo),)


def orientation_on(
    like: Grid, header: Header, path: Path, of: str = "image"
) -> tuple[NDArray[np.float64], tuple[Finding, ...]]:
    """How a file's axes lead to those of ``like``, on whose grid it must lie.

    And what was repaired: it is taken to lie exactly there.

    Raises:
        InputError: another shape or place.
    """
    placed = says_spacing(unknown(header, path))
    both = placed and like.spacing_known
    # Without a place of its own a mask is taken to lie as its image's file does.
    orientation = io_orientation(header.affine) if both else like.orientation
    turned = tuple(header.shape[i] for i in np.argsort(orientation[:, 0]))
    if turned != like.shape:
        raise InputError(
            path, f"must have the {of}'s shape {like.shape}", turned, "shape-mismatch"
        )
    must, todo = f"must lie where its {of} lies", f"it is laid on the {of}'s grid"
    if not both:
        found = "no place of its own" if like.spacing_known else f"an {of} without one"
        same = placed == like.spacing_known
        drift = Finding(str(path), must, found, "affine-drift", todo)
        return orientation, () if same else (drift,)
    affine = header.affine @ inv_ornt_aff(orientation, header.shape)
    off = shift(affine, like.affine, like.shape)
    if off > NEAR:
        raise InputError(
            path, must, f"up to {off:.1f} voxels away", "affine-mismatch",
            f"export the mask on the {of}'s own grid",
        )  # fmt: skip
    found = f"up to {off:.3f} voxels away"
    drift = Finding(str(path), must, found, "affine-drift", todo)
    return orientation, () if off <= SAME else (drift,)


def shift(affine: NDArray, like: NDArray, shape: tuple[int, ...]) -> float:
    """How far any corner of ``shape`` lies from where ``like`` has it, in voxels."""
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(shape) - 1)
    corners = np.column_stack([corners, np.ones(8)])
    away = np.linalg.inv(like) @ (affine @ corners.T) - corners.T
    return float(np.abs(away[:3]).max())


def directions(affine: NDArray) -> NDArray[np.float64]:
    """Where the axes of a file lead, columns of length 1."""
    return affine[:3, :3] / voxel_sizes(affine)


def at_right_angles(affine: NDArray) -> bool:
    """Whether distances are those of a box's sides; not of a tilted gantry."""
    axes = directions(affine)
    cosines = np.abs(axes.T @ axes - np.eye(3))
    return bool(cosines.max() < np.sin(np.radians(SHEARED)))


def voxel_ml(affine: NDArray) -> float:
    """Millilitres of a voxel, also where the axes are not at right angles."""
    return float(abs(np.linalg.det(affine[:3, :3]))) / 1000


def angles(one: NDArray, other: NDArray) -> NDArray[np.float64]:
    """Degrees between directions, column by column."""
    return np.degrees(np.arccos(np.clip((one * other).sum(axis=0), -1, 1)))
