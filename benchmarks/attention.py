"""The spatial context alone: time and memory, ours beside the map in full.

Predicted: about 2.5 times faster with a memory of 1/49, as was seen in a spike; 5 times
would be the most (all products at the machine's matrix rate, two passes of exp).
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import plain
from benchmarks.racing import figure, measured, peak, peaks, race
from mscf.models.attention import attend

CHANNELS, WIDTH, SIDE = 64, 8, 112  # of the first skip of a slice of 448


def padded(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Torch's fused attention, query and key filled up with zeros."""
    query, key = (F.pad(x, (0, value.shape[-1] - x.shape[-1])) for x in (query, key))
    heads = (x[:, None] for x in (query, key, value))
    return F.scaled_dot_product_attention(*heads, scale=1.0)[:, 0]


FORMS = {"plain": plain.attend, "fused, zero-padded": padded, "ours": attend}
SIDES = {  # whose memory is told; beyond them a map of 9.4 GiB and more, or minutes
    "plain": (56, 112),
    "fused, zero-padded": (56, 112, 224),
    "ours": (56, 112, 224, 448),
}
QUICK_SIDES = {"plain": (28,), "ours": (14, 28)}


def inputs(side: int, batch: int = 1) -> list[Tensor]:
    """Query, key and value of a map of ``side``, spread as those of a network."""
    random = torch.Generator().manual_seed(0)
    shape = batch, side * side
    made = [torch.randn(*shape, n, generator=random) for n in (WIDTH, WIDTH, CHANNELS)]
    return [made[0].relu(), made[1].relu(), made[2]]


def forward(form: Callable, tensors: list[Tensor]) -> None:
    """Forward alone."""
    with torch.no_grad():
        form(*tensors)


def both(form: Callable, tensors: list[Tensor]) -> None:
    """Forward and backward."""
    tensors = [x.detach().requires_grad_() for x in tensors]
    form(*tensors).sum().backward()


def figures(quick: bool) -> list[dict]:
    """Time at 112, its parts, and memory against the side."""
    side, rounds, sides = (28, 2, QUICK_SIDES) if quick else (SIDE, 7, SIDES)
    what = f"spatial context, {CHANNELS} x {side} x {side}"
    tensors = inputs(side)
    found = []
    for name, run, wanted in (
        ("forward and backward", both, 2.2),
        ("forward", forward, None),
    ):
        times = race({k: partial(run, f, tensors) for k, f in FORMS.items()}, rounds)
        label = f"{what}, {name}"
        found.append(figure(label, times, ("plain", "ours"), wanted))
        found.append(figure(label, times, ("fused, zero-padded", "ours")))
    memory = {
        name: {n: peaks("benchmarks.attention", name, n)[0] for n in of_form}
        for name, of_form in sides.items()
    }
    gain = memory["plain"][side] / memory["ours"][side]
    what += ", forward and backward: extra memory, plain over ours"
    found.append(measured(what, gain, "times", wanted=40, mib=memory))
    ours = list(memory["ours"].values())
    growth = max(b / a for a, b in itertools.pairwise(ours))
    what = "memory of the spatial context, the largest growth by a doubling of the side"
    found.append(measured(what, growth, "times", wanted=4.2, at_most=True))
    return found


def main() -> None:
    """Kilobytes that one form adds to its process's peak, and the whole peak."""
    name, side = sys.argv[1], int(sys.argv[2])
    both(FORMS[name], inputs(4))  # what loads itself at the first call
    before = peak()
    both(FORMS[name], inputs(side))
    print(peak() - before, peak())


if __name__ == "__main__":
    main()
