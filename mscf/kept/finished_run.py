"""A finished run opened again: its network, and the slices that it was tested on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from mscf.checkpoint import load_weights, read_checkpoint
from mscf.data.dataset import SliceDataset
from mscf.data.store import Store, open_store
from mscf.errors import CheckpointError
from mscf.evaluation.kept_run import of_phantoms
from mscf.evaluation.tables import read_rows
from mscf.models import build
from mscf.paths import root
from mscf.training.run_folder import read_record
from mscf.training.settings import TrainSettings
from mscf.training.start import split_slices

ALONE = dict.fromkeys(("cuda_graph", "sync_batch_norm", "require_pretrained"), False)


@dataclass(frozen=True)
class FinishedRun:
    """What a folder of `mscf train` holds, and the data it was made from."""

    folder: Path
    record: dict  # run.json
    settings: TrainSettings
    store: Store
    training: SliceDataset
    test: SliceDataset

    def network(self) -> nn.Module:
        """The network with the weights that were tested, on the CPU."""
        with torch.random.fork_rng():  # the caller's random numbers go on
            network = build(self.settings.method)
        weights, _ = read_checkpoint(self.folder / "best.ckpt")
        load_weights(network, weights, self.folder / "best.ckpt")
        return network.eval()


def open_run(folder: Path) -> FinishedRun:
    """Opens a run whose store is where it was; relative places are the project's.

    Raises:
        CheckpointError: the run is not finished, or its store has changed or is gone.
    """
    record = read_record(folder / "run.json")
    settings = finished_settings(folder, record)
    store = open_store(root() / settings.data)
    check_same(store, record)
    training, test = split_slices(settings, store)
    return FinishedRun(folder, record, settings, store, training, test)


def finished_settings(folder: Path, record: dict) -> TrainSettings:
    """The settings of a finished run, for looking at it here, in one process.

    With ImageNet weights if it really had them; on a GPU if it had one and one is here.
    """
    if record.get("status") != "finished":
        raise CheckpointError(
            folder, "must be a finished run", record.get("status"), "run-unfinished",
            "go on with `mscf train --resume`",
        )  # fmt: skip
    try:
        here = bool(record["settings"]["gpus"]) and torch.cuda.is_available()
        one = {"gpus": int(here), "processes": 1, "accumulate": 1, **ALONE}
        settings = TrainSettings(**record["settings"] | one)
        seen = record["store"]["checksum"], record.get("commit", "")
        if not all(isinstance(value, str) for value in seen):
            raise TypeError("checksum and commit must be text")
        return replace(settings, pretrained=record["pretrained"] == "loaded")
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            folder / "run.json", "must be the record of a run", error, "run-record"
        ) from error


def check_same(store: Store, record: dict) -> None:
    """Refuses data that are no longer those that the run saw."""
    if record["store"]["checksum"] != store.checksum:
        raise CheckpointError(
            store.folder, "must be the store of the run", "another", "store-other"
        )


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
    if of_phantoms(record, data):
        words += " **Synthetic CT: nothing here is about patients.**"
    return words


def nothing_kept(place: str) -> str:
    """What a page says where it would show a trained network and there is none."""
    return (
        f"**No trained network is kept at `{place}`, so nothing is drawn here**: one"
        " that has learned nothing has nothing to show. Train one, and give the folder"
        " of the run as `run`."
    )
