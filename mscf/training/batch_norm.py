"""The running statistics of BatchNorm: how far passes move them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn


@contextlib.contextmanager
def unmoved_statistics(model: nn.Module) -> Iterator[None]:
    """Running statistics are afterwards as before: passes that only try move them."""
    before = [buffer.clone() for buffer in model.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in zip(model.buffers(), before, strict=True):
                buffer.copy_(value)


def move_once_a_step(model: nn.Module, passes: int) -> None:
    """Running statistics move by ``passes`` passes as far as they would by one.

    Each pass moves them, so that of a step cut into passes they would remember only a
    few slices, and the network that is tested would be another one than that of several
    processes, which move them once a step.
    """
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 1 - (1 - module.momentum) ** (1 / passes)
