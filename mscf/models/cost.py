"""What a network costs: parameters, and multiply-accumulates by formula.

Counted are convolutions (transposed ones at their input positions), linear layers and
the matrix products of attention; no norm, activation, pooling, resizing, softmax, bias.
Attention by formula, not by kernel: a fused kernel is filled up with zeros that are no
work of the network.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mscf.models.context import ChannelContext, SpatialContext
from mscf.models.danet import ChannelAttention
from mscf.models.self_attention import PositionAttention


def parameters(network: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(p.numel() for p in network.parameters())


def multiply_accumulates(network: nn.Module, height: int, width: int) -> int:
    """Of one slice ``(3, height, width)`` in evaluation mode.

    The network is moved to the meta device, where nothing is computed, and is lost.
    """
    total = 0

    def count(module: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        nonlocal total
        total += of_call(module, given[0], made)

    for module in network.modules():
        module.register_forward_hook(count)
    network.to("meta").eval()(torch.empty(1, 3, height, width, device="meta"))
    return total


def convolution_of(projection: nn.Module) -> nn.Conv2d:
    """The one in a query or key, which may have a norm or an activation as well."""
    return next(m for m in projection.modules() if isinstance(m, nn.Conv2d))


def of_call(module: nn.Module, given: Tensor, made: Tensor) -> int:
    """Multiply-accumulates of one call of one module, without those inside it."""
    match module:
        case nn.Conv2d():
            return made.numel() * module.weight[0].numel()
        case nn.ConvTranspose2d():
            return given.numel() * module.weight[0].numel()
        case nn.Linear():
            return made.numel() * module.in_features
    batch, channels, height, width = given.shape if given.dim() == 4 else (0, 0, 0, 0)
    positions = height * width
    match module:
        case SpatialContext() | PositionAttention():  # CS-Net's is one of these
            inner = convolution_of(module.query).out_channels
            return batch * positions**2 * (inner + channels)  # M, M F
        case ChannelContext(eq5="identity"):
            return 0
        case ChannelContext() | ChannelAttention():
            return batch * 2 * channels**2 * positions  # Gram product, X G
    return 0
