"""A GPU: loading for it, training steps, memory, hours, inference; slices of 448.

Plain is float32 with the map in memory, in NCHW; its convolutions may use TF32, as
torch lets them by itself. Predicted for an H100: 100 ms plain and 25 ms ours a step, so
4 times; a fifth of the memory; 1.5 to 2.5 hours for the paper's recipe; above 1,000
slices a second from 16 workers. It takes a few minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch

import mscf
from benchmarks.inference import inference as logits
from benchmarks.loader import with_workers
from benchmarks.racing import figure, measured, race, spread, those_that_run
from benchmarks.step import DEVICE, SIZE, step
from mscf.models.cost import multiply_accumulates

BATCH = 8  # the paper's
SLICES = 400 * 5752  # of the paper's full recipe: epochs x four fifths of 7190
STEPS = (
    "plain mscf", "ours mscf", "bf16 mscf", "searched mscf", "graphed mscf",
    "plain cenet", "searched cenet",
)  # fmt: skip


def steps(
    rounds: int, warm: int, size: int, batch: int, names: tuple[str, ...]
) -> list[dict]:
    """Whole training steps, their memory, share of the matrix rate, hours."""
    memory = {
        name: step_memory(name, size, batch) for name in names if "graphed" not in name
    }
    made = {name: partial(step, name, size, batch) for name in names}
    _, refused = those_that_run(made)  # a graph of the kernels may not be had
    names = tuple(name for name in names if name not in refused)
    forms: dict[str, Callable] = {name: made[name]() for name in names}
    n = 8192 if DEVICE.type == "cuda" else 256
    a = torch.randn(n, n, device=DEVICE, dtype=torch.bfloat16)
    forms["bf16 product"] = partial(torch.mm, a, a)
    times = race(forms, rounds, warm)
    what = f"training step, {size}, {batch} slices"
    ours = [name for name in names if name.endswith("mscf") and name != "plain mscf"]
    trained = "searched mscf" if "searched mscf" in ours else ours[-1]  # `mscf train`
    found = [
        figure(
            f"MSCF {what}", times, ("plain mscf", name), 5 if name == trained else None
        )
        for name in ours
    ]
    found.append(figure(f"{what}, CE-Net", times, ("plain cenet", "searched cenet")))
    share = memory[trained] / memory["plain mscf"] if memory["plain mscf"] else 0.0
    line = measured(
        f"peak memory of MSCF's {what}: {trained} over plain", share, "", 0.25,
        at_most=True, mib=memory, refused=refused,
    )  # fmt: skip
    found.append(line)
    work = 3 * batch * multiply_accumulates(mscf.build("mscf"), size, size)
    product = spread(2 * n**3 / t / 1e12 for t in times["bf16 product"])
    found.append(
        measured(f"product of {n} x {n} in bf16", product["median"], "TFLOP/s")
    )
    for name in (trained, "graphed mscf"):
        if name not in times:
            continue
        said = f"{name}, {what}"
        pairs = zip(times[name], times["bf16 product"], strict=True)
        part = spread((work / t) / (n**3 / product) for t, product in pairs)
        rate = spread(batch / t for t in times[name])
        hours = SLICES / rate["median"] / 3600
        found += [
            measured(f"{said}: share of the bf16 rate", part["median"], "", share=part),
            measured(f"{said}: training", rate["median"], "slices a second", rate=rate),
            measured(
                f"{said}: the paper's recipe, {SLICES:,} slices", hours, "hours",
                2 if name == trained else None, at_most=True,
            ),
        ]  # fmt: skip
    return found


def step_memory(name: str, size: int, batch: int) -> float:
    """MiB that steps of one form take on the GPU, weights and all.

    The first one does not count: in it cuDNN tries its algorithms.
    """
    if DEVICE.type != "cuda":
        return 0.0
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    once = step(name, size, batch)
    once()
    torch.cuda.reset_peak_memory_stats()
    for _ in range(3):
        once()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def inference(rounds: int, warm: int, size: int, batch: int) -> list[dict]:
    """Logits of a batch of slices."""
    names = "plain mscf", "bf16 mscf", "plain cenet", "bf16 cenet"
    times = race({name: logits(name, size, batch) for name in names}, rounds, warm)
    what = f"inference, {size}, {batch} slices"
    return [
        figure(f"MSCF {what}", times, names[:2]),
        figure(f"CE-Net {what}", times, names[2:]),
    ]


def figures(quick: bool) -> Iterator[dict]:
    """Loading, training, inference."""
    size, batch, turns = (192, 1, (1, 0)) if quick else (SIZE, BATCH, (9, 3))
    few = "plain mscf", "bf16 mscf", "plain cenet", "searched cenet"
    yield with_workers(size, batch, 4 if quick else 200)
    yield from steps(*turns, size, batch, few if quick else STEPS)
    yield from inference(*turns, size, batch)
