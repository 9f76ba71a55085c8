"""The paper's network, Fig. 2: Pang, Du, Yu, Orgun, PAKDD 2020.

No public code. "All the skip connections" are CE-Net's three; the blocks do not touch
what the encoder passes downwards. Contexts join the decoder by addition, as CE-Net's
skips do (open point 20): 0.37 % more parameters fits a concatenation as well.
"""

from __future__ import annotations

from torch import Tensor, nn

from mscf.models.context import ContextBlock
from mscf.models.decoder import Decoder
from mscf.models.encoder import ResNet34Encoder
from mscf.models.multi_kernel import MultiKernelContext
from mscf.models.size import check_size

SKIPS = (64, 128, 256)  # channels of e1, e2, e3


class MSCFNet(nn.Module):
    """CE-Net with a context block on every skip.

    Maps slices ``(B, 3, H, W)`` to logits ``(B, classes, H, W)``. The other arguments
    are the ablation's: ``scales`` names the skips that carry a block by their channels,
    ``join`` is `Decoder`'s, ``options`` are `ContextBlock`'s.

    Raises:
        ValueError: H or W below 192 or no multiple of 32 (names the nearest good one);
            a word or scale that is no choice.
    """

    def __init__(
        self,
        classes: int = 1,
        pretrained: bool = False,
        scales: tuple[int, ...] = SKIPS,
        join: str = "add",
        **options: bool | str,
    ) -> None:
        super().__init__()
        if unknown := set(scales) - set(SKIPS):
            raise ValueError(f"scales must be of {SKIPS} (found: {sorted(unknown)})")
        self.encoder = ResNet34Encoder(pretrained)
        self.multi_kernel = MultiKernelContext(512)
        without = options | {"spatial": False, "channel": False}
        self.contexts = nn.ModuleList(
            ContextBlock(c, **(options if c in scales else without)) for c in SKIPS
        )
        self.decoder = Decoder(classes, join)

    def forward(self, x: Tensor) -> Tensor:
        check_size(x, minimum=192, multiple=32)
        *skips, bottleneck = self.encoder(x)  # (a) strides 4, 8, 16, 32
        bottleneck = self.multi_kernel(bottleneck)  # (b)
        skips = [c(skip) for c, skip in zip(self.contexts, skips, strict=True)]  # (c)
        return self.decoder(bottleneck, skips)  # (d)

    def heads(self) -> list[nn.Conv2d]:
        """The convolutions that give the logits; training may set their bias."""
        return [self.decoder.head[-1]]
