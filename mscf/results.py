"""What stays of a finished run: small tables under ``results/`` that the book reads.

``results/<data>/<split>/<method>[+variant]/fold-<k>/seed-<n>/`` holds
``per_slice.csv`` and ``summary.json``, of the run itself also ``per_case.csv``,
``history.csv``, ``timing.csv``, with context blocks ``context.csv`` and
``separation.csv``, and ``run.json``, written last. Beside the trained network stand the
same network before its first step and one HU threshold, on the same slices. Of phantoms
a few slices stay as well (``examples.npz``); of a person never.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from mscf.checkpoint import load_weights, read_checkpoint
from mscf.data.dataset import SliceDataset, three_channels
from mscf.data.spreadsheet import as_csv
from mscf.data.store import Store, open_store
from mscf.errors import CheckpointError, InputError, SettingsError
from mscf.evaluation.baseline import evaluate_threshold, fit_threshold
from mscf.evaluation.evaluate import evaluate, evaluation_mode, predict
from mscf.evaluation.separation import separation_rows
from mscf.evaluation.tables import identify, read_rows, write_rows, write_summary
from mscf.evaluation.volumes import case_rows
from mscf.models import build
from mscf.paths import root
from mscf.replacing import replacing
from mscf.training.loop import precision
from mscf.training.run_folder import read_record
from mscf.training.settings import TrainSettings
from mscf.training.start import has_imagenet, split_slices, starting_network
from mscf.training.state import data_name
from mscf.visualisation.feature_maps import skip_features, strongest

THRESHOLD = "hu_threshold"
UNTRAINED = "+untrained"
CHANNELS = 6  # feature maps kept of each scale


def keep_run(
    run: Path,
    results: Path,
    examples: int = 0,
    beside: bool = True,
    label: str = "",
) -> Path:
    """Writes what the book needs of a finished run below ``results``; its folder there.

    ``examples`` slices of the test patients are kept with their voxels, predictions and
    feature maps: for phantoms only. ``beside``: also the untrained network and the HU
    threshold on the same slices. A ``label`` keeps a run apart from those that a grid
    compares: it stands as ``<method>+<label>``.

    Raises:
        CheckpointError: the run is not finished, or its store has changed.
        SettingsError: examples of a store of real CT, or ImageNet weights that the run
            began with cannot be had here.
    """
    record = read_record(run / "run.json")
    settings = check_finished(run, record)
    store = open_store(settings.data)
    check_same(store, record)
    if examples and not store.phantoms:
        raise SettingsError(
            "examples", "must be 0: voxels are kept of phantoms only", examples,
            "examples", "phantoms prepared by an older version: prepare them again",
        )  # fmt: skip
    training, test = split_slices(settings, store)
    place = results / data_name(store) / settings.split
    one = f"fold-{settings.fold}/seed-{settings.seed}"
    method = settings.method + (f"+{label}" if label else "")
    folder = place / method / one

    record["settings"] |= {"data": data_name(store), "out": run.name}  # no places
    if settings.finetune_from:
        record["settings"]["finetune_from"] = settings.finetune_from.name
    record["slices"] = {"training": len(training), "test": len(test)}
    tables = {method: read_rows(run / "per_slice.csv")}
    if beside:
        tables[method + UNTRAINED] = untrained_rows(settings, training, test)
        threshold = fit_threshold(store, training.index["row"].to_numpy())
        tables[THRESHOLD] = evaluate_threshold(
            threshold, store, test.index["row"].to_numpy()
        )
        record["threshold"] = {"direction": threshold.direction, "hu": threshold.hu}
    for name, rows in tables.items():
        signed = identify(
            rows, data_name(store), settings.split, settings.fold, name, settings.seed
        )
        write_tables(signed, place / name / one, record.get("commit", ""))

    for name in ("history.csv", "timing.csv", "context.csv"):
        if (run / name).exists():
            shutil.copy(run / name, folder / name)
    network = build(settings.method)
    weights, _ = read_checkpoint(run / "best.ckpt")
    load_weights(network, weights, run / "best.ckpt")
    for name, table in looked_at_again(network, test, settings).items():
        with replacing(folder / f"{name}.csv") as file:
            file.write(as_csv(table))
    if examples:
        write_examples(network, test, examples, folder / "examples.npz")
    with replacing(folder / "run.json") as file:  # last: where it is, all is
        json.dump(record, file, indent=2)
        file.write("\n")
    return folder


def open_run(run: Path) -> tuple[nn.Module, SliceDataset]:
    """The trained network of a finished run, and the slices it was tested on.

    Raises:
        CheckpointError: the run is not finished, its store has changed or is gone, or
            its weights are another method's.
    """
    record = read_record(run / "run.json")
    settings = check_finished(run, record)
    store = open_store(root() / settings.data)
    check_same(store, record)
    network = build(settings.method)
    weights, _ = read_checkpoint(run / "best.ckpt")
    load_weights(network, weights, run / "best.ckpt")
    return network, split_slices(settings, store)[1]


def run_in_words(folder: Path) -> str:
    """What was trained and how well it does: a finished run or what is kept of it."""
    record, rows = read_record(folder / "run.json"), read_rows(folder / "per_slice.csv")
    try:
        data = Path(record["settings"]["data"]).name
        words = (
            f"**{record['settings']['method']}**, after {record['epochs_done']} epochs"
            f" on {data} ({record['store']['size']} x {record['store']['size']}"
            f" pixels), weights of epoch {record['best_epoch'] + 1}. Mean Dice"
            f" {rows['dice'].mean():.2f} on {len(rows)} tumour slices of"
            f" {rows['patient'].nunique()} test patients; one training, one seed."
        )
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            folder / "run.json", "must be the record of a run", error, "run-record"
        ) from error
    if data.startswith("phantoms"):
        words += " **Synthetic CT: nothing here is about patients.**"
    return words


def nothing_kept(place: str) -> str:
    """What a page says where it would show a trained network and there is none."""
    return (
        f"**No trained network is kept at `{place}`, so nothing is drawn here**: one"
        " that has learned nothing has nothing to show. Train one, and give the folder"
        " of the run as `run`."
    )


def read_results(
    place: Path, method: str, one: str = "fold-0/seed-0"
) -> dict[str, pd.DataFrame]:
    """The slices' rows of a kept run, beside those of what it must beat.

    ``place`` is ``results/<data>/<split>``, ``one`` the fold and the seed.
    """
    folders = {
        "untrained network": method + UNTRAINED,
        "one HU threshold": THRESHOLD,
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
        try:
            tables.append(pd.read_csv(path).assign(fold=fold, seed=seed))
        except (OSError, ValueError) as error:
            raise InputError(
                path, "must be a table", error, "kept-table", "keep the run again"
            ) from error
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
    return {method: read_facts(paths[0]) for method, paths in found.items() if paths}


def read_facts(path: Path) -> pd.DataFrame:
    """A ``context.csv``: a row an epoch, numbers only.

    Raises:
        InputError: it is something else.
    """
    try:
        table = pd.read_csv(path).astype("float64").astype({"epoch": "int64"})
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            path, "must be a table of numbers with an epoch", error, "context-table",
            "keep the run again",
        ) from error  # fmt: skip
    return table


def check_finished(run: Path, record: dict) -> TrainSettings:
    """The settings of a finished run, with ImageNet weights if it really had them."""
    if record.get("status") != "finished":
        raise CheckpointError(
            run, "must be a finished run", record.get("status"), "run-unfinished",
            "go on with `mscf train --resume`",
        )  # fmt: skip
    try:
        settings = TrainSettings(**record["settings"])
        seen = record["store"]["checksum"], record.get("commit", "")
        if not all(isinstance(value, str) for value in seen):
            raise TypeError("checksum and commit must be text")
        return replace(settings, pretrained=record["pretrained"] == "loaded")
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            run / "run.json", "must be the record of a run", error, "run-record"
        ) from error


def check_same(store: Store, record: dict) -> None:
    """Refuses data that are no longer those that the run saw."""
    if record["store"]["checksum"] != store.checksum:
        raise CheckpointError(
            store.folder, "must be the store of the run", "another", "store-other"
        )


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
        tables = {"per_case": case_rows(test, masks)}
        if hasattr(network, "contexts"):
            tables["separation"] = separation_rows(network, test, settings.batch_size)
    return tables


def write_tables(rows: pd.DataFrame, folder: Path, commit: str) -> None:
    """``per_slice.csv`` and ``summary.json`` of signed rows."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(rows, folder / "per_slice.csv")
    write_summary(rows, folder / "summary.json", commit)


def write_examples(
    network: nn.Module, slices: SliceDataset, n: int, path: Path
) -> None:
    """The slice with most tumour of ``n`` test patients: chosen by the truth alone.

    ``row``, ``hu``, ``truth`` and ``probability`` (in 1/255) a slice, and for every
    context block ``before<k>`` and ``after<k>``, the ``CHANNELS`` channels with the
    largest mean before it, ``(n, CHANNELS, h, w)`` float16.
    """
    index = slices.index.reset_index(drop=True)
    chosen = np.sort(index.groupby("patient")["stored_tumour_px"].idxmax())[:n]
    network.cpu()
    images = torch.stack([slices[i][0] for i in chosen])
    with evaluation_mode(network), torch.no_grad():
        probability = network(three_channels(images)).sigmoid()[:, 0].numpy()
    maps = [skip_features(network, three_channels(image[None])) for image in images]
    rows = index["row"].to_numpy()[chosen]
    kept = {
        "row": rows,
        "case": index["case"].to_numpy(str)[chosen],
        "hu": slices.store.images[rows],
        "truth": slices.store.masks[rows] == 2,
        "probability": (probability * 255).round().astype(np.uint8),
    }
    for k, skips in enumerate(zip(*maps, strict=True)):
        before, after = (np.stack(side) for side in zip(*skips, strict=True))
        channels = np.array([strongest(features, CHANNELS) for features in before])
        pick = np.arange(len(chosen))[:, None], channels
        kept[f"channel{k}"] = channels
        kept[f"before{k}"] = before[pick].astype(np.float16)
        kept[f"after{k}"] = after[pick].astype(np.float16)
    with replacing(path, text=False) as file:
        np.savez_compressed(file, **kept)
