"""What stays of a finished run: small tables under ``results/`` that the book reads.

``results/<data>/<split>/<method>[+variant]/fold-<k>/seed-<n>/`` holds
``per_slice.csv``, of the run itself also ``per_case.csv``, ``lesions.csv``,
``history.csv``, ``timing.csv``, with context blocks ``context.csv`` and
``separation.csv``, and ``run.json``, written last; what `keep_run.py` is asked for
besides (attributions, any pixel) comes after it, and is asked for anew where a run is
kept again. Beside the trained network stand the same network before its first step and
one HU threshold, on the same slices. Of phantoms a few slices stay as well
(``examples.npz``); of a person never.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn

from mscf.data.dataset import SliceDataset
from mscf.data.spreadsheet import as_csv
from mscf.errors import InputError, SettingsError
from mscf.evaluation.baseline import evaluate_threshold, fit_threshold
from mscf.evaluation.evaluate import evaluate, predict
from mscf.evaluation.kept_run import THRESHOLD, UNTRAINED
from mscf.evaluation.separation import separation_rows
from mscf.evaluation.tables import identify, read_rows, write_rows
from mscf.evaluation.volumes import case_rows, lesion_rows
from mscf.kept.attentions import keep_attention
from mscf.kept.examples import write_examples
from mscf.kept.finished_run import open_run
from mscf.kept.kept_table import read_table
from mscf.kept.parameters import check_at_least
from mscf.models import is_method
from mscf.replacing import remove, write_text
from mscf.training.passes import precision
from mscf.training.settings import TrainSettings
from mscf.training.start import has_imagenet, starting_network


def keep_run(
    run: Path,
    results: Path,
    examples: int = 0,
    beside: bool = True,
    label: str = "",
    data: Path | None = None,
) -> Path:
    """Writes what the book needs of a finished run below ``results``; its folder there.

    ``examples`` slices of the test patients are kept with their voxels, predictions and
    feature maps, and with them what blocks attend to: for phantoms only. ``beside``:
    also the untrained network and the HU threshold on the same slices. A ``label``
    keeps a run apart from those that a grid compares: it stands as
    ``<method>+<label>``. ``data``: where its store lies now, see `open_run`.

    Raises:
        CheckpointError: the run is not finished, its store has changed, or its rows are
            not of its test slices.
        SettingsError: examples of a store of real CT, or fewer than none; a label that
            is no plain name, or a variant's; or ImageNet weights that the run began
            with cannot be had here.
    """
    check_at_least(0, examples=examples)
    opened = open_run(run, data)
    record, settings, store = opened.record, opened.settings, opened.store
    if examples and not store.phantoms:
        raise SettingsError(
            "examples", "must be 0: voxels are kept of phantoms only", examples,
            "examples",
        )  # fmt: skip
    check_label(label, settings.method)
    training, test = opened.training, opened.test
    place = results / store.name / settings.split
    one = f"fold-{settings.fold}/seed-{settings.seed}"
    apart = f"+{label}" if label else ""
    method, rule = settings.method + apart, THRESHOLD + apart
    folder = place / method / one

    record["settings"] |= {"data": store.name, "out": run.name}  # no places
    if settings.finetune_from:
        record["settings"]["finetune_from"] = settings.finetune_from.name
    record["slices"] = {"training": len(training), "test": len(test)}
    tables = {method: opened.rows()}
    record["dice"] = float(tables[method]["dice"].mean())
    if beside:
        tables[method + UNTRAINED] = untrained_rows(settings, training, test)
        threshold = fit_threshold(store, training.index["row"].to_numpy())
        tables[rule] = evaluate_threshold(
            threshold, store, test.index["row"].to_numpy()
        )
        record["threshold"] = {"direction": threshold.direction, "hu": threshold.hu}
    at_start = place / (method + UNTRAINED) / one
    asked = [kept / "lesion_attention.csv" for kept in (folder, at_start)]
    # Not the threshold: another method's run of this fold and seed has it beside it.
    untrained = at_start / "per_slice.csv"
    for older in (folder / "run.json", *folder.glob("*.npz"), *asked, untrained):
        remove(older)  # until all is there, nothing is; see below
    for name, rows in tables.items():
        signed = identify(
            rows, store.name, settings.split, settings.fold, name, settings.seed
        )
        (place / name / one).mkdir(parents=True, exist_ok=True)
        write_rows(signed, place / name / one / "per_slice.csv")

    for name in ("history.csv", "timing.csv", "context.csv"):
        if (run / name).exists():
            shutil.copy(run / name, folder / name)
    network = opened.network()
    for name, table in looked_at_again(network, test, settings).items():
        write_text(folder / f"{name}.csv", as_csv(table))
    if examples and beside:
        start = starting_network(settings, training)
        keep_attention(start, test, at_start, voxels=False)
    if examples:
        keep_attention(network, test, folder, voxels=True)
        write_examples(network, test, examples, folder)
    # Last: where it is, all is.
    write_text(folder / "run.json", json.dumps(record, indent=2) + "\n")
    return folder


def check_label(label: str, method: str) -> None:
    """Refuses what would be kept elsewhere, or as something else.

    Raises:
        SettingsError: a sign that is none of a folder's plain name; a variant's name.
    """
    if label and not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", label):
        raise SettingsError(
            "label", "must be of letters, digits, -, _ and ., the . not first", label,
            "label",
        )  # fmt: skip
    if f"+{label}" == UNTRAINED or is_method(f"{method}+{label}"):
        raise SettingsError(
            "label", "must be no variant's name", label, "label", "choose another"
        )


def read_results(
    place: Path, method: str, one: str = "fold-0/seed-0"
) -> dict[str, pd.DataFrame]:
    """The slices' rows of a kept run, beside those of what it must beat.

    ``place`` is ``results/<data>/<split>``, ``one`` the fold and the seed.
    """
    own = f"{THRESHOLD}+{method.partition('+')[2]}"  # of a labelled run
    folders = {
        "untrained network": method + UNTRAINED,
        "one HU threshold": own if (place / own / one).is_dir() else THRESHOLD,
        "trained network": method,
    }
    return {
        name: read_rows(place / folder / one / "per_slice.csv")
        for name, folder in folders.items()
    }


def read_beside(place: Path, method: str, name: str) -> pd.DataFrame:
    """``<name>.csv`` of every kept run of a method, with its ``fold`` and ``seed``.

    Raises:
        InputError: no run has it, or it is no table.
    """
    tables = []
    for path in sorted((place / method).glob(f"fold-*/seed-*/{name}.csv")):
        fold, seed = (int(part.rpartition("-")[2]) for part in path.parts[-3:-1])
        tables.append(read_table(path).assign(fold=fold, seed=seed))
    if not tables:
        raise InputError(
            place / method, f"must have kept {name}.csv", "none", "kept-missing",
            "keep its runs again: data_scripts/keep_run.py",
        )  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def read_context(place: Path, methods: Iterable[str]) -> dict[str, pd.DataFrame]:
    """``context.csv`` of the first kept run of each method that recorded one."""
    found = {
        method: sorted(place.glob(f"{method}/*/*/context.csv")) for method in methods
    }
    return {
        method: read_table(paths[0], ["epoch"])
        for method, paths in found.items()
        if paths
    }


def untrained_rows(
    settings: TrainSettings, training: SliceDataset, test: SliceDataset
) -> pd.DataFrame:
    """A row a test slice of the network as the run began with it."""
    network = starting_network(settings, training)
    if settings.pretrained and not has_imagenet(network):
        raise SettingsError(
            "pretrained", "ImageNet weights of the run's start must be had", "none",
            "pretrained", "connect to the network, or keep the run alone (--no-beside)",
        )  # fmt: skip
    with precision(settings):
        return evaluate(network, test, settings.batch_size, settings.device)


def looked_at_again(
    network: nn.Module, test: SliceDataset, settings: TrainSettings
) -> dict[str, pd.DataFrame]:
    """What rows of slices cannot tell: cases as volumes, and what blocks do to maps."""
    with precision(settings):
        parts = predict(network, test, settings.batch_size, settings.device)
        masks = np.concatenate([masks for _, masks in parts])
        tables = {
            "per_case": case_rows(test, masks), "lesions": lesion_rows(test, masks)
        }  # fmt: skip
        if hasattr(network, "contexts"):
            tables["separation"] = separation_rows(network, test, settings.batch_size)
    return tables
