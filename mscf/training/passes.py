"""A network's passes in the form that a run asks for: precision, compiled, captured.

A step of MSCF starts some thousands of kernels. Where the processor sends them slower
than the GPU ends them, the GPU waits; captured once, they are sent to it as one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn

from mscf.training.batch_norm import unmoved_statistics
from mscf.training.settings import TrainSettings


def passes(
    model: nn.Module, images: Tensor, settings: TrainSettings
) -> Callable[[Tensor], Tensor | tuple[Tensor, ...]]:
    """``model`` as the steps call it; ``images`` ``(B, 3, H, W)`` are a step's or more.

    Its backward pass is to be asked for outside any autocast.
    """
    network = Within(model, partial(precision, settings))
    if settings.cuda_graph:
        return captured(network, images[: settings.slices_a_pass])
    return torch.compile(network) if settings.compile else network


class Within(nn.Module):
    """A network whose forward pass alone is in a context, such as autocast.

    Autocast must end before the network does: a capture, and torch.compile, give a
    backward pass the autocast that is on around the forward one, so that products which
    the network itself keeps in float32 would have their gradients in bfloat16.
    """

    def __init__(
        self, model: nn.Module, context: Callable[[], AbstractContextManager]
    ) -> None:
        super().__init__()
        self.model, self.context = model, context

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        """As the network."""
        with self.context():
            return self.model(images)


def precision(settings: TrainSettings) -> AbstractContextManager:
    """Products in bfloat16 or as they are; weights and loss stay float32.

    Without autocast's cache: it keeps the weights' bfloat16 copies until the context
    ends, so that no step of an epoch would reach the next forward pass.
    """
    return torch.autocast(
        settings.device.type,
        torch.bfloat16,
        enabled=settings.precision == "bf16",
        cache_enabled=False,
    )


def captured(network: nn.Module, images: Tensor) -> Callable[[Tensor], Tensor]:
    """Forward and backward pass of batches of the shape of ``images`` ``(B, 3, H, W)``.

    Batches of another shape, an epoch's last one, are passed kernel by kernel. One pass
    gives the same bits either way; over a run the losses agree to five digits, seen on
    an H200. The gradients of a step lie in memory of the graph, where the next step's
    will lie: one pass a step, no sum over several.

    Weights, running statistics and gradients are as before; memory for a whole step
    stays taken. To be called on a GPU and outside any autocast.
    """
    own = images.clone(memory_format=torch.contiguous_format)  # every batch goes there
    inner = Within(network, nullcontext).train()  # whose forward the capture replaces
    with unmoved_statistics(network):
        graph = torch.cuda.make_graphed_callables(
            inner, (own,), allow_unused_input=True
        )
    shape = images.shape
    return lambda batch: graph(batch) if batch.shape == shape else network(batch)
