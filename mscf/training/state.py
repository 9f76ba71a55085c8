"""The state of a run on disk: what is written when, and how a run goes on again.

At an epoch's end, in this order: the history's row, the best weights if they improved,
the whole state. A run killed in between goes on from the last whole state; rows behind
it are cut off. Random numbers are functions of seed, epoch and index, so nothing else
has to be remembered, and a resumed run ends with the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mscf.checkpoint import load_weights, read_checkpoint, write_checkpoint
from mscf.data.splits import make_split, write_split
from mscf.data.store import Store
from mscf.errors import CheckpointError, Finding, warn
from mscf.training.history import HISTORY, TIMING, GrowingTable
from mscf.training.run_folder import (
    RunRecord,
    commit,
    machine,
    now,
    read_record,
    versions,
)
from mscf.training.schedule import Schedule
from mscf.training.settings import TrainSettings, differing
from mscf.training.start import has_imagenet
from mscf.training.watch import CONTEXT, has_context

IMAGENET = {True: "loaded", False: "not loaded", None: "none to load"}


class RunState:
    """Where a run stands: next epoch, schedule, history, record, checkpoints."""

    def __init__(
        self,
        settings: TrainSettings,
        store: Store,
        model: nn.Module,
        optimizer: Optimizer,
    ) -> None:
        self.settings, self.store = settings, store
        self.model, self.optimizer = model, optimizer
        self.epoch = 0  # the next one
        self.schedule = Schedule(settings.learning_rate)
        self.history = GrowingTable(settings.out / "history.csv", HISTORY)
        self.timing = GrowingTable(settings.out / "timing.csv", TIMING)
        self.context = GrowingTable(settings.out / "context.csv", CONTEXT)
        self.last = settings.out / "last.ckpt"
        self.best = settings.out / "best.ckpt"

    @classmethod
    def open(
        cls,
        settings: TrainSettings,
        store: Store,
        model: nn.Module,
        optimizer: Optimizer,
    ) -> Self:
        """A new run in an empty folder, or with ``resume`` the one that lies there.

        Raises:
            CheckpointError: the folder holds a run that was not to be resumed, or one
                of other settings or data.
        """
        state = cls(settings, store, model, optimizer)
        for pattern in (".*.part", ".tmp*"):  # the second is safetensors' own
            for part in settings.out.glob(pattern):
                part.unlink()  # of a process that died; the lock is ours
        if state.last.exists():
            if not settings.resume:
                raise CheckpointError(
                    settings.out,
                    "must be a new folder",
                    "a run",
                    "run-exists",
                    "add --resume to go on with it, or choose another --out",
                )
            state._resume()
        else:
            state._begin()
        return state

    @property
    def identity(self) -> dict[str, str | int]:
        """What every row of this run's tables is signed with."""
        settings = self.settings
        return {
            "data": data_name(self.store),
            "split": settings.split,
            "fold": settings.fold,
            "method": settings.method,
            "seed": settings.seed,
        }

    def save(
        self,
        epoch: int,
        loss: float,
        schedule: Schedule,
        slices: int,
        seconds: float,
        facts: Mapping[str, float],
    ) -> None:
        """Records a finished epoch; the order of writing is the module's promise.

        ``facts`` are those of ``watch.context_facts``, where there is a context.
        """
        rate = self.schedule.rate  # that of the epoch, not of the next
        self.epoch, self.schedule = epoch + 1, schedule
        self.history.append(epoch, loss, rate)
        self.timing.append(epoch, round(seconds, 3), round(slices / seconds, 2))
        if self.context.there:
            self.context.append(epoch, *(facts.get(name, "") for name in CONTEXT[1:]))
        if schedule.improved:
            write_checkpoint(self.best, self.model.state_dict(), self._header(epoch))
        tensors = {f"model.{n}": t for n, t in self.model.state_dict().items()}
        tensors |= optimizer_tensors(self.optimizer)
        header = self._header(epoch) | {"schedule": asdict(schedule)}
        write_checkpoint(self.last, tensors, header)
        self.record.update(status="training", epochs_done=self.epoch)

    def load_best(self) -> None:
        """Puts the weights of the lowest training loss into the model."""
        weights, header = read_checkpoint(self.best)
        load_weights(self.model, weights, self.best)
        self.record.update(status="evaluating", best_epoch=header["epoch"])

    def finish(self) -> None:
        """Marks the run as whole."""
        end = self.schedule.end or f"{self.epoch} epochs asked for are done"
        self.record.update(status="finished", end=end)

    def _begin(self) -> None:
        settings = self.settings
        split = make_split(self.store.index, settings.split, settings.seed)
        write_split(split, settings.out, settings.split, settings.seed)
        self.history.start()
        self.timing.start()
        if has_context(self.model):
            self.context.start()
        had = has_imagenet(self.model)
        if settings.pretrained and had is False:
            warn(
                Finding(
                    settings.method,
                    "ImageNet weights were asked for and could not be had",
                    "random weights",
                    "pretrained",
                    "the run goes on without them and records it",
                )
            )
        self.record = RunRecord(
            settings.out / "run.json",
            {
                "settings": settings.recorded(),
                "store": {"checksum": self.store.checksum, "size": self.store.size},
                "pretrained": IMAGENET[had],
                "parameters": sum(p.numel() for p in self.model.parameters()),
                "machine": machine(settings.device),
                "versions": versions(),
                "commit": commit(),
                "started": now(),
            },
        )
        self.record.update(status="training", epochs_done=0)

    def _resume(self) -> None:
        path = self.settings.out / "run.json"
        content = read_record(path)
        other = differing(self.settings, content.get("settings", {}))
        if content.get("store", {}).get("checksum") != self.store.checksum:
            other["data"] = (self.store.folder, "a store of other content")
        if other:
            name, (new, old) = next(iter(other.items()))
            raise CheckpointError(
                self.settings.out,
                f"must be resumed with the same settings ({', '.join(other)})",
                f"{name} {new} instead of {old}",
                "run-settings",
                "give the same, or choose another --out",
            )
        tensors, header = read_checkpoint(self.last)
        weights = {
            name.removeprefix("model."): t
            for name, t in tensors.items()
            if name.startswith("model.")
        }
        load_weights(self.model, weights, self.last)
        self.epoch = header["epoch"] + 1
        self.schedule = Schedule(**header["schedule"])
        restore_optimizer(self.optimizer, tensors, self.schedule.rate)
        self.history.cut(self.epoch)
        self.timing.cut(self.epoch)
        if self.context.there:
            self.context.cut(self.epoch)
        self.record = RunRecord(path, content)
        again = {"epoch": self.epoch, "at": now(), "commit": commit()}
        self.record.update(
            status="training",
            settings=self.settings.recorded(),
            resumed=[*content.get("resumed", []), again],
        )

    def _header(self, epoch: int) -> dict:
        return {
            "method": self.settings.method,
            "classes": 1,
            "image_size": self.store.size,
            "epoch": epoch,
            "settings": self.settings.recorded(),
            "store": self.store.checksum,
            "versions": versions(),
        }


def data_name(store: Store) -> str:
    """What tables call the data: the name of the store's folder, also of ``.``."""
    return Path(os.path.abspath(store.folder)).name  # noqa: PTH100 (links stay)


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """Adam's moments and steps under ``optimizer.<parameter>.<name>``."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{i}.{name}": tensor
        for i, moments in state.items()
        for name, tensor in moments.items()
    }


def restore_optimizer(
    optimizer: Optimizer, tensors: dict[str, Tensor], rate: float
) -> None:
    """The inverse of ``optimizer_tensors``, with the rate of the next epoch."""
    (group,) = optimizer.param_groups
    group["lr"] = rate
    for i, parameter in enumerate(group["params"]):
        names = [n for n in tensors if n.startswith(f"optimizer.{i}.")]
        for full_name in names:
            name = full_name.rsplit(".", 1)[1]
            saved = tensors[full_name]
            if saved.shape == parameter.shape:
                # In the parameter's own memory order, which the fused step relies on.
                moment = torch.empty_like(parameter).copy_(saved)
            else:
                moment = saved.to(parameter.device)  # the step count
            optimizer.state[parameter][name] = moment
