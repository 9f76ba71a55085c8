"""CE-Net with squeeze-and-excitation: Hu et al. 2018 in Gu et al. 2019.

The block, Eq. 2 to 4 of Hu et al., is moskomule/senet.pytorch's (SELayer, reduction 16,
no biases, open point 10). "Embedding ... after skip connections" is taken literally, on
the result of a join, where the same authors' sister release has its channel attention
(open point 9).
"""

from __future__ import annotations

from torch import Tensor, nn

from mscf.models.cenet import CENet
from mscf.models.size import check_size


class SqueezeExcitation(nn.Module):
    """Weights every channel of ``(B, C, H, W)`` by one number in (0, 1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 16
        self.excite = nn.Sequential(
            nn.Linear(channels, inner, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(inner, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        weights = self.excite(x.mean(dim=(2, 3)))  # (B, C)
        return x * weights[:, :, None, None]


class SENet(CENet):
    """Maps slices ``(B, 3, H, W)`` to logits ``(B, classes, H, W)``.

    Raises:
        ValueError: H or W below 192 or no multiple of 32; names the nearest good one.
    """

    def __init__(self, classes: int = 1, pretrained: bool = False) -> None:
        super().__init__(classes, pretrained)
        self.excitations = nn.ModuleList(SqueezeExcitation(c) for c in (256, 128, 64))

    def forward(self, x: Tensor) -> Tensor:
        check_size(x, minimum=192, multiple=32)
        *skips, bottleneck = self.encoder(x)
        x = self.multi_kernel(bottleneck)
        decoder = self.decoder
        ups = (decoder.block4, decoder.block3, decoder.block2)
        for up, skip, excite in zip(
            ups, reversed(skips), self.excitations, strict=True
        ):
            x = excite(up(x) + skip)
        return decoder.head(decoder.block1(x))
