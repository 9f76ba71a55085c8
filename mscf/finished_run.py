"""A finished run opened again: its network, and the slices that it was tested on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from mscf.checkpoint import load_weights, read_checkpoint
from mscf.data.dataset import SliceDataset
from mscf.data.store import Store, open_store
from mscf.errors import CheckpointError
from mscf.models import build
from mscf.training.run_folder import read_record
from mscf.training.settings import TrainSettings
from mscf.training.start import split_slices


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
        network = build(self.settings.method)
        weights, _ = read_checkpoint(self.folder / "best.ckpt")
        load_weights(network, weights, self.folder / "best.ckpt")
        return network.eval()


def open_run(folder: Path) -> FinishedRun:
    """Opens a run whose store is where it was.

    Raises:
        CheckpointError: the run is not finished, or its store has changed.
    """
    record = read_record(folder / "run.json")
    settings = finished_settings(folder, record)
    store = open_store(settings.data)
    if record["store"]["checksum"] != store.checksum:
        raise CheckpointError(
            store.folder, "must be the store of the run", "another", "store-other"
        )
    training, test = split_slices(settings, store)
    return FinishedRun(folder, record, settings, store, training, test)


def finished_settings(folder: Path, record: dict) -> TrainSettings:
    """The settings of a finished run, with ImageNet weights if it really had them."""
    if record.get("status") != "finished":
        raise CheckpointError(
            folder, "must be a finished run", record.get("status"), "run-unfinished",
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
            folder / "run.json", "must be the record of a run", error, "run-record"
        ) from error


def run_in_words(record: dict) -> str:
    """Which network a page shows, from a run.json: method, data, training, weights."""
    settings, machine = record["settings"], record["machine"]
    data = Path(settings["data"]).name
    weights = "ImageNet's" if record["pretrained"] == "loaded" else "random"
    said = (
        f"The network shown: **{settings['method']}**, trained on **{data}**, split by "
        f"{settings['split']}, fold {settings['fold']}, seed {settings['seed']}, for "
        f"{record['epochs_done']} epochs in {record['seconds'] / 3600:.1f} hours on "
        f"{machine['device']} in {settings['precision']}, its encoder from {weights} "
        "weights."
    )
    if data.startswith("phantoms"):
        said += " **Synthetic CT: nothing here is about patients.**"
    return said
