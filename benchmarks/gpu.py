"""A GPU: training steps of eight slices of 448, attention, memory, hours, the loader.

    python -m benchmarks gpu        under ten minutes, on one GPU, nothing else on it

Plain is float32 with the map in memory, in NCHW; its convolutions may use TF32, as
torch lets them by itself. Predicted for an H100: 100 ms plain and 25 ms ours a step, so
4 times, 5 where compiled; attention with keys filled up to 64 at 4 to 5 ms of it, so
that no kernel of our own pays; loading 16 times what one core gives.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

import mscf
from benchmarks import plain
from benchmarks.attention import both, padded
from benchmarks.racing import figure, measured, race, spread
from benchmarks.step import DEVICE, SIZE, loss_difference, step
from mscf.data.dataset import SliceDataset, begin, make_loader
from mscf.data.phantom import make_phantoms
from mscf.data.processes import cores
from mscf.data.store import prepare
from mscf.models.context import attend
from mscf.models.cost import multiply_accumulates

BATCH = 8  # the paper's
SLICES = 400 * 5752  # of the paper's full recipe: epochs x four fifths of 7190
SCALES = ((64, 112), (128, 56), (256, 28))  # channels and side of the three skips
STEPS = (
    "plain mscf", "ours mscf", "bf16 mscf", "searched mscf", "graphed mscf",
    "compiled mscf", "plain cenet", "searched cenet",
)  # fmt: skip


def by(backend: SDPBackend, form: Callable) -> Callable:
    """A form of attention by one of torch's kernels and no other."""

    def attention(*tensors: Tensor) -> Tensor:
        with sdpa_kernel(backend):
            return form(*tensors)

    return attention


def unpadded(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Torch's fused attention with widths as they are; few kernels take that."""
    heads = (x[:, None] for x in (query, key, value))
    return F.scaled_dot_product_attention(*heads, scale=1.0)[:, 0]


def flexible() -> Callable:
    """Flex attention, which compiles itself; it takes a width of 16 at least."""
    from torch.nn.attention.flex_attention import flex_attention

    compiled = torch.compile(flex_attention, dynamic=False)

    def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        more = max(0, 16 - query.shape[-1])
        query, key = (F.pad(x, (0, more)) for x in (query, key))
        heads = (x[:, None].contiguous() for x in (query, key, value))
        return compiled(*heads, scale=1.0)[:, 0]

    return attention


def attention_forms() -> dict[str, Callable]:
    """All forms of the spatial context's products that are raced in bf16."""
    return {
        "plain": plain.attend,
        "ours": attend,
        "padded, flash": by(SDPBackend.FLASH_ATTENTION, padded),
        "padded, cuDNN": by(SDPBackend.CUDNN_ATTENTION, padded),
        "unpadded, memory-efficient": by(SDPBackend.EFFICIENT_ATTENTION, unpadded),
        "flex": flexible(),
    }


def that_run(forms: dict[str, Callable], run: Callable) -> tuple[dict, dict]:
    """The forms that this machine takes, and why it refuses the others."""
    taken, refused = {}, {}
    for name, form in forms.items():
        try:
            run(form)
            taken[name] = form
        except Exception as error:  # noqa: BLE001 (torch refuses in many ways)
            refused[name] = str(error).strip().splitlines()[0][:200]
    return taken, refused


def attention(rounds: int, batch: int, scales: tuple) -> list[dict]:
    """The three scales, forward and backward, in bf16."""
    found = []
    for channels, side in scales:
        random = torch.Generator(DEVICE).manual_seed(0)
        shape = batch, side * side
        tensors = [
            torch.randn(*shape, n, generator=random, device=DEVICE).bfloat16()
            for n in (channels // 8, channels // 8, channels)
        ]
        forms, refused = that_run(
            attention_forms(), lambda form, given=tensors: both(form, given)
        )
        runs = {name: partial(both, form, tensors) for name, form in forms.items()}
        times = race(runs, rounds, warm=2)
        what = f"attention in bf16, {batch} x {channels} x {side} x {side}, both ways"
        found += [
            {**figure(what, times, (name, "ours")), "refused": refused}
            for name in forms
            if name != "ours"
        ]
    return found


def steps(rounds: int, size: int, names: tuple[str, ...]) -> list[dict]:
    """Whole training steps, their memory, share of the matrix rate, hours."""
    memory = {name: step_memory(name, size) for name in names if "graphed" not in name}
    forms: dict[str, Callable] = {name: step(name, size, BATCH) for name in names}
    n = 8192 if DEVICE.type == "cuda" else 256
    a = torch.randn(n, n, device=DEVICE, dtype=torch.bfloat16)
    forms["bf16 product"] = partial(torch.mm, a, a)
    times = race(forms, rounds, warm=3)
    what = f"training step, {size}, {BATCH} slices"
    ours = [name for name in names if name.endswith("mscf") and name != "plain mscf"]
    best = min(ours, key=lambda name: statistics.median(times[name]))
    found = [figure(f"MSCF {what}, the fastest", times, ("plain mscf", best), 5)]
    found += [figure(f"MSCF {what}", times, ("plain mscf", name)) for name in ours]
    found.append(figure(f"{what}, CE-Net", times, ("plain cenet", "searched cenet")))
    least = min(memory[name] for name in ours if "graphed" not in name)
    share = least / memory["plain mscf"] if memory["plain mscf"] else 0.0
    line = measured(
        f"peak memory of MSCF's {what}, ours over plain", share, "", 0.25,
        at_most=True, mib=memory,
    )  # fmt: skip
    found.append(line)
    work = 3 * BATCH * multiply_accumulates(mscf.build("mscf"), size, size)
    pairs = zip(times[best], times["bf16 product"], strict=True)
    part = spread((work / t) / (n**3 / product) for t, product in pairs)
    product = spread(2 * n**3 / t / 1e12 for t in times["bf16 product"])
    rate = spread(BATCH / t for t in times[best])
    found += [
        measured(f"product of {n} x {n} in bf16", product["median"], "TFLOP/s"),
        measured(
            f"MSCF {what}: share of the bf16 matrix rate", part["median"], "",
            share=part,
        ),
        measured(
            f"MSCF {what}: training", rate["median"], "slices a second", of=best,
            rate=rate,
        ),
        measured(
            f"the paper's recipe, {SLICES:,} slices, at that speed",
            SLICES / rate["median"] / 3600, "hours", 2, at_most=True,
        ),
    ]  # fmt: skip
    return found


def step_memory(name: str, size: int) -> float:
    """MiB that three steps of one form take on the GPU, weights and all."""
    if DEVICE.type != "cuda":
        return 0.0
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    once = step(name, size, BATCH)
    for _ in range(3):
        once()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def inference(rounds: int, size: int) -> list[dict]:
    """Logits of eight slices."""
    from benchmarks.inference import inference as form

    names = "plain mscf", "bf16 mscf", "plain cenet", "bf16 cenet"
    times = race({name: form(name, size, BATCH) for name in names}, rounds, warm=3)
    what = f"inference, {size}, {BATCH} slices"
    return [
        figure(f"MSCF {what}", times, names[:2]),
        figure(f"CE-Net {what}", times, names[2:]),
    ]


def loading(size: int, batches: int) -> list[dict]:
    """Slices a second of the loader with a worker a core, as training reads them."""
    workers = min(16, cores())
    with tempfile.TemporaryDirectory() as folder:
        cases = make_phantoms(Path(folder, "cases"), 2, seed=0, size=128)
        store = prepare(cases, Path(folder, "store"), size=size)
        rows = list(range(len(store.index))) * (1 + batches // 4)
        slices = SliceDataset(store, rows[: batches * BATCH], augment=True)
        loader = make_loader(slices, BATCH, shuffle=True, workers=workers)
        loaded = begin(loader)
        for _ in range(batches // 4):  # the workers import first
            next(loaded)
        start = time.perf_counter()
        n = sum(len(images) for images, _ in loaded)
        rate = n / (time.perf_counter() - start)
    what = f"loading with augmentation, {size}, {workers} workers"
    return [measured(what, rate, "slices a second", workers=workers)]


def figures(quick: bool) -> list[dict]:
    """Everything, in order of weight: what comes last may be cut off."""
    size, rounds = (192, 1) if quick else (SIZE, 9)
    names = ("plain mscf", "bf16 mscf", "plain cenet", "searched cenet")
    scales = ((64, 16),) if quick else SCALES
    parts = (
        partial(steps, rounds, size, names if quick else STEPS),
        partial(attention, rounds, 2 if quick else BATCH, scales),
        partial(inference, rounds, size),
        partial(loading, size, 4 if quick else 200),
        partial(loss_difference, size, BATCH, 2 if quick else 200),
    )
    found = []
    for part in parts:
        begun = time.perf_counter()
        found += part()
        took = f"{part.func.__name__}: {time.perf_counter() - begun:.0f} s"
        print(took, file=sys.stderr, flush=True)
    return found
