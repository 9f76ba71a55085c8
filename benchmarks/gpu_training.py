"""A GPU: what stands around a step: compiling it, bf16 over many, whole training.

Predicted for an H100 and 16 cores: compiled, 1.3 times faster after a minute or two of
compiling; losses of bf16 and float32 within 1 % over 200 steps. Whole training alone:
100 slices a second kernel by kernel (seen so in a run of the excerpt), 400 captured.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from benchmarks.gpu_step import BATCH, SLICES
from benchmarks.racing import figure, measured, race, seconds, spread
from benchmarks.step import DEVICE, SIZE, loss_difference, step
from mscf.data.phantom import make_phantoms
from mscf.data.store import prepare
from mscf.training.loop import train
from mscf.training.settings import TrainSettings


def compiled(size: int) -> list[dict]:
    """What torch.compile gains, and how long the first step takes with it."""
    names = "searched mscf", "bf16-compiled mscf"
    forms = {name: step(name, size, BATCH) for name in names}
    first = seconds(forms["bf16-compiled mscf"])
    times = race(forms, 9, warm=3)
    what = f"MSCF training step, {size}, {BATCH} slices"
    return [
        figure(f"{what}, compiled", times, names),
        measured(f"{what}, compiled: the first one", first, "seconds"),
    ]


def trained(size: int, batch: int, patients: int, epochs: int) -> Iterator[dict]:
    """Slices a second of whole `mscf train`, loading and watching included, alone."""
    with tempfile.TemporaryDirectory() as folder:
        cases = make_phantoms(
            Path(folder, "cases"), patients, seed=0, lesions="large", processes=1
        )
        prepare(cases, Path(folder, "store"), size=size, processes=1)
        for graph in (False, True) if DEVICE.type == "cuda" else (False,):
            settings = TrainSettings(
                data=Path(folder, "store"), out=Path(folder, f"run-{graph}"),
                epochs=epochs, batch_size=batch, pretrained=False, cuda_graph=graph,
            )  # fmt: skip
            timing = pd.read_csv(train(settings).folder / "timing.csv")
            rates = spread(timing["slices_per_second"][1:])  # the first epoch starts up
            how = "mscf train --cuda-graph" if graph else "mscf train"
            what = f"{how}, {size}, {batch} slices, alone"
            hours = SLICES / rates["median"] / 3600
            recipe = f"{what}: the paper's recipe, {SLICES:,} slices"
            yield measured(what, rates["median"], "slices a second", rate=rates)
            yield measured(recipe, hours, "hours")


def figures(quick: bool) -> Iterator[dict]:
    """Bf16 over many steps, whole training, compiling: the longest last."""
    if quick:  # the losses' difference is `step`'s too
        yield from trained(192, 2, 2, 2)
        return
    yield from loss_difference(SIZE, BATCH, 200)
    yield from trained(SIZE, BATCH, 12, 4)
    yield from compiled(SIZE)
