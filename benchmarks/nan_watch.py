"""What looking at every step for numbers that are not finite costs.

Steps of mscf at 192 x 192, two slices each, in turns with the watch (the norms of all
gradients, the vector of totals and its reading) and without, on one thread. The watch
alone is timed as well: it is far below what a step's time varies by. Predicted: below
1 % of a step.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
from torch.optim import Adam

import mscf
from benchmarks.loader import phantom_store
from benchmarks.racing import figure, measured, race
from mscf.data.dataset import SliceDataset, Step
from mscf.training.distributed import Ranks
from mscf.training.finite import BAD, Watch, gradient_norms
from mscf.training.loop import cross_entropy
from mscf.training.passes import precision
from mscf.training.settings import TrainSettings
from mscf.training.silence import drawn_pixels
from mscf.training.state import RunState

SIZE, SLICES = 192, 2
THREADS = 1


def figures(quick: bool) -> list[dict]:
    """Ratio of the steps, and the share of the watch, in both precisions."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        store = phantom_store(Path(folder), SIZE)
        for precision_name in ("float32", "bf16"):
            settings = TrainSettings(
                data=store.folder, out=folder, gpus=0, precision=precision_name
            )
            slices = SliceDataset(store, [0, 1])
            times, alone = timed(settings.resolved(), slices, 1 if quick else 20)
            what = f"the watch over numbers, {SIZE}, two slices, {precision_name}"
            found.append(figure(what, times, ("with", "without")))
            share = statistics.median(alone) / statistics.median(times["without"])
            found.append(measured(f"{what}: alone, of a step", 100 * share, "%"))
    return found


def timed(
    settings: TrainSettings, slices: SliceDataset, rounds: int
) -> tuple[dict[str, list[float]], list[float]]:
    """Seconds of steps with the watch and without it, and of the watch alone."""
    torch.manual_seed(0)
    model = mscf.build("mscf").to(memory_format=torch.channels_last)
    optimizer = Adam(model.parameters(), settings.learning_rate, fused=True)
    state = RunState(settings, slices.store, model, optimizer, Ranks())
    watch = Watch(state, slices)
    images = torch.randn(SLICES, 3, SIZE, SIZE)
    targets = (torch.rand(SLICES, 1, SIZE, SIZE) < 0.02).float()
    alone = []

    def look(loss: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
        norms = gradient_norms(model)
        totals = watch.totals(loss, drawn, norms, stop=False)
        watch.look(Step(0, SLICES, {0: [0, 1]}), loss, norms, totals)
        return totals

    def step(watched: bool) -> None:
        with precision(settings):
            outputs = model(images)
        loss = cross_entropy(outputs, targets)
        loss.backward()
        if watched:
            begin = time.perf_counter()
            totals = look(loss.detach(), drawn_pixels(outputs))
            optimizer.found_inf = totals[BAD:].sum().clamp(max=1)
            alone.append(time.perf_counter() - begin)
        optimizer.step()
        optimizer.zero_grad()
        optimizer.found_inf = None

    forms = {"with": partial(step, True), "without": partial(step, False)}
    times = race(forms, rounds)  # the first round makes moments and plans
    return times, alone[1:]
