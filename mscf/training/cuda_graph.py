"""The passes of a step on a GPU, captured once and from then on sent to it as one.

A step of MSCF starts some thousands of kernels. Where the processor sends them slower
than the GPU ends them, the GPU waits.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mscf.training.batch_norm import unmoved_statistics


def captured(model: nn.Module, images: Tensor) -> Callable[[Tensor], Tensor]:
    """Forward and backward pass of batches of the shape of ``images`` ``(B, 3, H, W)``.

    Batches of another shape, an epoch's last one, are passed kernel by kernel. One pass
    gives the same bits either way; over a run the losses agree to five digits, seen on
    an H200. The gradients of a step lie in memory of the graph, where the next step's
    will lie: one pass a step, no sum over several.

    Weights, running statistics and gradients are as before; memory for a whole step
    stays taken. To be called on a GPU, under the run's ``precision``.
    """
    own = images.clone(memory_format=torch.contiguous_format)  # every batch goes there
    passes = Passes(model).train()
    with unmoved_statistics(model):
        passes = torch.cuda.make_graphed_callables(
            passes, (own,), allow_unused_input=True
        )
    shape = images.shape
    return lambda batch: passes(batch) if batch.shape == shape else model(batch)


class Passes(nn.Module):
    """A network inside another, whose own ``forward`` the capture leaves alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        """As the network."""
        return self.model(images)
