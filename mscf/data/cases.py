"""Which CT studies a folder holds, in the layouts of MSD and of LiTS.

- MSD Task03_Liver: ``imagesTr``, ``labelsTr`` and ``dataset.json``, which names pairs.
- LiTS: ``volume-N.nii`` with ``segmentation-N.nii``, also in folders below.

Files end in ``.nii`` or ``.nii.gz``. Who is who stands in ``patients.csv`` beside them
(``case, patient, spacing_known``); without it every case is a patient of its own.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from mscf.data.volume_files import (
    all_below,
    by_name,
    composed,
    lits_files,
    natural,
    say_left_out,
    volumes_in,
)
from mscf.errors import Finding, InputError, raise_all, warn

PLAIN = re.compile(r"\w[\w .+()-]*\Z", re.ASCII)  # a name that every system takes
PERSONS = "patients.csv"
TUMOUR_WORDS = re.compile("tumou?r|cancer|lesion")
TRUE_OR_FALSE = {"true": True, "false": False}
EVERY_CASE = "must name every case once with its patient"


@dataclass(frozen=True)
class Case:
    """One CT study: its image, its labels if it has any, and whose it is.

    Where ``spacing_known`` is false no millimetre may be read from the file.
    ``repairs``: what is odd about where its files lie.
    """

    name: str
    image: Path
    label: Path | None
    patient: str
    spacing_known: bool = True
    repairs: tuple[Finding, ...] = ()


def find_cases(folder: Path | str, labels: bool = True) -> list[Case]:
    """The cases of a folder in the order of their numbers.

    With ``labels`` every image must have its labels, as training needs.

    Raises:
        InputError: no folder, nothing in it, half a pair, two files of one case, a
            table that does not fit.
    """
    folder = Path(folder)
    if not folder.is_dir():
        found = "a file" if folder.exists() else "no such folder"
        raise InputError(folder, "must be a folder of volumes", found, "folder-missing")
    if (folder / "dataset.json").is_file():
        cases = listed_cases(folder)
    elif (folder / "imagesTr").is_dir():
        images = by_name(volumes_in(folder / "imagesTr"))
        cases = paired(images, by_name(volumes_in(folder / "labelsTr")))
    else:
        say_left_out(folder, all_below(folder))
        images, segmentations = lits_files(folder)
        cases = paired(images, segmentations)
    if not cases:
        raise InputError(
            folder, "must hold volumes as imagesTr/*.nii.gz or volume-N.nii",
            "none", "folder-missing", "see the page on data for the layouts",
        )  # fmt: skip
    if labels:
        raise_all(half_pair(c.image, "its labels") for c in cases if c.label is None)
    cases = sorted(cases, key=lambda case: natural(case.name))
    cases = [replace(case, repairs=odd_paths(case)) for case in cases]
    return with_patients(cases, folder)


def listed_cases(folder: Path) -> list[Case]:
    """The pairs that ``dataset.json`` names; it decides what belongs to the set.

    What it calls the labels must be in their order: 1 the liver, 2 the tumour.
    """
    table = folder / "dataset.json"
    try:
        content = json.loads(table.read_text(encoding="utf-8"))
        check_label_names(table, content)
        entries = content["training"]
        named = [Path(entry[kind]) for kind in ("image", "label") for entry in entries]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        missing = isinstance(error, KeyError)
        found = f"no {error}" if missing else f"{type(error).__name__}: {error}"
        raise InputError(
            table, "must list pairs of image and label under 'training'", found,
            "dataset-json", "or take it away: then files of one name in imagesTr and "
            "labelsTr are pairs (nnU-Net's images without _0000)",
        ) from error  # fmt: skip
    for path in named:  # links are the user's own and may lead elsewhere
        if path.is_absolute() or ".." in path.parts:
            raise InputError(
                table, "must name files of its own folder", path, "dataset-json"
            )
    paths = [folder / path for path in named]
    images, labels = paths[: len(entries)], paths[len(entries) :]
    raise_all(
        InputError(
            path, "must be there, dataset.json names it", "no file", "pair-incomplete"
        )
        for path in paths
        if not is_file(path)
    )
    for path in sorted({*volumes_in(folder / "imagesTr")} - {*images}):
        warn(
            Finding(
                str(path),
                "is not named by dataset.json",
                "a file",
                "not-listed",
                "it is left out",
            )
        )
    names = by_name(images)
    return [
        Case(name, image, label, name)
        for (name, image), label in zip(names.items(), labels, strict=True)
    ]


def check_label_names(table: Path, content: dict) -> None:
    """Refuses a ``dataset.json`` whose ``labels`` call 2 the liver, or 1 the tumour.

    They are {"1": "liver"}, as in MSD, or {"liver": 1}, as in nnU-Net's second version.

    Raises:
        InputError: they do.
    """
    labels = content.get("labels") if isinstance(content, dict) else None
    if not isinstance(labels, dict):
        return
    pairs = [(k, v) if k.isdecimal() else (v, k) for k, v in labels.items()]
    names = {str(number): str(name).lower() for number, name in pairs}
    for number, name in names.items():
        tumour = TUMOUR_WORDS.search(name)
        if (number == "1" and tumour) or (
            number == "2" and "liver" in name and not tumour
        ):
            raise InputError(
                table, "labels must be 1 for the liver and 2 for the tumour",
                f"{number} is {name}", "label-names",
                "exchange the two in the masks, and here",
            )  # fmt: skip


def is_file(path: Path) -> bool:
    """Whether there is such a file; none where its name is too long for one."""
    try:
        return path.is_file()
    except OSError:
        return False


def are_phantoms(folder: Path) -> bool:
    """Whether ``make_phantoms`` wrote these cases, so that no person was scanned."""
    table = folder / "dataset.json"
    return table.is_file() and "phantom" in json.loads(table.read_text("utf-8"))


def set_of(folder: Path) -> Path:
    """The folder of a whole set, in which its table of patients lies.

    That above MSD's ``imagesTr`` or ``labelsTr``; ``.`` may be one of them.
    """
    place = Path(os.path.abspath(folder))  # noqa: PTH100 (links stay)
    return place.parent if place.name in ("imagesTr", "labelsTr") else place


def odd_paths(case: Case) -> tuple[Finding, ...]:
    """What of a case's files is a link or has an odd name; both are taken as they are.

    A name stays the case's name: as a value it does no harm, and masks bear it.
    """
    must, found = "must lie in its folder under a plain name", []
    for path in (case.image, case.label):
        if path is None:
            continue
        if path.is_symlink():
            what = f"a link to {path.resolve()}"
            found.append(Finding(str(path), must, what, "path-odd", "it is followed"))
        if not PLAIN.match(path.name):
            what = ascii(path.name)
            found.append(Finding(str(path), must, what, "path-odd", "it is kept"))
    return tuple(found)


def paired(images: dict[str, Path], labels: dict[str, Path]) -> list[Case]:
    """Cases of images with the labels of the same name, where there are any."""
    raise_all(
        half_pair(path, "its image")
        for name, path in labels.items()
        if name not in images
    )
    return [Case(n, image, labels.get(n), n) for n, image in images.items()]


def half_pair(path: Path, other: str) -> InputError:
    """The error of a file whose counterpart is missing."""
    return InputError(path, f"must come with {other}", "it alone", "pair-incomplete")


def with_patients(cases: list[Case], folder: Path) -> list[Case]:
    """The cases with the persons of ``patients.csv``, or each with its own."""
    table = folder / PERSONS
    if not table.is_file():
        warn(
            Finding(
                str(table),
                "tells which cases are of one person",
                "no file",
                "patients-table",
                "each case counts as a patient of its own",
            )
        )
        return cases
    persons = read_persons(table)
    whose = [persons.get(composed(case.name), ("", True)) for case in cases]
    missing = [
        case.name for case, (who, _) in zip(cases, whose, strict=True) if not who
    ]
    if missing:
        found = ", ".join(missing[:3]) + " missing"
        raise InputError(table, EVERY_CASE, found, "patients-table")
    return [
        replace(case, patient=who, spacing_known=known)
        for case, (who, known) in zip(cases, whose, strict=True)
    ]


def read_persons(table: Path) -> dict[str, tuple[str, bool]]:
    """Patient, and whether millimetres are known, of each case of ``patients.csv``.

    Blanks around a patient count for nothing: "P1" and "P1 " are one person. A case is
    called as its file is, blanks and all; here its name is `composed`.

    Raises:
        InputError: it cannot be read, or names a case twice.
    """
    try:
        rows = pd.read_csv(table, dtype="str", keep_default_na=False)
        rows = rows.rename(columns=str.strip)
        known = [TRUE_OR_FALSE[cell.strip().lower()] for cell in rows["spacing_known"]]
        patients = rows["patient"].str.strip()
        cases = rows["case"].map(composed)
        persons = dict(zip(cases, zip(patients, known, strict=True), strict=True))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            table, "must have the columns case, patient, spacing_known (true or false)",
            f"{type(error).__name__}: {error}", "patients-table",
        ) from error  # fmt: skip
    if len(persons) != len(rows):
        raise InputError(table, EVERY_CASE, "a case twice", "patients-table")
    return persons
