"""CE-Net, the backbone: Gu et al. 2019 (Guzaiwang/CE-Net, class CE_Net_).

Encoder, multi-kernel context, decoder; e1, e2 and e3 are the skips. Deviations:
logits instead of a sigmoid output, and shared branches in the multi-kernel context.
"""

from __future__ import annotations

from torch import Tensor, nn

from mscf.models.decoder import Decoder
from mscf.models.encoder import ResNet34Encoder
from mscf.models.multi_kernel import MultiKernelContext


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


def check_size(x: Tensor, minimum: int, multiple: int) -> None:
    """Refuses a height or width that the network cannot take, naming a good one."""
    for name, side in zip(("height", "width"), x.shape[-2:], strict=True):
        if side < minimum or side % multiple:
            raise ValueError(
                f"{name} must be a multiple of {multiple} and at least {minimum} "
                f"(found: {side}); nearest good one: {nearest(side, minimum, multiple)}"
            )


def nearest(side: int, minimum: int, multiple: int) -> int:
    """The multiple nearest to ``side`` that is not below ``minimum``."""
    return max(minimum, (side + multiple // 2) // multiple * multiple)
