"""The decoder of Fig. 2 (d): CE-Net's four up-sampling blocks and its head.

Gu et al. 2019, Guzaiwang/CE-Net (DecoderBlock, CE_Net_). Skips join by addition, with
no activation after it. Deviation: logits leave the head, no sigmoid.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mscf.models.choices import check_choice


class DecoderBlock(nn.Sequential):
    """Doubles H and W: ``(B, in, H, W)`` to ``(B, out, 2H, 2W)`` through a quarter."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        middle = in_channels // 4
        super().__init__(
            nn.Conv2d(in_channels, middle, 1),
            nn.BatchNorm2d(middle),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(
                middle, middle, 3, stride=2, padding=1, output_padding=1
            ),
            nn.BatchNorm2d(middle),
            nn.ReLU(inplace=True),
            nn.Conv2d(middle, out_channels, 1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class Decoder(nn.Module):
    """Maps the bottleneck ``(B, 516, h, w)`` and three skips to logits at 32 h x 32 w.

    ``skips`` are in the encoder's order: 64 channels at 8 h, 128 at 4 h, 256 at 2 h.
    ``join="cat"`` concatenates them, skip first, as the authors' sister release does
    (open point 20).
    """

    def __init__(self, classes: int = 1, join: str = "add") -> None:
        super().__init__()
        check_choice("join", join, ("add", "cat"))
        self.join = join
        wider = 2 if join == "cat" else 1
        self.block4 = DecoderBlock(516, 256)
        self.block3 = DecoderBlock(256 * wider, 128)
        self.block2 = DecoderBlock(128 * wider, 64)
        self.block1 = DecoderBlock(64 * wider, 64)
        self.head = nn.Sequential(
            nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, classes, 3, padding=1),
        )

    def forward(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        e1, e2, e3 = skips
        x = self.joined(self.block4(x), e3)  # (B, 256, 2h, 2w)
        x = self.joined(self.block3(x), e2)  # (B, 128, 4h, 4w)
        x = self.joined(self.block2(x), e1)  # (B, 64, 8h, 8w)
        x = self.block1(x)  # (B, 64, 16h, 16w)
        return self.head(x)  # (B, classes, 32h, 32w)

    def joined(self, up: Tensor, skip: Tensor) -> Tensor:
        """A skip with what comes up from below it."""
        return torch.cat([skip, up], dim=1) if self.join == "cat" else up + skip
