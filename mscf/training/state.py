"""The state of a run on disk: what is written when, and how a run goes on again.

At an epoch's end, in this order: the history's row, the best weights if they improved,
the whole state. In between, when a stop was asked for or some minutes have passed, the
whole state alone. A run killed at any moment goes on from the last whole state; rows
behind it are cut off. Random numbers are functions of where the run is, so nothing
else has to be remembered, and a resumed run ends with the same bytes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Self

from torch import nn
from torch.optim import Optimizer

from mscf.checkpoint import read_checkpoint, write_checkpoint
from mscf.data.splits import make_split, split_checksum, write_split
from mscf.data.store import Store
from mscf.errors import CheckpointError, Finding, Stopped
from mscf.training.best_weights import BestWeights
from mscf.training.distributed import Ranks
from mscf.training.history import HISTORY, TIMING, GrowingTable
from mscf.training.log import RunLog
from mscf.training.resume_checks import (
    check_exact,
    check_header,
    check_nothing_is_lost,
    check_same,
)
from mscf.training.run_folder import (
    RunRecord,
    exactly,
    first_record,
    read_record,
    sitting,
    versions,
)
from mscf.training.schedule import Schedule
from mscf.training.settings import TrainSettings
from mscf.training.snapshot import Position, restore, snapshot
from mscf.training.start import start_findings
from mscf.training.watch import CONTEXT, has_context

SEEN_AFTER = 60.0  # seconds; a shared file system may be that late
SAVE_EVERY = 600.0  # seconds; an epoch on a CPU takes hours


class RunState:
    """Where a run stands: position, schedule, tables, record, checkpoints.

    Every process of a run has one and reads; the first one alone writes.
    """

    def __init__(
        self,
        settings: TrainSettings,
        store: Store,
        model: nn.Module,
        optimizer: Optimizer,
        ranks: Ranks,
    ) -> None:
        self.settings, self.store, self.ranks = settings, store, ranks
        self.model, self.optimizer = model, optimizer
        self.split = make_split(store.index, settings.split, settings.seed)
        self.position = Position()
        self.schedule = Schedule(settings.learning_rate, settings.schedule)
        self.epoch_seconds = 0.0  # of the epoch before
        self.silent_steps = 0  # since a pixel was last drawn
        out = settings.out
        self.log = RunLog(out / "log.txt", speaks=ranks.first)
        self.tables = [
            GrowingTable(out / "history.csv", HISTORY),
            GrowingTable(out / "timing.csv", TIMING),
        ]
        if has_context(model):
            self.tables.append(GrowingTable(out / "context.csv", CONTEXT))
        self.last_file, self.best = out / "last.ckpt", BestWeights(out / "best.ckpt")
        self._clock = self._saved = time.monotonic()

    @classmethod
    def open(
        cls,
        settings: TrainSettings,
        store: Store,
        model: nn.Module,
        optimizer: Optimizer,
        ranks: Ranks,
    ) -> Self:
        """A new run in an empty folder, or with ``resume`` the one that lies there.

        Raises:
            CheckpointError: the folder holds a run that was not to be resumed, or one
                of other settings or data, or a damaged one, or what is left of one.
                Nothing has changed.
        """
        state = cls(settings, store, model, optimizer, ranks)
        there = state.last_file.exists()
        if there and not settings.resume:
            raise CheckpointError(
                settings.out, "must be a new folder", "a run", "run-exists",
                "add --resume to go on with it, or choose another --out",
            )  # fmt: skip
        if there:
            state._resume()
        else:
            check_nothing_is_lost(settings.out, state.best.path)
            if ranks.first:
                state._begin()
        ranks.wait()  # nobody begins while the first one still cuts a table
        state._agree()
        state._clock = state._saved = time.monotonic()
        return state

    @property
    def identity(self) -> dict[str, str | int]:
        """What every row of this run's tables is signed with."""
        settings = self.settings
        return {
            "data": self.store.name,
            "split": settings.split,
            "fold": settings.fold,
            "method": settings.method,
            "seed": settings.seed,
        }

    @property
    def ended(self) -> bool:
        """Whether there is no further epoch."""
        done = self.position.epoch >= self.settings.epochs
        return done or self.schedule.end is not None

    @property
    def save_is_due(self) -> bool:
        """Whether so much time has passed that it would be a pity."""
        return time.monotonic() - self._saved > SAVE_EVERY

    def save_epoch(self, facts: Mapping[str, float]) -> None:
        """Records a finished epoch; the order of writing is the module's promise.

        ``facts`` are those of ``watch.context_facts``, where there is a context.
        """
        epoch, loss, rate = self.position.epoch, self.position.loss, self.schedule.rate
        seconds = self.epoch_seconds = self._seconds()
        self.schedule = self.schedule.after(loss)
        if self.ranks.first:
            speed = round(self.position.slices / seconds, 2)
            for table, row in zip(
                self.tables,
                (
                    (epoch, loss, rate),
                    (epoch, round(seconds, 3), speed),
                    (epoch, *(facts.get(name, "") for name in CONTEXT[1:])),
                ),
                strict=False,  # a network without context has no third table
            ):
                table.append(*row)
            if self.schedule.improved:
                self.best.write(self.model, self._signed())
        elif self.schedule.improved:
            self.best.mark = None  # the first one's to know: this one hears no digest
        if self.schedule.back_to_best and not self.schedule.end:
            self.ranks.wait()
            self.best.load(self.model)
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate
        self.position = Position(epoch + 1)
        self._clock = time.monotonic()
        self._write_last()
        self.log.say(
            f"epoch {epoch + 1}/{self.settings.epochs}  loss {loss:.5f}  "
            f"rate {self.schedule.rate:.2g}  {seconds:.1f} s"
        )

    def save_step(self) -> None:
        """Records a position within an epoch, between two steps."""
        self.position = replace(self.position, seconds=self._seconds())
        self._clock = time.monotonic()
        self._write_last()

    def stopped(self, signal: str) -> Stopped:
        """What to raise after a save that a signal asked for."""
        self.ranks.wait()  # else torchrun ends the one that writes
        if self.ranks.first:
            self.record.update(status="stopped")
        return Stopped(
            self.settings.out, "was asked to stop and has saved its state",
            f"{signal or 'another process'} in {self.position}", "stopped",
            "the same command with --resume goes on there",
        )  # fmt: skip

    def load_best(self) -> None:
        """Puts the weights of the lowest training loss into the model.

        Raises:
            CheckpointError: ``best.ckpt`` is damaged, or not the one of this state.
        """
        self.ranks.wait()
        epoch = self.best.load(self.model)
        if self.ranks.first:
            self.record.update(status="evaluating", best_epoch=epoch)

    def finish(self) -> None:
        """Marks the run as whole."""
        done = f"{self.position.epoch} epochs asked for are done"
        self.record.update(status="finished", end=self.schedule.end or done)

    def _agree(self) -> None:
        """All processes must go on from the same, in a folder that all of them see.

        On another machine the folder may be another one, whatever its name.
        """
        if self.ranks.world == 1:
            return
        began = self.ranks.gather(self._began())[0]
        until = time.monotonic() + SEEN_AFTER
        while self._began() != began and time.monotonic() < until:
            time.sleep(0.2)
        self.ranks.agree("folder (--out, shared by all machines)", self._began())
        where = [asdict(self.position), asdict(self.schedule), self.best.mark]
        self.ranks.agree("state to go on from", where)

    def _began(self) -> str | None:
        """When the run in this folder was begun, by its record, if there is one."""
        try:
            return read_record(self.settings.out / "run.json").get("started")
        except CheckpointError:
            return None

    def _seconds(self) -> float:
        return self.position.seconds + time.monotonic() - self._clock

    def _write_last(self) -> None:
        self._saved = time.monotonic()
        if not self.ranks.first:
            return
        state = {  # floats come back from JSON with the same bits
            "position": asdict(self.position),
            "schedule": asdict(self.schedule),
            "best": self.best.mark,
            "tables": {table.path.name: table.mark() for table in self.tables},
        }
        tensors = snapshot(self.model, self.optimizer)
        write_checkpoint(self.last_file, tensors, self._signed() | {"state": state})
        self.record.update(status="training", epochs_done=self.position.epoch)

    def _begin(self) -> None:
        settings = self.settings
        # May read what is removed here.
        findings = start_findings(settings, self.model, split_checksum(self.split))
        self._remove_parts()
        (settings.out / "failure.json").unlink(missing_ok=True)  # of another try
        if self.tables[0].there:
            self.log.warn(
                Finding(
                    str(settings.out),
                    "a run must have saved its state to go on",
                    "none: it ended before its first checkpoint",
                    "run-anew",
                    "it starts anew",
                )
            )
            self.best.path.unlink(missing_ok=True)
        elif settings.resume:
            self.log.say(
                f"{settings.out}: no run there to go on with; a new one begins"
            )
        write_split(self.split, settings.out)
        for table in self.tables:
            table.start()
        for finding in findings:
            self.log.warn(finding)
        self.record = RunRecord(
            settings.out / "run.json", first_record(settings, self.store, self.model)
        )
        self.record.update(status="training", epochs_done=0)

    def _resume(self) -> None:
        path = self.settings.out / "run.json"
        content = read_record(path)
        check_same(self.settings, self.store, content)
        tensors, header = read_checkpoint(self.last_file)
        check_header(self.last_file, header, self._header())
        state = header["state"]
        try:
            position = Position(**state["position"])
            schedule = Schedule(**state["schedule"])
            there = header["settings"] | header["exact"]
            done = schedule.end or position.epoch >= self.settings.epochs
            inexact = check_exact(self.settings, there, bool(done))
            for table in self.tables:
                table.check(state["tables"][table.path.name])
            best = BestWeights(self.best.path, state["best"])
            torn = best.are_torn(position.epoch)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(
                self.last_file, "its record must be one that a run writes", repr(error),
                "checkpoint-state", "take its weights along with --finetune-from",
            ) from error  # fmt: skip
        restore(tensors, self.model, self.optimizer, self.last_file)
        self.position, self.schedule, self.best = position, schedule, best
        if torn:
            # The killed attempt of this epoch gained, and its weights took the place of
            # those before. Where bits are not repeated (a GPU, --allow-inexact) this
            # attempt may gain nothing, but its weights are the best that will be left:
            # so it counts as a gain whatever its loss, which later epochs must beat.
            self.schedule = replace(schedule, best=math.inf)
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate
        if not self.ranks.first:
            return
        self._remove_parts()
        (self.settings.out / "failure.json").unlink(missing_ok=True)  # of another try
        write_split(self.split, self.settings.out)
        for table in self.tables:
            if cut := table.cut(state["tables"][table.path.name]):
                self.log.say(f"{table.path.name}: {cut} bytes behind the state cut off")
        if torn:
            self.log.say("best.ckpt: newer than the state, made again with its epoch")
        self.log.say(f"resumed in {self.position}")
        self.record = RunRecord(path, content)
        again = sitting() | {"epoch": self.position.epoch}
        if inexact:
            self.record.content["inexact"] = [*content.get("inexact", []), *inexact]
        self.record.update(
            status="training",
            settings=self.settings.recorded(),
            resumed=[*content.get("resumed", []), again | {"step": self.position.step}],
        )

    def _signed(self) -> dict:
        """The header of what is written: says which weights the run began with."""
        return self._header() | {"imagenet": self.record.content.get("pretrained")}

    def _remove_parts(self) -> None:
        """What a process that died was writing; the folder's lock is ours."""
        for pattern in (".*.part", ".tmp*"):  # the second is safetensors' own
            for part in self.settings.out.glob(pattern):
                part.unlink()
                self.log.say(f"{part.name}: left half-written, removed")

    def _header(self) -> dict:
        settings = self.settings
        return {
            "method": settings.method,
            "classes": 1,
            "image_size": self.store.size,
            "epoch": self.position.epoch,
            "settings": settings.recorded(),
            "store": self.store.checksum,
            "split": split_checksum(self.split),
            "exact": exactly(settings),
            "versions": versions(),
        }
