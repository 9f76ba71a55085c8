"""Each of the ten states of a run is needed: one forgotten, and it is another run.

That a resumed run is equal proves little where a state does not matter: nothing draws
from a generator, a counter is 0 anyway, the best epoch is beaten at once. So this run
is stopped within an epoch where all of them matter, and each is changed in turn.
"""

import os
import random
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from small_run import SmallNetwork, differences, same_run, settings_for
from some import some

from mscf.checkpoint import read_checkpoint, write_checkpoint
from mscf.errors import MscfError, Stopped
from mscf.training import loop, passes, schedule, snapshot, start
from mscf.training.history import HISTORY, GrowingTable
from mscf.training.loop import train

# What the schedule is told, an epoch each, with the true loss in its later digits. The
# rate is halved after two epochs without gain, six of them end the run.
COURSE = [1.0, 0.8, *[0.9] * 10]
CHOSEN = {"epochs": len(COURSE), "learning_rate": 1e-3, "precision": "float32"}
STOP = (5, 1)  # epoch and step: between two cuts, behind the best epoch


class DrawingNetwork(SmallNetwork):
    """Draws from all three generators in a step; its dropout does from torch's."""

    def forward(self, x):
        logits = super().forward(x)
        if self.training:
            logits = logits * (1 + random.random())
            logits = logits + np.random.random()  # noqa: NPY002 (the generator meant)
        return logits


def prepare(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(start, "build", lambda *args, **options: DrawingNetwork())
    patch.setattr(schedule, "PATIENCE", 2)
    patch.setattr(schedule, "STOP_AFTER", 6)
    true_loss = snapshot.Position.loss.fget
    told = property(lambda p: COURSE[p.epoch] + 1e-3 * true_loss(p))
    patch.setattr(snapshot.Position, "loss", told)


@pytest.fixture(autouse=True)
def _prepared(monkeypatch) -> None:
    prepare(monkeypatch)


@pytest.fixture(scope="module")
def runs(tiny_store, tmp_path_factory) -> SimpleNamespace:
    """The run that was never stopped, and the stopped one; do not write here."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        prepare(patch)
        train(settings_for(tiny_store, folder / "whole", **CHOSEN))
        seed = loop.seed_everything

        def seed_and_stop(*place: int) -> None:
            seed(*place)
            if place[1:3] == STOP:
                os.kill(os.getpid(), signal.SIGTERM)

        patch.setattr(loop, "seed_everything", seed_and_stop)
        with pytest.raises(Stopped):
            train(settings_for(tiny_store, folder / "stopped", **CHOSEN))
    return SimpleNamespace(
        store=tiny_store, whole=folder / "whole", stopped=folder / "stopped"
    )


@pytest.fixture
def resumed(runs, tmp_path):
    """The stopped run in a folder of its own, gone on with when called."""
    out = tmp_path / "run"
    shutil.copytree(runs.stopped, out)

    def go_on(**changes) -> Path:
        train(settings_for(runs.store, out, resume=True, **CHOSEN, **changes))
        return out

    return go_on


def test_the_run_is_stopped_where_every_state_matters(runs) -> None:
    history = pd.read_csv(runs.whole / "history.csv")
    _, header = read_checkpoint(runs.stopped / "last.ckpt")
    position, reached = header["state"]["position"], header["state"]["schedule"]
    assert (position["epoch"], position["step"]) == (STOP[0], STOP[1] + 1)
    assert position["slices"] < 12  # of the epoch's
    assert reached["since_best"] > reached["since_cut"] > 0
    rates = history["learning_rate"]
    assert rates[0] > rates[STOP[0]] > rates.iloc[-1]
    assert header["state"]["best"]["epoch"] == history["loss"].idxmin() == 1
    _, end = read_checkpoint(runs.whole / "last.ckpt")
    assert end["state"]["schedule"]["end"] == "no gain in 6 epochs"
    assert len(history) < CHOSEN["epochs"]


@pytest.mark.claim("resume", "a stopped run ends with the same bytes when it goes on")
@pytest.mark.parametrize(
    "workers",
    [0, pytest.param(2, marks=(pytest.mark.check, pytest.mark.timeout(300)))],
)
def test_the_resumed_run_is_the_same_run(workers, runs, resumed, shows) -> None:
    same_run(runs.whole, resumed(workers=workers))
    shows(shown=f"{workers} loading processes")


# The changes, each to the state in the folder or to what the resumed run does.

Change = Callable[[Path, pytest.MonkeyPatch], None]


def tensors(edit: Callable[[dict], None]) -> Change:
    """Edits the tensors of ``last.ckpt``."""

    def change(out: Path, _patch) -> None:
        given, record = read_checkpoint(out / "last.ckpt")
        edit(given)
        write_checkpoint(out / "last.ckpt", given, record)

    return change


def state(*keys: str, value: object) -> Change:
    """Sets one value of the state in ``last.ckpt``."""

    def change(out: Path, _patch) -> None:
        given, record = read_checkpoint(out / "last.ckpt")
        *outer, last = keys
        place = record["state"]
        for key in outer:
            place = place[key]
        assert place[last] != value, "this would change nothing"
        place[last] = value
        write_checkpoint(out / "last.ckpt", given, record)

    return change


def filled(part: str, value: float) -> Change:
    """All tensors of this name at this value, as before a first step."""

    def edit(given: dict) -> None:
        names = [name for name in given if name.endswith(f".{part}")]
        assert names
        for name in names:
            given[name] = torch.full_like(given[name], value)

    return tensors(edit)


def fresh_parameters(given: dict) -> None:
    torch.manual_seed(1)
    for name, parameter in DrawingNetwork().named_parameters():
        given[f"model.{name}"] = parameter.detach()


def no_moments(given: dict) -> None:
    for name in [name for name in given if name.startswith("optimizer.")]:
        del given[name]


def other_seed(part: str) -> Change:
    """Of the order of slices, or of their augmentation, in the resumed run."""

    def change(_out, patch: pytest.MonkeyPatch) -> None:
        make_loader = loop.make_loader

        def make_another(*args, **options):
            loader = make_loader(*args, **options)
            getattr(loader, part).seed += 1
            return loader

        patch.setattr(loop, "make_loader", make_another)

    return change


def unseeded(get: Callable, put: Callable) -> Change:
    """A step leaves this generator in whatever state it is."""

    def change(_out, patch: pytest.MonkeyPatch) -> None:
        seed = loop.seed_everything

        def seed_the_others(*place: int) -> None:
            kept = get()
            seed(*place)
            put(kept)

        patch.setattr(loop, "seed_everything", seed_the_others)

    return change


def bfloat16(_out, patch: pytest.MonkeyPatch) -> None:
    """Behind the settings, which would refuse it."""
    other = partial(torch.autocast, "cpu", torch.bfloat16, cache_enabled=False)
    patch.setattr(passes, "precision", lambda settings: other())


def other_history(change_rows: Callable, mark_too: bool) -> Change:
    """The history with other rows; with ``mark_too`` the state believes in them."""

    def change(out: Path, _patch) -> None:
        path = out / "history.csv"
        rows = path.read_text().splitlines(keepends=True)
        path.write_text("".join(change_rows(rows)))
        if mark_too:
            mark = GrowingTable(path, HISTORY).mark()
            state("tables", "history.csv", value=mark)(out, _patch)

    return change


def all_but_the_last(rows: list[str]) -> list[str]:
    return rows[:-1]


def the_last_twice(rows: list[str]) -> list[str]:
    return [*rows, rows[-1]]


def no_best_file(out: Path, _patch) -> None:
    (out / "best.ckpt").unlink()


CSV, ALL = {"history.csv"}, {"history.csv", "weights", "moments"}
CHANGES: dict[str, tuple[Change, set[str]]] = {  # and what must show it, at least
    "1 parameters, fresh": (tensors(fresh_parameters), ALL),
    "2 running means, fresh": (filled("running_mean", 0), {"weights"}),
    "2 running variances, fresh": (filled("running_var", 1), {"weights"}),
    "2 batches counted, none": (filled("num_batches_tracked", 0), {"weights"}),
    "3 first moments, none": (filled("exp_avg", 0), ALL),
    "3 second moments, none": (filled("exp_avg_sq", 0), ALL),
    "3 Adam's steps, none": (filled("step", 0), ALL),
    "3 all of Adam's state, none": (tensors(no_moments), ALL),
    "4 lowest error, none": (
        state("schedule", "best", value=2.0), {"history.csv", "best weights"},
    ),
    "4 epochs since the best, none": (state("schedule", "since_best", value=0), CSV),
    "4 epochs since the cut, none": (state("schedule", "since_cut", value=0), ALL),
    "4 rate, the first": (state("schedule", "rate", value=1e-3), ALL),
    "5 step, the first": (state("position", "step", value=0), ALL),
    "5 sum of losses, 0": (state("position", "loss_sum", value=0.0), CSV),
    "5 slices seen, none": (state("position", "slices", value=0), CSV),
    "6 order, of another seed": (other_seed("batch_sampler"), ALL),
    "7 augmentation, of another seed": (other_seed("dataset"), ALL),
    "8 Python's generator, not set": (unseeded(random.getstate, random.setstate), ALL),
    "8 NumPy's generator, not set": (
        unseeded(np.random.get_state, np.random.set_state), ALL,
    ),
    "8 torch's generator, not set": (
        unseeded(torch.get_rng_state, torch.set_rng_state), ALL,
    ),
    "9 precision, bfloat16": (bfloat16, ALL),
    "10 best epoch and its digest, none": (state("best", value=None), {"best epoch"}),
    "10 best weights, no file": (no_best_file, {"[checkpoint-missing]"}),
    "10 history, a row short": (
        other_history(all_but_the_last, mark_too=False), {"[history-short]"},
    ),
    "10 history and its digest, a row short": (
        other_history(all_but_the_last, mark_too=True), CSV,
    ),
    "10 history and its digest, a row long": (
        other_history(the_last_twice, mark_too=True), CSV,
    ),
}  # fmt: skip
ONE_OF_EACH = {name.split()[0]: name for name in reversed(CHANGES)}.values()


@pytest.mark.claim(
    "resume", "each of the ten states, forgotten or changed, shows in the result"
)
@pytest.mark.parametrize("name", some(CHANGES, *ONE_OF_EACH))
def test_a_state_that_is_forgotten_or_changed_shows(
    name, runs, resumed, tmp_path, monkeypatch, shows
) -> None:
    change, expected = CHANGES[name]
    change(tmp_path / "run", monkeypatch)
    last = (tmp_path / "run/last.ckpt").read_bytes()
    try:
        found = differences(runs.whole, resumed())
    except MscfError as error:
        found = [f"[{error.finding.check}]"]
        assert (tmp_path / "run/last.ckpt").read_bytes() == last  # before computing
    assert set(found) >= expected
    refused = found[0].startswith("[")
    shows(shown=f"{name}: {'refused ' if refused else 'other '}{', '.join(found)}")
