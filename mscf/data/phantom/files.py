"""Phantoms on disk: MSD's Task03_Liver layout with a table of patients."""

from __future__ import annotations

import gzip
import json
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
from tqdm import tqdm

from mscf.data.one_at_a_time import one_at_a_time
from mscf.data.phantom.generate import Phantom, patient_of, phantom
from mscf.data.phantom.lesions import HABITS
from mscf.data.processes import how_many, in_order
from mscf.errors import SettingsError
from mscf.replacing import new_folder, replacing, write_text

VERSION = 2  # of the generator; raise it when equal settings give other bytes


def make_phantoms(
    out: Path,
    cases: int = 8,
    seed: int = 0,
    size: int = 256,
    processes: int | None = None,
    lesions: str = "all",
) -> Path:
    """Writes ``liver_0`` to ``liver_N`` into a new folder ``out`` and returns it.

    Equal settings give equal bytes, whatever the number of ``processes`` (default:
    one a core). ``lesions`` is "all" (4 to 72 mm, none to six a case, some brighter
    than the liver) or "large" (15 to 72 mm, all darker). A folder that holds these
    very phantoms is left as it is; one that another process fills is waited for.

    Raises:
        SettingsError: a setting out of range, or ``out`` holds something else.
        StorageError: disk full or no permission; ``out`` is as it was before.
        MemoryLimitError: not enough for ``size`` and ``processes``; likewise.
    """
    out = Path(out)
    settings = {
        "generator": VERSION,
        "cases": cases,
        "seed": seed,
        "size": size,
        "lesions": lesions,
    }
    check(settings)
    processes = min(how_many(processes), cases)
    if finished(out, settings):
        return out
    place = out.absolute()
    with one_at_a_time(place.parent / f".{place.name}.lock", out):
        if not finished(out, settings):  # nor by a process that this one waited for
            write_phantoms(out, settings, processes)
    return out


def write_phantoms(out: Path, settings: dict, processes: int) -> None:
    """All of the folder, or nothing."""
    seed, size, lesions = (settings[name] for name in ("seed", "size", "lesions"))
    with new_folder(out) as folder:
        for kind in ("imagesTr", "labelsTr"):
            (folder / kind).mkdir()
        work = partial(write_case, folder, seed=seed, size=size, lesions=lesions)
        done = in_order(work, range(settings["cases"]), processes)
        for _ in tqdm(done, total=settings["cases"], desc="phantoms", disable=None):
            pass
        write_tables(folder, settings)


def check(settings: dict) -> None:
    """Refuses settings before any work is done."""
    if settings["lesions"] not in HABITS:
        raise SettingsError(
            "lesions",
            f"must be one of {', '.join(HABITS)}",
            settings["lesions"],
            "lesions",
        )
    for name, low in (("cases", 1), ("seed", 0), ("size", 64)):
        if settings[name] < low:
            raise SettingsError(name, f"must be at least {low}", settings[name], name)


def finished(out: Path, settings: dict) -> bool:
    """Whether ``out`` holds these phantoms; anything else in it is an error."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    try:
        found = json.loads((out / "dataset.json").read_text(encoding="utf-8"))
        found = found["phantom"]
    except (OSError, ValueError, KeyError, TypeError):  # not ours
        found = None
    if found == settings:
        return True
    raise SettingsError(
        out,
        f"must be a new folder or hold the phantoms {settings}",
        found or "other files",
        "out",
        "choose another folder or delete this one",
    )


def write_case(folder: Path, case: int, seed: int, size: int, lesions: str) -> None:
    """One image and its labels."""
    made = phantom(case, seed, size, lesions)
    for kind, voxels in (("imagesTr", made.hu), ("labelsTr", made.labels)):
        write_volume(folder / kind / f"liver_{case}.nii.gz", made, voxels)


def write_volume(path: Path, made: Phantom, voxels: np.ndarray) -> None:
    """Voxels ``(X, Y, Z)`` as a file in the order that the scan is stored in."""
    # gzip keeps the time of writing unless told otherwise.
    packed = gzip.compress(stored(made, voxels).to_bytes(), compresslevel=3, mtime=0)
    with replacing(path, text=False) as file:
        file.write(packed)


def stored(made: Phantom, voxels: np.ndarray) -> nib.Nifti1Image:
    """The voxels in the file's own axis order, with the affine that says so."""
    image = nib.Nifti1Image(voxels, made.affine)
    wanted = nib.orientations.axcodes2ornt(made.orientation)
    image = image.as_reoriented(
        nib.orientations.ornt_transform(
            nib.orientations.io_orientation(image.affine), wanted
        )
    )
    image.header.set_xyzt_units("mm")
    image.set_qform(image.affine, code=1)
    return image


def write_tables(folder: Path, settings: dict) -> None:
    """``patients.csv`` and, last, ``dataset.json`` with the settings."""
    cases = range(settings["cases"])
    with replacing(folder / "patients.csv") as file:
        file.write("case,patient,spacing_known\n")
        for case in cases:
            file.write(f"liver_{case},P{patient_of(case):02d},true\n")
    table = {
        "name": "mscf phantoms",
        "description": "Synthetic abdominal CT; no person was scanned",
        "tensorImageSize": "3D",
        "modality": {"0": "CT"},
        "labels": {"0": "background", "1": "liver", "2": "cancer"},
        "numTraining": len(cases),
        "numTest": 0,
        "training": [
            {
                "image": f"./imagesTr/liver_{case}.nii.gz",
                "label": f"./labelsTr/liver_{case}.nii.gz",
            }
            for case in cases
        ],
        "test": [],
        "phantom": settings,
    }
    write_text(folder / "dataset.json", json.dumps(table, indent=1) + "\n")
