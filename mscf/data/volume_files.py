"""Which files of a folder are volumes, and under which names.

NIfTI files end in ``.nii`` or ``.nii.gz``. LiTS's are ``volume-N`` and
``segmentation-N``, also in folders below; any other name is the case's own.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

from mscf.errors import Finding, InputError, warn

SUFFIXES = (".nii", ".nii.gz")
LEFT_OUT = re.compile(r"[^.].*\.(nii(\.gz)?|nrrd|nhdr|mha|mhd)", re.I | re.S)


def volumes_in(folder: Path) -> list[Path]:
    """The NIfTI files of a folder, hidden ones (of other systems) not.

    Volumes with another suffix are left out, and said.
    """
    if not folder.is_dir():
        return []
    files = files_in(folder)
    say_left_out(folder, files)
    return [
        path
        for path in files
        if path.name.endswith(SUFFIXES) and not path.name.startswith(".")
    ]


def say_left_out(folder: Path, files: Iterable[Path]) -> None:
    """Warns of ``files`` that are volumes, but of a suffix that is not read."""
    names = [path.name for path in files if LEFT_OUT.fullmatch(path.name)]
    others = [name for name in names if not name.endswith(SUFFIXES)]
    if others:
        warn(
            Finding(
                str(folder), "must hold its volumes as .nii or .nii.gz",
                f"{len(others)} of another suffix, the first {min(others)}",
                "files-left-out", "left out: rename or convert them",
            )
        )  # fmt: skip


def files_in(folder: Path) -> list[Path]:
    """All that lies in a folder, by name.

    Raises:
        InputError: it may not be read.
    """
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise InputError(
            folder, "must be readable", error.strerror or error, "unreadable"
        ) from error


def find_masks(folder: Path) -> dict[str, Path]:
    """The masks of a folder under their cases' names, in the order of their numbers.

    Of MSD's whole folder those in ``labelsTr``; LiTS's ``segmentation-N``, beside its
    volume or alone, is that of ``volume-N``. Folders below are looked through, for
    LiTS's masks, only where none lies in the folder itself.

    Raises:
        InputError: no folder, or no mask in it.
    """
    if not folder.is_dir():
        found = "a file" if folder.exists() else "no such folder"
        raise InputError(folder, "must be a folder of masks", found, "folder-missing")
    place = folder / "labelsTr" if (folder / "labelsTr").is_dir() else folder
    here = volumes_in(place)  # below may lie others: the truth, probabilities
    masks = (
        lits_segmentations(here)
        or by_name(here)
        or lits_segmentations(all_below(folder))
    )
    if not masks:
        raise InputError(
            folder, "must hold masks (.nii, .nii.gz)", "none", "folder-missing"
        )
    return {name: masks[name] for name in sorted(masks, key=natural)}


def lits_files(folder: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Volumes and segmentations of LiTS's layout under the volume's name."""
    files = [*all_below(folder)]
    return by_name(numbered(files, "volume")), lits_segmentations(files)


def lits_segmentations(paths: Iterable[Path]) -> dict[str, Path]:
    """Those of ``paths`` that are LiTS's segmentations, by the name of their volume."""
    found = by_name(numbered(paths, "segmentation"))
    return {n.replace("segmentation", "volume"): path for n, path in found.items()}


def numbered(paths: Iterable[Path], kind: str) -> list[Path]:
    """Those of ``paths`` that are called ``<kind>-N.nii``, sorted."""
    name = re.compile(rf"{kind}-\d+\.nii(\.gz)?")
    return sorted(path for path in paths if name.fullmatch(path.name))


def all_below(folder: Path) -> Iterator[Path]:
    """All that lies in a folder and in those below, linked ones too, each folder once.

    Path.rglob leaves linked folders out, and os.walk alone would follow a loop.
    """
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        here = Path(place).resolve()
        if here in seen:
            folders.clear()
            continue
        seen.add(here)
        folders.sort()  # which of two ways to a folder is taken first
        yield from (Path(place, name) for name in (*folders, *files))


def by_name(paths: Iterable[Path]) -> dict[str, Path]:
    """Paths under their names without suffix; no two may be the same.

    Upper and lower case, and the two ways to write an accent, are the same name, as
    they are on some file systems.
    """
    names: dict[str, Path] = {}
    seen: dict[str, Path] = {}
    for path in paths:
        name = re.sub(r"\.nii(\.gz)?$", "", path.name)
        alike = composed(name).casefold()
        other = seen.setdefault(alike, path)
        if other != path or name in names:
            raise InputError(
                path, "must be the only file of its case", other, "case-duplicate",
                "remove one of the two",
            )  # fmt: skip
        names[name] = path
    return names


def composed(name: str) -> str:
    """The name with its accents written in one way, as file systems differ in it."""
    return unicodedata.normalize("NFC", name)


def natural(name: str) -> list:
    """A sorting key that puts ``liver_2`` before ``liver_10``."""
    return [int(p) if p.isdecimal() else p for p in re.split(r"(\d+)", name)]
