"""CE-Net, the backbone: Gu et al. 2019, Fig. 1 (Guzaiwang/CE-Net, class CE_Net_).

Encoder, multi-kernel context, decoder; e1, e2 and e3 are the skips. Deviations:
logits instead of a sigmoid output, and shared branches in the multi-kernel context.
"""

from __future__ import annotations

from torch import Tensor, nn

from mscf.models.decoder import Decoder
from mscf.models.encoder import ResNet34Encoder
from mscf.models.multi_kernel import MultiKernelContext
from mscf.models.size import check_size


class CENet(nn.Module):
    """Maps slices ``(B, 3, H, W)`` to logits ``(B, classes, H, W)``.

    Raises:
        ValueError: H or W below 192 or no multiple of 32; names the nearest good one.
    """

    def __init__(self, classes: int = 1, pretrained: bool = False) -> None:
        super().__init__()
        self.encoder = ResNet34Encoder(pretrained)
        self.multi_kernel = MultiKernelContext(512)
        self.decoder = Decoder(classes)

    def forward(self, x: Tensor) -> Tensor:
        check_size(x, minimum=192, multiple=32)
        *skips, bottleneck = self.encoder(x)
        return self.decoder(self.multi_kernel(bottleneck), skips)

    def heads(self) -> list[nn.Conv2d]:
        """The convolutions that give the logits; training may set their bias."""
        return [self.decoder.head[-1]]
