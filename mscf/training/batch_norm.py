"""Running statistics: held while passes only try, and estimated anew.

In evaluation mode a BatchNorm uses running means of the last tens of steps. A network
that still moves fast has left them behind: its loss in training mode is low and its
prediction in evaluation mode is empty. Not in the paper, whose runs end with small
rates; for demonstrations and the overfitting test.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from mscf.data.dataset import SliceDataset, make_loader, three_channels


def refresh_statistics(
    model: nn.Module, slices: SliceDataset, batch_size: int = 8
) -> None:
    """One pass over ``slices`` in training mode; no weight changes."""
    loader = make_loader(slices, batch_size, shuffle=False)
    device = next(model.parameters()).device
    images = (three_channels(images).to(device) for images, _ in loader)
    with torch.no_grad():
        update_bn(images, model)


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
