"""Training steps of whole networks, ours beside the plain form.

A step is forward, cross entropy, backward and Adam on one slice of 448. Predicted for
two cores: 1.9 to 2.1 times faster with 38 % of the memory; the convolutions are the
machine's own and bound it. `gpu_step.py` takes the same steps on a GPU.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Adam

import mscf
from benchmarks import plain
from benchmarks.racing import figure, measured, peak, peaks, race
from mscf.training.loop import cross_entropy
from mscf.training.passes import Within

SIZE = 448
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def batch(size: int, slices: int = 1, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noise, brighter in a random square that is the target."""
    random = torch.Generator().manual_seed(seed)
    images = torch.randn(slices, 1, size, size, generator=random)
    targets = torch.zeros(slices, 1, size, size)
    side = size // 7  # 2 % of the pixels
    corners = torch.randint(0, size - side, (slices, 2), generator=random).tolist()
    for target, (y, x) in zip(targets, corners, strict=True):
        target[:, y : y + side, x : x + side] = 1
    images = (images + targets).to(DEVICE)
    return images.expand(-1, 3, -1, -1), targets.to(DEVICE)


def network(method: str, is_plain: bool) -> nn.Module:
    """Of one seed; a context's scales are moved away from 0, as training does."""
    torch.manual_seed(0)
    model = mscf.build(method)
    for name, parameter in model.named_parameters():
        if name.endswith(("alpha", "beta")):
            nn.init.constant_(parameter, 0.1)
    form = torch.contiguous_format if is_plain else torch.channels_last
    return model.to(DEVICE, memory_format=form)


SEARCHED = "searched", "graphed", "bf16-compiled"  # bf16, cuDNN tries its algorithms


def computing(kind: str) -> AbstractContextManager:
    """How a forward pass of "plain", "ours" (float32), "bf16" or SEARCHED computes."""
    if kind == "plain":
        return plain.plain_forms()
    bf16 = kind == "bf16" or kind in SEARCHED
    return torch.autocast(DEVICE.type, torch.bfloat16, bf16, cache_enabled=False)


def convolving(kind: str) -> AbstractContextManager:
    """cuDNN, which tries its algorithms for SEARCHED; left unsaid it would be off."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=kind in SEARCHED)


def step(form: str, size: int, slices: int = 1, seeds: int = 1) -> Callable[[], Tensor]:
    """One training step of a kind and a method, such as ``bf16 mscf``; gives the loss.

    Its batches are those of ``seeds`` seeds in turns.
    """
    kind, method = form.split()
    model = network(method, kind == "plain").train()
    batches = [batch(size, slices, seed) for seed in range(seeds)]
    if kind == "plain":
        batches = [(images.contiguous(), targets) for images, targets in batches]
        optimizer = plain.plain_adam(model)
    else:
        optimizer = Adam(model.parameters(), 2e-4, fused=True)
    passes = Within(model, partial(computing, kind))  # as in training
    if kind == "bf16-compiled":
        passes = torch.compile(passes)
    elif kind == "graphed":
        sample = batches[0][0].contiguous()
        with convolving(kind):
            passes = torch.cuda.make_graphed_callables(passes, (sample,))
    turns = itertools.cycle(batches)

    def once() -> Tensor:
        images, targets = next(turns)
        with convolving(kind):
            outputs = passes(images)
            loss = cross_entropy(outputs, targets)
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return once


def loss_difference(size: int, slices: int, steps: int) -> list[dict]:
    """How far the losses of bf16 and float32 lie apart over some steps."""
    losses = {}
    for kind in ("ours", "bf16"):
        once = step(f"{kind} mscf", size, slices, seeds=16)
        losses[kind] = torch.stack([once() for _ in range(steps)]).cpu()
    apart = (losses["bf16"] - losses["ours"]).abs() / losses["ours"]
    what = f"MSCF's loss over {steps} steps, {size}, {slices} a step, bf16 and float32"
    kept = {kind: [round(x, 5) for x in values.tolist()]
            for kind, values in losses.items()}  # fmt: skip
    line = measured(f"{what}: mean difference", 100 * float(apart.mean()), "%")
    return [{**line, "largest": 100 * float(apart.max()), "losses": kept}]


def figures(quick: bool) -> list[dict]:
    """Steps, what the blocks add to them, bf16, memory."""
    size, rounds, warm = (192, 1, 0) if quick else (SIZE, 7, 2)
    forms = "plain mscf", "ours mscf", "plain cenet", "ours cenet", "bf16 mscf"
    times = race({form: step(form, size) for form in forms}, rounds, warm)
    what = f"training step, {size}, one slice"
    found = [
        figure(f"MSCF {what}", times, ("plain mscf", "ours mscf"), wanted=2.0),
        figure(f"CE-Net {what}", times, ("plain cenet", "ours cenet")),
        figure(f"{what}: MSCF over CE-Net", times, ("ours mscf", "ours cenet")),
        figure(f"MSCF {what}, bf16", times, ("bf16 mscf", "ours mscf")),
    ]
    added = {
        f"added, {kind}": [
            a - b
            for a, b in zip(times[f"{kind} mscf"], times[f"{kind} cenet"], strict=True)
        ]
        for kind in ("plain", "ours")
    }
    what_added = f"what the blocks add to CE-Net's {what}"
    pair = "added, ours", "added, plain"
    found.append(figure(what_added, added, pair, wanted=0.5, at_most=True))

    kept = forms[:2] if quick else forms  # a process each; the lines need these two
    grown, whole = {}, {}
    for form in kept:
        grown[form], whole[form] = peaks("benchmarks.step", *form.split(), size)
    what = f"peak memory of MSCF's training step, {size}, ours over plain"
    for name, mib in (("what three steps add", grown), ("whole process", whole)):
        share = mib["ours mscf"] / mib["plain mscf"]
        line = measured(f"{what}: {name}", share, "", 0.4, at_most=True, mib=mib)
        found.append(line)
    some = (192, 1, 3) if quick else (224, 2, 200)
    return found + loss_difference(*some)


def main() -> None:
    """Kilobytes that three steps of one form add to the peak, and the whole peak."""
    kind, method, size = sys.argv[1:]
    before = peak()
    once = step(f"{kind} {method}", int(size))
    for _ in range(3):
        once()
    print(peak() - before, peak())


if __name__ == "__main__":
    main()
