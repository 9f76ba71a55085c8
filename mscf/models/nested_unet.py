"""UNet++: Zhou et al. 2018, as in 4uiiurz1/pytorch-nested-unet (NestedUNet).

The nodes are Eq. 1 of the paper. Deep supervision is off, as in that code's default
(open point 8).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mscf.models.size import check_size
from mscf.models.unet import DoubleConv

WIDTHS = (32, 64, 128, 256, 512)


class NestedUNet(nn.Module):
    """Maps slices ``(B, 3, H, W)`` to logits ``(B, classes, H, W)``.

    Fifteen nodes: ``node(i, j)`` at depth i reads all nodes before it at its depth and
    the one below, upsampled: (i, 0) ... (i, j-1), (i+1, j-1).

    Raises:
        ValueError: H or W no multiple of 16; names the nearest good one.
    """

    def __init__(self, classes: int = 1, pretrained: bool = False) -> None:
        super().__init__()
        del pretrained  # the original trains from random weights
        self.pool = nn.MaxPool2d(2)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.nodes = nn.ModuleDict()
        above = 3
        for i, width in enumerate(WIDTHS):
            self.nodes[f"{i}_0"] = DoubleConv(above, width)
            above = width
        for i, j in grid():
            given = j * WIDTHS[i] + WIDTHS[i + 1]
            self.nodes[f"{i}_{j}"] = DoubleConv(given, WIDTHS[i])
        self.head = nn.Conv2d(WIDTHS[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        check_size(x, minimum=16, multiple=16)
        made = {}
        for i in range(len(WIDTHS)):
            x = made[i, 0] = self.nodes[f"{i}_0"](self.pool(x) if i else x)
        for i, j in grid():
            given = [made[i, k] for k in range(j)] + [self.up(made[i + 1, j - 1])]
            made[i, j] = self.nodes[f"{i}_{j}"](torch.cat(given, dim=1))
        return self.head(made[0, len(WIDTHS) - 1])

    def heads(self) -> list[nn.Conv2d]:
        """The convolutions that give the logits; training may set their bias."""
        return [self.head]


def grid() -> list[tuple[int, int]]:
    """Depth and column of the nodes on the skips, each after those it reads."""
    last = len(WIDTHS) - 1
    return [(i, j) for j in range(1, last + 1) for i in range(last + 1 - j)]
