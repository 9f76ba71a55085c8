"""Scans of one's own: looked through, masked, shown, compared, fine-tuned on.

What ``notebooks/your_own_ct.ipynb`` calls. Each step is a function of the library;
here they are joined by the cases that they share.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from mscf.data.cases import Case
from mscf.data.digests import Digests
from mscf.data.own_labels import cases_of
from mscf.data.scan import read_labels_of
from mscf.data.splits import make_split, train_and_test_rows
from mscf.data.store import prepare_cases
from mscf.data.verify import REFUSED, Checked, check_case, refusals
from mscf.data.volume import TUMOUR
from mscf.errors import Finding, SettingsError, raise_all
from mscf.evaluation.folders import FolderTables, evaluate_pairs
from mscf.evaluation.metrics import summarise, summarise_volumes
from mscf.evaluation.tables import read_rows
from mscf.inference.predict import PredictSettings, predict_scans, read_input
from mscf.inference.report import cases_table
from mscf.inference.weights import open_weights, weights_file
from mscf.pages.own_demo import demo_scans, demo_weights
from mscf.training.loop import Run, train
from mscf.training.notebook import PHANTOMS
from mscf.training.settings import TrainSettings, check_kind

DEMO_EPOCHS = 1  # of fine-tuning, where the page is a demo
FEW = 8  # cases; to start processes for fewer takes longer than to read them


@dataclass(frozen=True)
class OwnSettings:
    """The notebook's parameters, checked; ``training`` is None without fine-tuning."""

    scans: Path
    labels: Path | None
    weights: Path  # a checkpoint
    out: Path
    gpus: int | None
    training: TrainSettings | None


def own_settings(
    base: Path,
    *,
    scans: str,
    labels: str | None,
    weights: str | None,
    out: str,
    epochs: int | None,
    learning_rate: float,
    gpus: int | None,
) -> OwnSettings:
    """The parameters as settings; relative paths start at ``base``.

    For the word "phantoms" as ``scans`` the demo's own are made.

    Raises:
        SettingsError: one is of the wrong kind or out of range, weights are missing, or
            there is nothing to fine-tune on.
        CheckpointError: a folder without weights.
    """
    check_kind("out", out)
    demo = scans == PHANTOMS
    if demo and labels is not None:
        raise SettingsError(
            "labels", "must be left out with phantoms, which bring theirs", labels,
            "labels", "give scans of your own",
        )  # fmt: skip
    if epochs is None:
        epochs = DEMO_EPOCHS if demo else 0
    training = TrainSettings(  # checks; data, method and size are those of the weights
        data=base, out=base / out, epochs=epochs or 1, learning_rate=learning_rate,
        gpus=gpus, pretrained=False, resume=True,
    )  # fmt: skip
    if demo:
        scans, labels = demo_scans(base)
        weights = demo_weights(base, gpus) if weights is None else weights
    if weights is None:
        raise SettingsError(
            "weights", "must be given for scans of your own", None, "weights-missing",
            "give the folder of a run or its best.ckpt",
        )  # fmt: skip
    if epochs and labels is None:
        raise SettingsError(
            "epochs", "must be 0 where there are no labels to fine-tune on", epochs,
            "finetune-labels", "give the folder of labels",
        )  # fmt: skip
    return OwnSettings(
        scans=base / str(scans),
        labels=None if labels is None else base / str(labels),
        weights=weights_file(base / str(weights)),
        out=base / out,
        gpus=gpus,
        training=training if epochs else None,
    )


@dataclass(frozen=True)
class OwnScans:
    """What was found: the cases to go on with, and a row of ``table`` for every one.

    ``findings``: what is wrong or doubtful with any of them.
    """

    cases: list[Case]
    table: pd.DataFrame
    findings: tuple[Finding, ...]

    @property
    def labelled(self) -> list[Case]:
        """Those with a label."""
        return [case for case in self.cases if case.label is not None]


def look_through(settings: OwnSettings) -> OwnScans:
    """Finds the scans and their labels and reads every one.

    A case that is refused is left out, and said so.

    Raises:
        InputError: nothing is there, or nothing good.
        SettingsError: fine-tuning is asked for, with tumours of one patient or none.
    """
    found = cases_of(settings.scans, settings.labels)
    no_digests = Digests(settings.scans, None)
    checked = [
        # Of a DICOM series the label is looked at when it is compared.
        check_case(case, case.label is None or case.image.is_dir(), False, no_digests)
        for case in tqdm(found, desc="look through", unit="case", disable=None)
    ]
    pairs = list(zip(found, checked, strict=True))
    good = [case for case, one in pairs if one.outcome != REFUSED]
    if not good:
        raise_all(refusals(checked))
    persons = {case.patient for case, one in pairs if one.tumour}
    if settings.training and len(persons) < 2:
        raise SettingsError(
            "epochs", "must be 0 with labelled tumours of fewer than two patients: one "
            "is held out", f"{len(persons)}", "finetune-patients", "label more scans",
        )  # fmt: skip
    table = pd.DataFrame([row_of(*pair) for pair in pairs]).set_index("scan")
    return OwnScans(good, table, tuple(f for one in checked for f in one.findings))


def row_of(case: Case, checked: Checked) -> dict[str, str]:
    """A case in words; those between commas stay on one line of a page."""
    grid = checked.facts.replace(" ", "\N{NO-BREAK SPACE}")
    return {
        "scan": case.name,
        "patient": case.patient,
        "label": case.label.name if case.label else "none",
        "outcome": checked.outcome,
        "checks": ", ".join(dict.fromkeys(f.check for f in checked.findings)),
        "grid": grid.replace(",\N{NO-BREAK SPACE}", ", "),
    }


def predict_own(
    cases: Sequence[Case], target: Path, weights: Path, gpus: int | None
) -> pd.DataFrame:
    """Masks, reports and pictures into ``target``; gives a row a scan.

    Raises:
        CheckpointError, InputError, StorageError: as `predict_scans`.
    """
    device = "cpu" if gpus == 0 else None
    reports = predict_scans(cases, target, weights, PredictSettings(device=device))
    return cases_table(list(reports)).set_index("case")


@dataclass(frozen=True)
class ShownSlice:
    """One slice of a case: HU and masks ``(H, W)``, ``number`` counted from the lowest.

    ``aspect`` is the height of a pixel over its width.
    """

    number: int
    hu: NDArray
    mask: NDArray[np.bool_]
    truth: NDArray[np.bool_] | None
    aspect: float


def shown_slice(case: Case, masks: Path, number: int | None = None) -> ShownSlice:
    """A slice of ``case`` with its mask in ``masks``, and its label if it has one.

    Without ``number`` the one with most predicted tumour; where nothing is predicted,
    with most true tumour; else the middle one.
    """
    with ExitStack() as files:
        room = Path(files.enter_context(tempfile.TemporaryDirectory()))
        scan = read_input(case.image, room)
        files.enter_context(scan.slices)
        labels = [
            files.enter_context(read_labels_of(path, scan, room)) if path else None
            for path in (masks / f"{case.name}.nii.gz", case.label)
        ]
        if number is None:
            areas = [
                np.array(
                    [np.count_nonzero(part[i] == TUMOUR) for i in range(len(part))]
                )
                for part in labels
                if part is not None
            ]
            fullest = [int(area.argmax()) for area in areas if area.any()]
            number = fullest[0] if fullest else len(scan.slices) // 2
        shown = [None if part is None else part[number] == TUMOUR for part in labels]
        x, y, _ = scan.spacing
        return ShownSlice(number, scan.slices[number], *shown, y / x)


def compare(cases: Sequence[Case], masks: Path, labels: Path) -> FolderTables:
    """The masks in ``masks`` against the labels of ``cases``.

    Raises:
        InputError: a label does not fit its scan, or no label has a tumour.
    """
    drawn = [replace(case, image=masks / f"{case.name}.nii.gz") for case in cases]
    return evaluate_pairs(drawn, masks, labels)


def in_short(tables: FolderTables) -> pd.DataFrame:
    """A row a case: Dice, mean surface distance, and how many lesions were found."""
    cases = tables.cases.set_index("case")
    dice = tables.slices.groupby("case")["dice"]
    return pd.DataFrame(
        {
            "slices": dice.size().reindex(cases.index, fill_value=0),
            "their Dice, %": percent(dice.mean()),
            "volume Dice, %": percent(cases["dice"]),
            "surface distance, mm": cases.get("assd_mm", np.nan),
            "lesions": cases["lesions_truth"],
            "found": cases["detected_50"],
            "false": cases["false_50"],
        },
        cases.index,
    )


def finetune(own: OwnScans, settings: OwnSettings) -> Run:
    """Trains the weights on the labelled cases; a fifth of the patients is held out.

    The run's folder bears the digest of the weights that it began with, so that other
    weights begin another run; the same call goes on with the same run.

    Raises:
        CheckpointError: ``out`` holds slices of other cases, or another run.
        InputError: no tumour is left to train or to test on.
    """
    trained = open_weights(settings.weights)
    size = trained.image_size
    store = prepare_cases(
        own.labelled, settings.labels, settings.out / f"store-{size}", size,
        processes=1 if len(own.labelled) < FEW else None,
    )  # fmt: skip
    split = make_split(store.index, "patient", settings.training.seed)
    rows, _ = train_and_test_rows(store.index, split, settings.training.fold)
    return train(
        replace(
            settings.training,
            data=store.folder,
            out=settings.out / f"finetuned-{trained.digest[:8]}",
            method=trained.method,
            window=trained.window,
            batch_size=min(settings.training.batch_size, len(rows)),
            finetune_from=settings.weights,
        )
    )


def held_out(own: OwnScans, run: Run) -> list[Case]:
    """The labelled cases of the patients that the run did not train on."""
    patients = set(read_rows(run.folder / "per_slice.csv")["patient"])
    return [case for case in own.labelled if case.patient in patients]


def side_by_side(tables: Mapping[str, FolderTables]) -> pd.DataFrame:
    """A column for each set of masks of the same cases: means, in %, and numbers."""
    columns = {}
    for name, one in tables.items():
        slices, volumes = summarise(one.slices), summarise_volumes(one.cases)
        values = {
            "patients": one.cases["patient"].nunique(),
            "slices with tumour": len(one.slices),
            "Dice of slices, %": percent(slices["dice"]),
            "precision of slices, %": percent(slices["precision"]),
            "recall of slices, %": percent(slices["recall"]),
            "Dice of volumes, %": percent(volumes["dice"]),
            "lesions": int(one.cases["lesions_truth"].sum()),
            "lesions found": int(one.cases["detected_50"].sum()),
            "false lesions": int(one.cases["false_50"].sum()),
        }
        columns[name] = pd.Series(values, dtype=object)  # numbers stay whole ones
    return pd.DataFrame(columns).rename_axis("measure")


def percent(share: float | pd.Series) -> float | pd.Series:
    """To a tenth."""
    return round(100 * share, 1)
