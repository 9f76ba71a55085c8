"""R2U-Net: Alom et al. 2019, as in LeeJunHyun/Image_Segmentation (R2U_Net).

U-Net with recurrent residual blocks, Eq. 1 to 3 of the paper. t = 2, the class's
default; the same repository's training script passes 3 (open point 7).
"""

from __future__ import annotations

from torch import Tensor, nn

from mscf.models.unet import UNet

T = 2  # repetitions: the convolution runs once more than that


class RecurrentConv(nn.Module):
    """One convolution, batch norm and ReLU, run again on input plus its own output.

    Weights and batch norm are shared by the runs, so in training the running statistics
    move once a run.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        for _ in range(T):
            y = self.conv(x + y)
        return y


class RecurrentResidual(nn.Module):
    """Two recurrent convolutions beside the identity, after a 1 x 1 convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(in_channels, out_channels, 1)
        self.recurrent = nn.Sequential(
            RecurrentConv(out_channels), RecurrentConv(out_channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.narrow(x)
        return x + self.recurrent(x)  # no activation after the sum


class R2UNet(UNet):
    """U-Net of recurrent residual blocks: ``(B, 3, H, W)`` to ``(B, classes, H, W)``.

    Raises:
        ValueError: H or W no multiple of 16; names the nearest good one.
    """

    block = RecurrentResidual
