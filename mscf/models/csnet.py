"""CS-Net, channel and spatial attention: Mou et al. 2019, as in iMED-Lab/CS-Net.

Deviation: the original's 1 x 1 convolution that its forward never uses (524,800
parameters) is left out (open point 13).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from mscf.models.danet import ChannelAttention
from mscf.models.self_attention import PositionAttention
from mscf.models.size import check_size
from mscf.models.unet import DoubleConv

WIDTHS = (32, 64, 128, 256, 512)


class ResidualEncoder(nn.Module):
    """A double convolution beside a 1 x 1 one, with ReLU before and after the sum."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.convolve = DoubleConv(in_channels, out_channels)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.convolve(x) + self.shortcut(x))


class SpatialAttention(PositionAttention):
    """Position attention whose query looks along rows and whose key along columns."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        inner = channels // 8
        self.query = nn.Sequential(
            nn.Conv2d(channels, inner, (1, 3), padding=(0, 1)),
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
        )
        self.key = nn.Sequential(
            nn.Conv2d(channels, inner, (3, 1), padding=(1, 0)),
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
        )


class CSNet(nn.Module):
    """Maps slices ``(B, 3, H, W)`` to logits ``(B, classes, H, W)``.

    Raises:
        ValueError: H or W no multiple of 16; names the nearest good one.
    """

    def __init__(self, classes: int = 1, pretrained: bool = False) -> None:
        super().__init__()
        del pretrained  # the original trains from random weights (open point 14)
        steps = list(pairwise(WIDTHS))
        self.pool = nn.MaxPool2d(2)
        self.encoder = nn.ModuleList(
            [ResidualEncoder(3, WIDTHS[0]), *(ResidualEncoder(a, b) for a, b in steps)]
        )
        self.spatial = SpatialAttention(WIDTHS[-1])
        self.channel = ChannelAttention()
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in reversed(steps)
        )
        self.decoder = nn.ModuleList(DoubleConv(b, a) for a, b in reversed(steps))
        self.head = nn.Conv2d(WIDTHS[0], classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        check_size(x, minimum=16, multiple=16)
        skips = []
        for level, encode in enumerate(self.encoder):
            x = encode(self.pool(x) if level else x)
            skips.append(x)
        x = x + (self.spatial(x) + self.channel(x))  # three times x at the start
        for level, skip in enumerate(reversed(skips[:-1])):
            x = torch.cat([skip, self.up[level](x)], dim=1)
            x = self.decoder[level](x)
        return self.head(x)

    def heads(self) -> list[nn.Conv2d]:
        """The convolutions that give the logits; training may set their bias."""
        return [self.head]
