"""DICOM series of a few small slices, written by SimpleITK."""

import numpy as np
import pytest

sitk = pytest.importorskip("SimpleITK")

SHAPE = (9, 7, 5)  # columns, rows, slices
SPACING = (0.8, 1.1, 2.5)
ORIGIN = np.array([-40.0, 30.0, 100.0])  # mm, LPS
AXIAL = np.eye(3)  # directions of rows, columns and slices


def hu(shape=SHAPE) -> np.ndarray:
    return np.random.default_rng(0).integers(-1000, 800, shape).astype(np.int16)


def write_slice(path, voxels, position, directions=AXIAL, spacing=SPACING, **tags):
    """One file; voxels ``(columns, rows)``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(voxels.T[None])
    image.SetSpacing(spacing)
    written = {
        "0008|0060": "CT",
        "0020|000e": "1.2.826.0.1.3680043.2.1125.1",
        "0010|0010": "Doe^Jane",
        "0020|0032": "\\".join(f"{x:.6f}" for x in position),
        "0020|0037": "\\".join(f"{x:.6f}" for x in (*directions[0], *directions[1])),
    } | {name.replace("_", "|"): value for name, value in tags.items()}
    flat = image[:, :, 0]
    for name, value in written.items():
        flat.SetMetaData(name, value)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    writer.SetFileName(str(path))
    writer.Execute(flat)
    return path


def write_scaled(path, stored, slope: float, place):
    """A file whose HU are ``stored`` integers times ``slope``."""
    bits = {"0028_0100": "16", "0028_0101": "16", "0028_0102": "15", "0028_0103": "1"}
    scale = {"0028_1052": "0", "0028_1053": f"{slope:g}"}
    return write_slice(path, stored * slope, place, **bits, **scale)


def without_preamble(path) -> None:
    """The file as some exports have it: no 128 bytes and mark before its tags."""
    path.write_bytes(path.read_bytes()[132:])


def position(k: float, directions=AXIAL) -> np.ndarray:
    return ORIGIN + k * SPACING[2] * np.asarray(directions)[2]


def write_series(folder, voxels, order=None, directions=AXIAL, **tags):
    """A file a slice, named and numbered in ``order``."""
    for name, k in enumerate(order or range(voxels.shape[2])):
        write_slice(
            folder / f"{name:03}.dcm", voxels[:, :, k], position(k, directions),
            directions, **{"0020|0013".replace("|", "_"): str(name)} | tags,
        )  # fmt: skip
    return folder
