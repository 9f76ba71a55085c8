"""The multi-kernel context of Fig. 2 (b): CE-Net's two blocks at the bottleneck.

Gu et al. 2019, Guzaiwang/CE-Net (DACblock, SPPblock). Deviation: the dilated
convolutions that branches have in common are computed once (same function, 1.387 of
21.9 G multiply-accumulates fewer at 448 x 448). B batch, C channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DenseAtrousConvolution(nn.Module):
    """Four branches of growing dilation, added to the input ``(B, C, H, W)``.

    No activation stands between the chained convolutions, as in the original.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dilate1 = nn.Conv2d(channels, channels, 3, dilation=1, padding=1)
        self.dilate3 = nn.Conv2d(channels, channels, 3, dilation=3, padding=3)
        self.dilate5 = nn.Conv2d(channels, channels, 3, dilation=5, padding=5)
        self.pointwise = nn.Conv2d(channels, channels, 1)
        for conv in (self.dilate1, self.dilate3, self.dilate5, self.pointwise):
            nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        dilated1 = self.dilate1(x)
        dilated3 = self.dilate3(x)
        dilated13 = self.dilate3(dilated1)
        dilated135 = self.dilate5(dilated13)
        return (
            x
            + F.relu(dilated1)
            + F.relu(self.pointwise(dilated3))
            + F.relu(self.pointwise(dilated13))
            + F.relu(self.pointwise(dilated135))
        )


class ResidualMultiKernelPooling(nn.Module):
    """Four max-pools, each as one channel at full size, before the input.

    Maps ``(B, C, H, W)`` to ``(B, C + 4, H, W)``; H and W are 6 at least.
    """

    kernels = (2, 3, 5, 6)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, 1, 1)  # one for all four

    def forward(self, x: Tensor) -> Tensor:
        pooled = [
            F.interpolate(
                self.squeeze(F.max_pool2d(x, kernel)),
                size=x.shape[-2:],
                mode="bilinear",
                align_corners=False,
            )
            for kernel in self.kernels
        ]
        return torch.cat([*pooled, x], dim=1)


class MultiKernelContext(nn.Sequential):
    """Fig. 2 (b): dense atrous convolution, then residual multi-kernel pooling."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            DenseAtrousConvolution(channels), ResidualMultiKernelPooling(channels)
        )
