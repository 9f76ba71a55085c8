"""Two folders of masks compared, whoever drew them: rows of slices and of cases.

A slice is one of the volume's own, at its own pixels; a store's slices are resized, so
their pixels and Hausdorff distances are not these. Slices count from the lowest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from mscf.data.cases import Case, set_of, with_patients
from mscf.data.geometry import at_right_angles
from mscf.data.spreadsheet import as_csv
from mscf.data.volume import TUMOUR, as_slices, read_labels, read_mask
from mscf.data.volume_files import find_masks
from mscf.errors import (
    Finding,
    InputError,
    SettingsError,
    cannot_write,
    raise_all,
    warn,
)
from mscf.evaluation.masks import Mask
from mscf.evaluation.metrics import (
    HAUSDORFF,
    SURFACE,
    slice_metrics,
    summarise,
    summarise_volumes,
    volume_metrics,
)
from mscf.evaluation.tables import identify, write_rows, write_summary
from mscf.replacing import remove, write_text

SLICES = ("tumour", "all")


@dataclass(frozen=True)
class FolderTables:
    """``slices``: rows of ``per_slice.csv``; ``cases``: rows of ``per_case.csv``."""

    slices: pd.DataFrame
    cases: pd.DataFrame


def evaluate_folders(
    predicted: Path | str,
    truth: Path | str,
    slices: str = "tumour",
    label: int = TUMOUR,
) -> FolderTables:
    """The metrics of every mask of ``predicted`` against that of ``truth`` of its name.

    Rows of slices are those with true tumour, the paper's set, or "all". ``label`` is
    the tumour's value in ``predicted``; in ``truth`` it is 2.

    Raises:
        SettingsError: an unknown choice.
        InputError: a mask without its counterpart, on another grid, damaged, with
            other values than 0, 1, 2, or compared with itself; no tumour in any truth.
    """
    predicted, truth = Path(predicted), Path(truth)
    return evaluate_pairs(pairs(predicted, truth), predicted, truth, slices, label)


def evaluate_pairs(
    cases: list[Case],
    predicted: Path,
    truth: Path,
    slices: str = "tumour",
    label: int = TUMOUR,
) -> FolderTables:
    """The same of cases whose ``image`` is the predicted mask and ``label`` the truth.

    ``predicted`` and ``truth`` are the folders, as tables and errors call them.
    """
    for name, value, good in (("slices", slices, SLICES), ("label", label, (1, 2))):
        if value not in good:
            among = " or ".join(map(str, good))
            raise SettingsError(name, f"must be {among}", value, name)
    rows, volumes = [], []
    for case in tqdm(cases, desc="evaluate", unit="case", disable=None):
        volume = read_mask(case.label)
        labels, _, repairs = read_labels(case.image, like=volume, of="truth")
        if case.image.samefile(case.label):
            raise InputError(
                case.image, "must be another file than its truth", "the same one",
                "same-file", "look which masks lie in the two folders",
            )  # fmt: skip
        for repair in volume.repairs + repairs:
            warn(repair)
        known = case.spacing_known and volume.spacing_known
        drawn, true = labels == label, volume.voxels == TUMOUR
        spacing = volume.spacing if known else None
        rows += slice_rows(case, drawn, true, spacing, slices)
        head = {"case": case.name, "patient": case.patient, "slices": true.shape[2]}
        sides = spacing if at_right_angles(volume.affine) else None
        volumes.append(head | volume_metrics(drawn, true, sides))
        volumes[-1]["other_label"] = bool((labels == 3 - label).any())
    volumes = pd.DataFrame(volumes)
    if not volumes["truth_voxels"].any():
        raise InputError(
            truth, "must have a tumour in some mask", 0, "no-tumour",
            "label 2 is the tumour",
        )  # fmt: skip
    other = 3 - label
    if volumes.pop("other_label").any() and not volumes["predicted_voxels"].any():
        warn(
            Finding(
                str(predicted), f"must have {label} in its tumours", f"only {other}",
                "label", f"give --label {other} if those are tumours",
            )
        )  # fmt: skip
    table = identify(
        pd.DataFrame(rows), data=named(truth), split="none", fold=0,
        method=named(predicted), seed=0,
    )  # fmt: skip
    return FolderTables(table, volumes)


def pairs(predicted: Path, truth: Path) -> list[Case]:
    """Cases whose image is the predicted mask, with the patients of the truth's folder.

    Raises:
        InputError: a mask without its counterpart.
    """
    drawn, true = find_masks(predicted), find_masks(truth)
    raise_all(
        InputError(
            masks[name], f"must have its counterpart in {other}", "none",
            "pair-incomplete", "name both masks as the case",
        )
        for masks, others, other in ((true, drawn, predicted), (drawn, true, truth))
        for name in masks
        if name not in others
    )  # fmt: skip
    cases = [Case(name, drawn[name], path, name) for name, path in true.items()]
    return with_patients(cases, set_of(truth))


def slice_rows(
    case: Case,
    drawn: Mask,
    true: Mask,
    spacing: tuple[float, float, float] | None,
    which: str,
) -> Iterator[dict]:
    """A row of ``per_slice.csv`` for each slice that counts; masks ``(X, Y, Z)``."""
    drawn, true = as_slices(drawn), as_slices(true)
    chosen = np.flatnonzero(true.any(axis=(1, 2)) | (which == "all"))
    if not chosen.size:
        return
    x, y = spacing[:2] if spacing else (np.nan, np.nan)
    columns = slice_metrics(
        drawn[chosen], true[chosen], (y, x) if spacing else None, surface=True
    )
    height, width = true.shape[1:]
    for place, number in enumerate(chosen.tolist()):
        yield {
            "case": case.name,
            "patient": case.patient,
            "slice": number,
            "height": height,
            "width": width,
            "spacing_y": y,
            "spacing_x": x,
            **{name: column[place] for name, column in columns.items()},
        }


def write_folder_tables(tables: FolderTables, folder: Path | str) -> None:
    """``per_slice.csv``, ``per_case.csv``, and of one size also ``summary.csv``.

    A ``summary.csv`` that lies there is of other tables and goes first.

    Raises:
        SettingsError: the folder is a run's.
        StorageError: disk full, no permission.
    """
    folder = Path(folder)
    check_no_run(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error, "must be a writable folder") from error
    remove(folder / "summary.csv")
    write_rows(tables.slices, folder / "per_slice.csv")
    write_text(folder / "per_case.csv", as_csv(tables.cases))
    if one_size(tables.slices):
        write_summary(tables.slices, folder / "summary.csv")
    else:
        warn(
            Finding(
                str(folder / "summary.csv"), "needs slices of one square size",
                "several", "rows-size", "it is left out",
            )
        )  # fmt: skip


def check_no_run(folder: Path) -> None:
    """A run has tables of its own of these names, which its records go by.

    Raises:
        SettingsError: the folder is a run's.
    """
    if (folder / "run.json").exists():
        raise SettingsError(
            folder, "must be another folder than a run's", "run.json", "out",
            "choose another one",
        )  # fmt: skip


def one_size(rows: pd.DataFrame) -> bool:
    """Whether the pixels of all slices are of one square grid, and so can be a unit."""
    return len({*rows["height"], *rows["width"]}) == 1


def named(folder: Path) -> str:
    """What tables call a folder."""
    return folder.resolve().name


def summary_lines(tables: FolderTables) -> list[str]:
    """The means in words: percent, and distances under the rule that leaves out."""
    rows = tables.slices
    means, cases = summarise(rows), summarise_volumes(tables.cases)
    outcomes = rows["outcome"].value_counts()
    percent = ", ".join(
        f"{name} {100 * means[name]:.2f}"
        for name in ("dice", "jaccard", "precision", "recall", "specificity", "f1")
    )
    lines = [
        f"{len(rows)} slices of {len(tables.cases)} cases, "
        f"{tables.cases['patient'].nunique()} patients: "
        + ", ".join(f"{n} {name}" for name, n in outcomes.items()),
        f"slices, %: {percent}",
    ]
    units = ["_mm", ""] if one_size(rows) else ["_mm"]
    for unit in units:
        distances = {name: means[name + unit] for name in (*HAUSDORFF, *SURFACE)}
        if not np.isnan([*distances.values()]).all():
            word = "mm" if unit else "pixels"
            shown = ", ".join(f"{name} {v:.2f}" for name, v in distances.items())
            lines.append(f"slices, {word}: {shown}")
    defined = {name: value for name, value in cases.items() if not np.isnan(value)}
    shown = ", ".join(f"{name} {value:.3f}" for name, value in defined.items())
    return [*lines, f"cases: {shown}"]
