"""Volumes to masks: every slice through the network, back on the CT's own grid.

A slice takes the way of preparing and training, by the same functions: turned, padded
to a square, resized, windowed. Its logits go the way back, resized linearly, and the
tumour is where they are above 0. Nothing in memory grows with the number of slices;
voxels lie in files without a name beside the masks (``mscf.data.scan``).

Legend: N slices, H rows, W columns of the CT; S the side that the network takes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from mscf.data.cases import PERSONS, Case
from mscf.data.dataset import as_cenet, three_channels, windowed
from mscf.data.dicom import read_series
from mscf.data.geometry import UNKNOWN
from mscf.data.inputs import find_livers, find_scans
from mscf.data.nifti_header import read_header
from mscf.data.opened_file import opened
from mscf.data.resize import AIR, pad_to_square, resize_back, resize_images
from mscf.data.scan import Scan, SliceFile, read_labels_of, read_scan, write_on_grid
from mscf.data.volume import TUMOUR
from mscf.errors import (
    Finding,
    InputError,
    MemoryLimitError,
    NumericalError,
    SettingsError,
    cannot_write,
    out_of_memory,
    raise_all,
    warn,
)
from mscf.inference.case_report import CaseReport
from mscf.inference.lesions import Regions, find_regions, keep, largest_first
from mscf.inference.measures import measure
from mscf.inference.report import REPORTS, write_cases, write_report
from mscf.inference.weights import Trained, open_weights
from mscf.replacing import remove

PROBABILITIES = "probabilities"  # the folder of the maps, within that of the masks
OURS = b"mscf "  # how `mscf.data.scan.header_like` begins a header's description


@dataclass(frozen=True)
class PredictSettings:
    """What ``mscf predict`` may be told beside its files."""

    liver: Path | None = None  # mask, or folder of masks: nothing is kept outside
    least_ml: float = 0.0  # smaller lesions are dropped
    largest: bool = False  # all but the largest lesion are dropped
    probabilities: bool = False  # also write the map, without liver and filters
    batch_size: int = 8  # slices
    device: str | None = None  # of torch; None: a GPU if there is one

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise SettingsError(
                "batch_size", "must be at least 1", self.batch_size, "batch-size"
            )
        if not 0 <= self.least_ml < np.inf:
            raise SettingsError(
                "least_ml", "must be millilitres", self.least_ml, "least-ml"
            )


def predict_cases(
    source: Path, target: Path, weights: Path | str, settings: PredictSettings
) -> Iterator[CaseReport]:
    """Segments one scan after another into ``target``; gives a report of each.

    Of each scan ``target`` gets NAME.nii.gz (2 in the tumour, else 0), NAME.json,
    NAME.csv, NAME.html, NAME.png and a row of cases.csv, before the next one begins. A
    scan that is refused does not keep the others from being segmented.

    Raises:
        SettingsError, CheckpointError: before anything is written.
        InputError: of all scans that were refused, at the end; where another error or
            Ctrl-C comes before it, they are warnings.
        NumericalError: the network's output is not finite.
        MemoryLimitError: a batch of slices does not fit.
        StorageError: no room in ``target``, or no permission.
    """
    yield from predict_scans(find_scans(source), target, weights, settings)


def predict_scans(
    cases: Sequence[Case],
    target: Path,
    weights: Path | str,
    settings: PredictSettings,
) -> Iterator[CaseReport]:
    """The same of scans that are found already; their labels are not looked at."""
    livers = find_livers(settings.liver, [case.name for case in cases])
    trained = open_weights(weights)
    device = chosen_device(settings.device)
    with enough_memory(settings.batch_size, device):
        trained.network.to(device, memory_format=torch.channels_last)
    check_apart(target, [*(case.image for case in cases), *livers.values()])
    check_ours(target, cases)
    try:
        target.mkdir(parents=True, exist_ok=True)
        if settings.probabilities:
            (target / PROBABILITIES).mkdir(exist_ok=True)
    except OSError as error:
        raise cannot_write(target, error, "must be a writable folder") from error
    table = target / "cases.csv"
    refused: list[InputError] = []
    try:
        for case in cases:
            try:
                liver = livers.get(case.name)
                report = predict_case(case, liver, target, trained, settings, device)
            except InputError as error:
                refused.append(error)
                write_cases([], [case.name], table)
                continue
            write_cases([report], [], table)  # now: the next scan may be killed
            yield report
    except BaseException:  # Ctrl-C too
        for finding in (f for error in refused for f in error.findings):
            warn(finding)  # only one error can be raised
        raise
    raise_all(refused)


def predict_case(
    case: Case,
    liver_path: Path | None,
    target: Path,
    trained: Trained,
    settings: PredictSettings,
    device: torch.device,
) -> CaseReport:
    """Segments one scan; its files are written when all of it is done."""
    check_name(case)
    with ExitStack() as files:
        began = time.perf_counter()
        scan = read_input(case.image, target)
        files.enter_context(scan.slices)
        liver = None
        if liver_path is not None:
            liver = files.enter_context(read_labels_of(liver_path, scan, target))
            check_liver(liver, liver_path)
        if scan.spacing_known and not case.spacing_known:
            # Not before: the liver is laid where the scan's file says.
            scan = without_spacing(scan, case)
        for repair in case.repairs + scan.repairs:
            warn(repair)
        if settings.least_ml and not scan.spacing_known:
            raise InputError(
                case.image, "must say how large a voxel is for --least-ml", "unknown",
                UNKNOWN, "leave the option out",
            )  # fmt: skip
        mask = files.enter_context(SliceFile(target, scan.slices.shape, np.uint8))
        probabilities = None
        if settings.probabilities:
            probabilities = SliceFile(target, scan.slices.shape, np.float32)
            files.enter_context(probabilities)
        draw(case.name, scan, trained, settings.batch_size, device, mask, probabilities)
        outside = None if liver is None else cut_to(mask, liver)
        regions = filtered(mask, scan, settings)
        lesions = measure(case.name, scan, mask, regions, liver)
        report = CaseReport(
            name=case.name,
            source=case.image.name or case.name,  # "" of a series that is `.`
            scan=scan,
            mask=mask,
            regions=regions,
            lesions=lesions,
            trained=trained,
            seconds=time.perf_counter() - began,
            filters={
                "liver": liver_path is not None,
                "least_ml": settings.least_ml,
                "largest": settings.largest,
            },
            outside=outside,
        )
        forget(case.name, target)
        write_on_grid(mask, scan, target / f"{case.name}.nii.gz")
        if probabilities is not None:
            place = target / PROBABILITIES / f"{case.name}.nii.gz"
            write_on_grid(probabilities, scan, place)
        write_report(report, target)
    return report


def forget(name: str, target: Path) -> None:
    """Removes what an earlier call left beside its mask.

    It would pass for the new mask's where a full disk lets that be written and no more.
    """
    write_cases([], [name], target / "cases.csv")  # first: it takes room, too
    for suffix in REPORTS:
        remove(target / f"{name}{suffix}")
    remove(target / PROBABILITIES / f"{name}.nii.gz")


def check_name(case: Case) -> None:
    """Refuses a name that the files of a report cannot bear."""
    rename = "rename it and run again"
    try:
        case.name.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            case.image, "must have a name in UTF-8", case.name, "case-name", rename
        ) from error
    if case.name.casefold() == "cases":
        must = "must have another name than the table of all scans"
        raise InputError(case.image, must, "cases.csv", "case-name", rename)


def check_liver(liver: SliceFile, path: Path) -> None:
    """Refuses a mask in which there is no liver: all tumour would be outside."""
    if not any(liver[i].any() for i in range(len(liver))):
        raise InputError(
            path, "must have liver as 1 or 2", "0 everywhere", "liver-empty",
            "give another mask, or leave --liver out",
        )  # fmt: skip


def without_spacing(scan: Scan, case: Case) -> Scan:
    """The scan of which no millimetre may be read, whatever its file says."""
    told = Finding(
        str(case.image), "must have a known spacing",
        f"spacing_known false in {PERSONS}", UNKNOWN, "mm are left out",
    )  # fmt: skip
    return replace(scan, repairs=(*scan.repairs, told))


def draw(
    name: str,
    scan: Scan,
    trained: Trained,
    batch_size: int,
    device: torch.device,
    mask: SliceFile,
    probabilities: SliceFile | None,
) -> None:
    """Every slice through the network: fills the mask, and the probabilities if any."""
    n_slices = len(scan.slices)
    with tqdm(total=n_slices, desc=name, unit="slice", disable=None) as progress:
        for start in range(0, n_slices, batch_size):
            part = slice(start, min(start + batch_size, n_slices))
            with enough_memory(batch_size, device):
                logits = logits_on_grid(scan.slices[part], trained, device)  # (B, H, W)
            check_logits(logits, name, part)
            mask[part] = np.where((logits > 0).cpu().numpy(), TUMOUR, 0)
            if probabilities is not None:
                probabilities[part] = torch.sigmoid(logits).cpu().numpy()
            progress.update(part.stop - part.start)


@contextmanager
def enough_memory(batch_size: int, device: torch.device) -> Iterator[None]:
    """Says what to do where a batch does not fit."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise MemoryLimitError(
            device, f"must have room for {batch_size} slices at once", "too little",
            "memory", "choose a smaller --batch-size",
        ) from error  # fmt: skip


def check_logits(logits: Tensor, name: str, part: slice) -> None:
    """Refuses NaN and infinity: as a mask they would pass for "no tumour"."""
    if not torch.isfinite(logits).all():
        raise NumericalError(
            f"case {name}, slices {part.start} to {part.stop - 1}",
            "the network's output must be finite", "NaN or infinity", "logits-finite",
            "take weights of an earlier epoch",
        )  # fmt: skip


@torch.inference_mode()
def logits_on_grid(hu: NDArray, trained: Trained, device: torch.device) -> Tensor:
    """The tumour logits of slices ``(B, H, W)`` in HU, at their own pixels."""
    height, width = hu.shape[1:]
    squares = resize_images(pad_to_square(hu, AIR), trained.image_size)
    images = torch.from_numpy(windowed(squares, trained.window))[:, None].to(device)
    logits = trained.network(three_channels(as_cenet(images)))[:, 0]  # (B, S, S)
    return resize_back(logits, height, width)


def cut_to(mask: SliceFile, liver: SliceFile) -> int:
    """Clears the mask where the liver's is 0; how many voxels of tumour that were."""
    removed = 0
    for i in range(len(mask)):
        drawn, inside = mask[i], liver[i] > 0
        removed += int(np.count_nonzero(drawn[~inside]))
        mask[i] = drawn * inside
    return removed


def filtered(mask: SliceFile, scan: Scan, settings: PredictSettings) -> Regions:
    """Drops the lesions that the settings do not want; the regions of the others."""
    regions = find_regions(mask)
    least = settings.least_ml / scan.voxel_ml if settings.least_ml else 0
    kept = largest_first(regions.voxels, least, 1 if settings.largest else None)
    return keep(mask, regions, kept)


def read_input(path: Path, folder: Path) -> Scan:
    """The scan of a NIfTI file, or of the DICOM series in a folder."""
    return read_series(path, folder) if path.is_dir() else read_scan(path, folder)


def chosen_device(name: str | None) -> torch.device:
    """The device of this name; without one a GPU if there is any, else the CPU.

    Raises:
        SettingsError: there is none of this name.
    """
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        there = ", ".join(
            ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        )
        raise SettingsError(
            "device", "must be one of this machine's", name, "device", f"use {there}"
        ) from error
    return device


def check_apart(target: Path, inputs: list[Path]) -> None:
    """A mask bears its scan's name, so it must not go into a folder that is read."""
    read = {(path if path.is_dir() else path.parent).resolve() for path in inputs}
    if target.resolve() in read:
        raise SettingsError(
            target, "must be another folder than the one that is read", "the same",
            "out", "choose a new one",
        )  # fmt: skip


def check_ours(target: Path, cases: Sequence[Case]) -> None:
    """Only what an earlier call wrote is replaced: no expert's labels, no CT."""
    names = [f"{case.name}.nii.gz" for case in cases]
    folders = (target, target / PROBABILITIES)
    for path in (folder / name for folder in folders for name in names):
        if path.exists() and not is_ours(path):
            raise SettingsError(
                path, "must be of `mscf predict` to be replaced", "another file",
                "out", "choose another folder",
            )  # fmt: skip


def is_ours(path: Path) -> bool:
    """Whether a NIfTI file says that this package wrote it.

    A NAME.json beside it says nothing: tools that convert DICOM write one, too.
    """
    try:
        with opened(path) as content:
            nifti = read_header(content.stream, path).nifti
    except InputError:
        return False
    return nifti["descrip"].item().startswith(OURS)
