"""Where a step goes, part by part, and how near each part is to the machine's limit.

Every part of MSCF is taken out of the network with the input that it gets there, and
raced against a float32 matrix product: its rate over the product's is how much of the
machine it uses. Predicted: 60 to 80 % for convolutions forward, 50 % backward, 30 to
40 % for attention, whose exponentials are no multiply-accumulates.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.racing import race, spread
from benchmarks.step import SIZE, batch, network
from mscf.models.cost import of_call
from mscf.models.tiled_attention import product

PARTS = {
    "encoder, stem": ("encoder.stem",),
    "encoder, 64 channels": ("encoder.stage1",),
    "encoder, 128 channels": ("encoder.stage2",),
    "encoder, 256 channels": ("encoder.stage3",),
    "encoder, 512 channels": ("encoder.stage4",),
    "multi-kernel context": ("multi_kernel",),
    "spatial context, 64 channels": ("contexts.0.spatial",),
    "spatial context, 128 channels": ("contexts.1.spatial",),
    "spatial context, 256 channels": ("contexts.2.spatial",),
    "channel contexts": tuple(f"contexts.{i}.channel" for i in range(3)),
    "decoder, four blocks": tuple(f"decoder.block{i}" for i in range(1, 5)),
    "decoder, head": ("decoder.head",),
}
N = 2048  # of the matrix product beside them
COPIED = 64 * 2**20  # float32 numbers, 256 MiB: far more than any cache holds


class Part:
    """Some modules of a network, with what each is given there."""

    def __init__(self, network: nn.Module, names: tuple[str, ...]) -> None:
        self.modules = [network.get_submodule(name) for name in names]
        self.given: dict[nn.Module, Tensor] = {}
        self.multiply_accumulates, self.bytes = 0, 0

    def watch(self) -> None:
        """Keeps the inputs of the next forward pass, and counts its work."""
        for module in self.modules:
            module.register_forward_hook(self.keep)
            for layer in module.modules():
                layer.register_forward_hook(self.count)

    def keep(self, module: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        """The input; what must at least be moved are input, output and weights."""
        self.given[module] = given[0].detach().clone()
        moved = [given[0], made, *module.parameters()]
        self.bytes += sum(x.numel() * x.element_size() for x in moved)

    def count(self, layer: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        """Multiply-accumulates of one layer."""
        self.multiply_accumulates += of_call(layer, given[0], made)

    @torch.no_grad()
    def forward(self) -> None:
        """The parts alone."""
        for module, x in self.given.items():
            module(x.clone())  # some begin by working in place

    def both(self) -> None:
        """Forward and backward, down to the input."""
        for module, x in self.given.items():
            made = module(x.clone().requires_grad_().clone())
            made.backward(torch.ones_like(made))


def taken_apart(size: int) -> dict[str, Part]:
    """The parts of MSCF in training mode, each with its input for one slice."""
    model = network("mscf", is_plain=False).train()
    parts = {name: Part(model, names) for name, names in PARTS.items()}
    for part in parts.values():
        part.watch()
    with torch.no_grad():
        model(batch(size)[0])
    for module in model.modules():
        module._forward_hooks.clear()
    return parts


def figures(quick: bool) -> list[dict]:
    """A line a part: work, seconds forward and both ways, shares of the matrix rate."""
    size, rounds, warm, n = (192, 1, 0, 256) if quick else (SIZE, 7, 2, N)
    parts = taken_apart(size)
    a = torch.randn(n, n)
    multiplied = partial(product, a, a)
    forms: dict[str, Callable[[], object]] = {"matrix product": multiplied}
    source = torch.ones(COPIED // (64 if quick else 1))
    target = torch.empty_like(source)
    forms["copy"] = partial(target.copy_, source)
    for name, part in parts.items():
        forms[f"{name}, forward"] = part.forward
        forms[f"{name}, both"] = part.both
    times = race(forms, rounds, warm)
    peak = [n**3 / t for t in times["matrix product"]]  # multiply-accumulates a second
    found = []
    for name, part in parts.items():
        line = {
            "what": f"MSCF, {size}, one slice: {name}",
            "value": part.multiply_accumulates / 1e9,
            "unit": "GMAC forward",
            "wanted": None,
            "megabytes": part.bytes / 1e6,
        }
        for way, work in (("forward", 1), ("both", 3)):
            seconds = times[f"{name}, {way}"]
            rates = [work * part.multiply_accumulates / t for t in seconds]
            shares = [rate / best for rate, best in zip(rates, peak, strict=True)]
            line[way] = {"seconds": spread(seconds), "of the product": spread(shares)}
        found.append(line)
    rate = spread([2 * r / 1e9 for r in peak])
    moved = spread(8 * len(source) / t / 1e9 for t in times["copy"])
    return [
        *found,
        {
            "what": f"float32 product of {n} x {n}", "value": rate["median"],
            "unit": "GFLOP/s", "wanted": None, "rate": rate,
        },
        {
            "what": "copy of memory, read and written", "value": moved["median"],
            "unit": "GB/s", "wanted": None, "rate": moved,
        },
    ]  # fmt: skip
