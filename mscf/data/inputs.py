"""Which scans are to be predicted, under which names, and which liver is whose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from mscf.data.cases import PERSONS, Case, odd_paths, read_persons, set_of
from mscf.data.dicom import looks_like_dicom
from mscf.data.volume_files import (
    SUFFIXES,
    all_below,
    by_name,
    composed,
    files_in,
    find_masks,
    natural,
    numbered,
    volumes_in,
)
from mscf.errors import Finding, InputError, SettingsError, warn


def find_scans(source: Path) -> list[Case]:
    """The scans of ``source`` as cases without labels, in natural order.

    A ``patients.csv`` beside them says whose they are and of which no millimetre may be
    read; a scan that it does not name is as its file says. Where it names others
    instead, that is said.

    Raises:
        InputError: as `find_inputs`; a table that cannot be read.
    """
    paths = find_inputs(source)
    table = beside(source, paths) / PERSONS
    persons = read_persons(table) if table.is_file() else {}
    cases = [
        Case(name, path, None, *persons.get(composed(name), (name, True)))
        for name, path in paths.items()
    ]
    unnamed = [name for name in paths if composed(name) not in persons]
    strange = persons.keys() - {composed(name) for name in paths}
    if unnamed and strange:  # a table of more scans than are here is no mistake
        warn(
            Finding(
                str(table), "must name scans as their files, without suffix",
                f"{min(strange)} is no scan, {unnamed[0]} is not named",
                "patients-names", "a scan that is not named is as its file says",
            )
        )  # fmt: skip
    return [replace(case, repairs=odd_paths(case)) for case in cases]


def beside(source: Path, paths: Mapping[str, Path]) -> Path:
    """The folder in which a table of the scans at ``paths`` would lie."""
    one = source in paths.values()  # a file, or the folder of a series
    return set_of(source / ".." if one else source)


def find_inputs(source: Path) -> dict[str, Path]:
    """The scans of ``source`` by name, in natural order.

    ``source`` is a NIfTI file, a folder of them (also MSD's, whose ``imagesTr`` is
    taken, or LiTS's, whose segmentations are left out and whose volumes may lie in
    folders below), or a folder of one DICOM series, which goes by the folder's name.

    Raises:
        InputError: nothing there, two files of one name, or volumes beside a series.
    """
    if source.is_file():
        if not source.name.endswith(SUFFIXES):
            raise InputError(
                source, "must be a volume (.nii, .nii.gz) or a folder", "another file",
                "input-kind", "give a DICOM series as its folder",
            )  # fmt: skip
        return by_name([source])
    if not source.is_dir():
        raise InputError(
            source, "must be a volume or a folder", "no such file", "folder-missing"
        )
    place = source / "imagesTr" if (source / "imagesTr").is_dir() else source
    volumes = by_name(
        path for path in volumes_in(place) if not path.name.startswith("segmentation-")
    ) or by_name(numbered(all_below(source), "volume"))
    others = (path for path in files_in(source) if not path.name.endswith(SUFFIXES))
    series = any(map(looks_like_dicom, others))
    if volumes and series:
        raise InputError(
            source, "must hold volumes (.nii, .nii.gz) or one DICOM series",
            f"DICOM files and {next(iter(volumes.values())).name}", "input-mixed",
            "part them into two folders",
        )  # fmt: skip
    if volumes:
        return {name: volumes[name] for name in sorted(volumes, key=natural)}
    if series:
        return {source.resolve().name: source}
    raise InputError(
        source, "must hold volumes (.nii, .nii.gz) or one DICOM series", "neither",
        "folder-missing",
    )  # fmt: skip


def find_livers(liver: Path | None, names: Iterable[str]) -> dict[str, Path]:
    """The liver mask of each scan; none where none is given.

    ``liver`` is a file, for one scan, or a folder with a mask of each scan's name.

    Raises:
        SettingsError: one file for several scans.
        InputError: nothing there, or a scan without its mask.
    """
    names = list(names)
    if liver is None:
        return {}
    if liver.is_file():
        if len(names) > 1:
            raise SettingsError(
                "liver", "must be a folder where there are several scans", liver,
                "liver", "name each mask as its scan",
            )  # fmt: skip
        return {names[0]: liver}
    masks = find_masks(liver)
    missing = [name for name in names if name not in masks]
    if missing:
        raise InputError(
            liver, "must hold a mask named as each scan", f"none of {missing[0]}",
            "liver-missing", "leave --liver out for scans without one",
        )  # fmt: skip
    return {name: masks[name] for name in names}
