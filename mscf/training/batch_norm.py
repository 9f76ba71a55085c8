"""The running statistics of BatchNorm, held while passes only try."""

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
