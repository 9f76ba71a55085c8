"""Attention U-Net: Oktay et al. 2018, as in LeeJunHyun/Image_Segmentation (AttU_Net).

The gate is Eq. 1 and 2 of the paper. Deviations of that code from the authors' 3-D
release, kept (open point 6): the gate takes its signal from the decoder at the skip's
own size, so that nothing is resized in it; its convolutions are normalised; the finest
skip has one too; no deep supervision.
"""

from __future__ import annotations

from torch import Tensor, nn

from mscf.models.unet import WIDTHS, UNet


class AttentionGate(nn.Module):
    """Weights every position of a skip by one number in (0, 1).

    ``skip`` and ``up``, the decoder's features, are ``(B, C, H, W)``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 2
        self.of_up = nn.Sequential(nn.Conv2d(channels, inner, 1), nn.BatchNorm2d(inner))
        self.of_skip = nn.Sequential(
            nn.Conv2d(channels, inner, 1), nn.BatchNorm2d(inner)
        )
        self.relu = nn.ReLU(inplace=True)
        self.psi = nn.Sequential(
            nn.Conv2d(inner, 1, 1), nn.BatchNorm2d(1), nn.Sigmoid()
        )

    def forward(self, skip: Tensor, up: Tensor) -> Tensor:
        return skip * self.psi(self.relu(self.of_up(up) + self.of_skip(skip)))


class AttentionUNet(UNet):
    """U-Net with a gate on every skip: ``(B, 3, H, W)`` to ``(B, classes, H, W)``.

    Raises:
        ValueError: H or W no multiple of 16; names the nearest good one.
    """

    def __init__(self, classes: int = 1, pretrained: bool = False) -> None:
        super().__init__(classes, pretrained)
        self.gates = nn.ModuleList(AttentionGate(c) for c in reversed(WIDTHS[:-1]))

    def gate(self, level: int, skip: Tensor, up: Tensor) -> Tensor:
        return self.gates[level](skip, up)
