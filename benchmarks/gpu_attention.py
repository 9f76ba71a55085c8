"""A GPU: the products of the spatial context, all of torch's forms, in bf16.

Predicted for an H100: with query and key filled up to 64, 4 to 5 ms of a training step
of 25, so that no kernel of our own can gain 15 % of it; flex attention, filled up to
16, less than half of that.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks import plain
from benchmarks.attention import both, padded
from benchmarks.racing import figure, race, those_that_run
from benchmarks.step import DEVICE
from mscf.models.attention import attend

SCALES = ((64, 112), (128, 56), (256, 28))  # channels and side of the three skips
BATCH = 8  # the paper's


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


def figures(quick: bool) -> list[dict]:
    """The three scales, forward and backward, in bf16."""
    rounds, batch = (1, 2) if quick else (9, BATCH)
    found = []
    for channels, side in ((64, 16),) if quick else SCALES:
        random = torch.Generator(DEVICE).manual_seed(0)
        shape = batch, side * side
        tensors = [
            torch.randn(*shape, n, generator=random, device=DEVICE).bfloat16()
            for n in (channels // 8, channels // 8, channels)
        ]
        forms = {n: partial(both, f, tensors) for n, f in attention_forms().items()}
        forms, refused = those_that_run(forms)
        times = race(forms, rounds, warm=2)
        what = f"attention in bf16, {batch} x {channels} x {side} x {side}, both ways"
        found += [
            {**figure(what, times, (name, "ours")), "refused": refused}
            for name in forms
            if name != "ours"
        ]
    return found
