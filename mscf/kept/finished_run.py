"""A finished run opened again: its network, and the slices that it was tested on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from mscf.checkpoint import load_weights, read_checkpoint
from mscf.data.dataset import SliceDataset
from mscf.data.store import Store, open_store
from mscf.errors import CheckpointError, SettingsError
from mscf.evaluation.kept_run import of_phantoms
from mscf.evaluation.tables import read_rows
from mscf.models import build
from mscf.paths import root
from mscf.training.run_folder import read_record
from mscf.training.settings import TrainSettings
from mscf.training.start import split_slices

SEEN = {  # by the split, what training had of the patients who test
    "patient": "not seen in training",
    "slice": "split by slice: training had other slices of theirs",
}
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

    def rows(self) -> pd.DataFrame:
        """Its ``per_slice.csv``, a row for each of its test slices.

        Raises:
            InputError: there is no such table.
            CheckpointError: the rows are others, as `mscf evaluate --out` leaves them.
        """
        path, one = self.folder / "per_slice.csv", self.settings
        rows = read_rows(path)
        own = one.split, one.method, one.fold, one.seed
        others = keys_of(rows, "split", "method", "fold", "seed") - {own}
        there = keys_of(rows, "case", "slice")
        slices = keys_of(self.test.index, "case", "slice")
        if others:
            name = "{}/{}/fold-{}/seed-{}".format
            must, found = name(*own), name(*min(others))
        elif there != slices:
            must = f"the {len(slices)} test slices of the run, and no others"
            found = f"{len(there & slices)}, and {len(there - slices)} others"
        else:
            return rows
        raise CheckpointError(
            path, f"must have rows of {must}", found, "runs-rows",
            "something else was written there since: train the run again",
        )  # fmt: skip

    def check_contexts(self, network: nn.Module) -> None:
        """Refuses a run of a method whose network has no context blocks."""
        if not hasattr(network, "contexts"):
            raise SettingsError(
                self.folder, "must be of a method with context blocks",
                self.settings.method, "no-contexts", "choose a run of mscf",
            )  # fmt: skip


def keys_of(table: pd.DataFrame, *columns: str) -> set[tuple]:
    """The rows of a table by these columns."""
    return {*table[[*columns]].itertuples(index=False, name=None)}


def open_run(folder: Path, data: Path | str | None = None) -> FinishedRun:
    """Opens a run and its store; relative places are the project's.

    ``data``: where the store lies now, for a run that was trained elsewhere.

    Raises:
        CheckpointError: the run is not finished, or its store has changed or is gone.
    """
    record = read_record(folder / "run.json")
    settings = finished_settings(folder, record)
    store = store_of_run(root() / (settings.data if data is None else data))
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


def is_finished(folder: Path) -> bool:
    """Whether it holds a run that has ended well; its record is there from the start.

    Raises:
        CheckpointError: there is a record, and it is none of a run.
    """
    path = folder / "run.json"
    return path.is_file() and read_record(path).get("status") == "finished"


def store_of_run(place: Path) -> Store:
    """Opens the store; where there is none, the run may have been trained elsewhere."""
    if not (place / "store.json").is_file():
        raise CheckpointError(
            place, "must be the store of the run", "no store.json", "store-missing",
            "where it lies elsewhere by now, give that folder as data",
        )  # fmt: skip
    return open_store(place)


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
        data = rows["data"].iat[0]
        start = record["settings"].get("finetune_from")
        before = f", what {Path(start).name} had seen apart" if start else ""
        words = (
            f"**{record['settings']['method']}**, after {record['epochs_done']} epochs"
            f" on {data} ({record['store']['size']} x {record['store']['size']}"
            f" pixels), weights of epoch {record['best_epoch'] + 1}. Mean Dice"
            f" {rows['dice'].mean():.2f} on {len(rows)} tumour slices of"
            f" {rows['patient'].nunique()} test patients,"
            f" {SEEN[record['settings']['split']]}{before}; one training, one seed."
        )
    except (LookupError, TypeError) as error:
        raise CheckpointError(
            folder / "run.json", "must be the record of a run", error, "run-record"
        ) from error
    if of_phantoms(record, data):
        words += " **Synthetic CT: nothing here is about patients.**"
    return words


def nothing_kept(place: str, parameter: str = "run") -> str:
    """What a page says where it would show slices and none are kept.

    ``parameter``: the page's own that takes a folder, "run" or "runs".
    """
    return (
        f"**No slices of a trained network are kept at `{place}`, so nothing is drawn"
        " here.** Of people none ever are, of phantoms those that were asked for. What"
        f" helps: give the folder of the finished {parameter} as `{parameter}`; all is"
        " then drawn from weights and data."
    )
