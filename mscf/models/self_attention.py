"""CE-Net with spatial self-attention: Zhang et al. 2018 (SAGAN), Wang et al. 2018.

The block is heykeetae/Self-Attention-GAN's (Self_Attn): the form that the paper's own
spatial branch has, so this row is Ours without the channel branch, without f and with X
counted once (open point 11). SAGAN's printed equations take values to C/8 as well, and
back to C by a fourth convolution; its authors' code pools keys and values besides, with
values of C/2. "In lieu of ours": on e1, e2 and e3, before the addition.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mscf.models.attention import as_map, as_sequence, attend
from mscf.models.cenet import CENet
from mscf.models.size import check_size


class PositionAttention(nn.Module):
    """Every position gathers from all others: ``(B, C, H, W)`` to the same.

    Also DANet's position attention module. ``gamma`` starts at 0; no 1/sqrt(d).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 8
        self.query = nn.Conv2d(channels, inner, 1)
        self.key = nn.Conv2d(channels, inner, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            as_sequence(project(x)) for project in (self.query, self.key, self.value)
        )
        return self.gamma * as_map(attend(query, key, value), like=x) + x


class SelfAttentionNet(CENet):
    """Maps slices ``(B, 3, H, W)`` to logits ``(B, classes, H, W)``.

    Raises:
        ValueError: H or W below 192 or no multiple of 32; names the nearest good one.
    """

    def __init__(self, classes: int = 1, pretrained: bool = False) -> None:
        super().__init__(classes, pretrained)
        self.attentions = nn.ModuleList(PositionAttention(c) for c in (64, 128, 256))

    def forward(self, x: Tensor) -> Tensor:
        check_size(x, minimum=192, multiple=32)
        *skips, bottleneck = self.encoder(x)
        skips = [a(skip) for a, skip in zip(self.attentions, skips, strict=True)]
        return self.decoder(self.multi_kernel(bottleneck), skips)
