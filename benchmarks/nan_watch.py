"""What does it cost to look at every step for numbers that are not finite?

``python benchmarks/nan_watch.py`` makes steps of mscf at 192 x 192, two slices each, in
turns with the watch (the norms of all gradients, the vector of facts and its reading)
and without, on one thread, and prints both medians and their ratio. The watch alone is
timed as well: it is far below what a step's time varies by.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch.optim import Adam

import mscf
from mscf.data.dataset import SliceDataset, Step
from mscf.data.phantom import make_phantoms
from mscf.data.store import prepare
from mscf.training.distributed import Ranks
from mscf.training.finite import BAD, Watch, gradient_norms
from mscf.training.loop import cross_entropy, precision
from mscf.training.settings import TrainSettings
from mscf.training.state import RunState

SIZE, SLICES = 192, 2


def main() -> None:
    """Prints medians and spread."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--precision", default="float32", help="or bf16")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        cases = make_phantoms(Path(folder, "cases"), 2, seed=0)
        store = prepare(cases, Path(folder, "store"), size=SIZE)
        settings = TrainSettings(
            data=store.folder, out=folder, gpus=0, precision=options.precision
        )
        report(*timed(settings.resolved(), SliceDataset(store, [0, 1]), options.turns))


def timed(
    settings: TrainSettings, slices: SliceDataset, turns: int
) -> tuple[list[float], list[float], list[float]]:
    """Seconds of steps with the watch and without it, and of the watch alone."""
    torch.manual_seed(0)
    model = mscf.build("mscf").to(memory_format=torch.channels_last)
    optimizer = Adam(model.parameters(), settings.learning_rate, fused=True)
    state = RunState(settings, slices.store, model, optimizer, Ranks())
    watch = Watch(state, slices)
    images = torch.randn(SLICES, 3, SIZE, SIZE)
    targets = (torch.rand(SLICES, 1, SIZE, SIZE) < 0.02).float()
    alone = []

    def look(loss: torch.Tensor) -> torch.Tensor:
        norms = gradient_norms(model)
        facts = watch.facts(loss, norms, stop=False)
        watch.look(Step(0, SLICES, {0: [0, 1]}), loss, norms, facts)
        return facts

    def step(watched: bool) -> None:
        with precision(settings):
            outputs = model(images)
        loss = cross_entropy(outputs, targets)
        loss.backward()
        if watched:
            begin = time.perf_counter()
            optimizer.found_inf = look(loss.detach())[BAD:].sum().clamp(max=1)
            alone.append(time.perf_counter() - begin)
        optimizer.step()
        optimizer.zero_grad()
        optimizer.found_inf = None

    step(watched=True)  # the first steps make moments and plans
    step(watched=False)
    alone.clear()
    pairs = [(seconds(step, True), seconds(step, False)) for _ in range(turns)]
    having, lacking = map(list, zip(*pairs, strict=True))
    return having, lacking, alone


def seconds(function: Callable, *arguments: object) -> float:
    """Wall seconds of one call."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def report(having: list[float], lacking: list[float], alone: list[float]) -> None:
    """Medians, and ratios of neighbours in time."""
    ratios = [a / b for a, b in zip(having, lacking, strict=True)]
    print(f"a step with the watch: {spread(having)}, without: {spread(lacking)}")
    print(
        f"with over without: {statistics.median(ratios):.3f} "
        f"({min(ratios):.3f} to {max(ratios):.3f})"
    )
    share = statistics.median(alone) / statistics.median(lacking)
    print(f"the watch alone: {spread(alone)}, {100 * share:.2f} % of a step")


def spread(times: list[float]) -> str:
    """Median and range in milliseconds."""
    low, middle, high = (1000 * f(times) for f in (min, statistics.median, max))
    return f"{middle:.1f} ms ({low:.1f} to {high:.1f})"


if __name__ == "__main__":
    main()
