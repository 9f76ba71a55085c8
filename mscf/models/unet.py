"""U-Net: Ronneberger et al. 2015, Fig. 1, as in LeeJunHyun/Image_Segmentation (U_Net).

Deviations of that code from the 2015 paper, kept: padded convolutions, batch norm, no
dropout, and nearest upsampling with a convolution (open point 5). Convolutions keep
their bias although a batch norm follows.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from mscf.models.size import check_size

WIDTHS = (64, 128, 256, 512, 1024)


class DoubleConv(nn.Sequential):
    """Two times convolution, batch norm, ReLU: ``in`` to ``out`` channels."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class UpConv(nn.Sequential):
    """Doubles H and W by repeating pixels, then convolution, batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Upsample(scale_factor=2),
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class UNet(nn.Module):
    """Maps slices ``(B, 3, H, W)`` to logits ``(B, classes, H, W)``.

    Attention U-Net and R2U-Net are this network with another ``block`` or ``gate``.

    Raises:
        ValueError: H or W no multiple of 16; names the nearest good one.
    """

    block: type[nn.Module] = DoubleConv  # in, out channels

    def __init__(self, classes: int = 1, pretrained: bool = False) -> None:
        super().__init__()
        del pretrained  # the original trains from random weights
        steps = list(pairwise(WIDTHS))
        self.pool = nn.MaxPool2d(2)
        self.encoder = nn.ModuleList(
            [self.block(3, WIDTHS[0]), *(self.block(a, b) for a, b in steps)]
        )
        self.up = nn.ModuleList(UpConv(b, a) for a, b in reversed(steps))
        self.decoder = nn.ModuleList(self.block(2 * a, a) for a, _ in reversed(steps))
        self.head = nn.Conv2d(WIDTHS[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        check_size(x, minimum=16, multiple=16)
        skips = []
        for level, encode in enumerate(self.encoder):
            x = encode(self.pool(x) if level else x)
            skips.append(x)
        for level, skip in enumerate(reversed(skips[:-1])):
            x = self.up[level](x)
            x = torch.cat([self.gate(level, skip, x), x], dim=1)
            x = self.decoder[level](x)
        return self.head(x)

    def heads(self) -> list[nn.Conv2d]:
        """The convolutions that give the logits; training may set their bias."""
        return [self.head]

    def gate(self, level: int, skip: Tensor, up: Tensor) -> Tensor:  # noqa: ARG002
        """What of a skip reaches the decoder: here all; level 0 is the coarsest."""
        return skip
