"""DANet, dual attention: Fu et al. 2019, as in junfu1115/DANet (its 2020 renewal).

The attentions are Eq. 1 and 2 (positions) and Eq. 3 and 4 (channels) of the paper.
ResNet-50 at output stride 8 with plain stem and multi-grid 4, 8, 16, as the released
ResNet-101 has them; by default that code has a deep stem and 2, 4, 4 (open point 12).
Deviations: plain instead of synchronised batch norm; evaluation skips the two auxiliary
heads. The sum of three losses is of its code of 2018.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mscf.models.attention import (
    as_given,
    as_map,
    as_sequence,
    exact,
    full_precision,
)
from mscf.models.context import channel_affinity
from mscf.models.encoder import DilatedResNet50Encoder
from mscf.models.self_attention import PositionAttention

INNER = 512


class ChannelAttention(nn.Module):
    """Every channel gathers from all others: ``(B, C, H, W)`` to the same.

    ``gamma`` starts at 0. The row's maximum minus the product is no numerical device:
    it reverses the order, so the *least* similar channel has the largest weight. As in
    `ChannelContext`, products over all positions are formed in float32 or better, going
    forward.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        with full_precision(x):
            features = as_sequence(exact(x))
            affinity = channel_affinity(features, "rowmax-minus")  # (B, C, C)
            gathered = features @ affinity.mT  # (B, N, C)
        return as_given(self.gamma * as_map(gathered, like=x) + x, x)


class DANet(nn.Module):
    """Maps ``(B, 3, H, W)`` to logits ``(B, classes, H, W)``, in training to three.

    In training mode: both attentions summed, the spatial one, the channel one, each
    with a loss of its own of weight 1. Takes any H and W.
    """

    def __init__(self, classes: int = 1, pretrained: bool = False) -> None:
        super().__init__()
        self.encoder = DilatedResNet50Encoder(pretrained)
        self.position = nn.Sequential(
            conv_bn_relu(2048, INNER),
            PositionAttention(INNER),
            conv_bn_relu(INNER, INNER),
        )
        self.channel = nn.Sequential(
            conv_bn_relu(2048, INNER), ChannelAttention(), conv_bn_relu(INNER, INNER)
        )
        self.main, self.of_position, self.of_channel = (
            nn.Sequential(nn.Dropout2d(0.1), nn.Conv2d(INNER, classes, 1))
            for _ in range(3)
        )

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        size = x.shape[-2:]
        features = self.encoder(x)  # (B, 2048, H/8, W/8)
        position, channel = self.position(features), self.channel(features)
        logits = resize(self.main(position + channel), size)
        if not self.training:
            return logits
        return (
            logits,
            resize(self.of_position(position), size),
            resize(self.of_channel(channel), size),
        )

    def heads(self) -> list[nn.Conv2d]:
        """The convolutions that give the logits; training may set their bias."""
        return [self.main[-1], self.of_position[-1], self.of_channel[-1]]


def conv_bn_relu(in_channels: int, out_channels: int) -> nn.Sequential:
    """A 3 x 3 convolution without bias, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def resize(logits: Tensor, size: torch.Size) -> Tensor:
    """To the slice's own height and width, corners on corners as the original."""
    return F.interpolate(logits, size, mode="bilinear", align_corners=True)
