"""The encoders: ResNet-34 of Fig. 2 (a), and DANet's dilated ResNet-50.

He et al. 2016; the layers and ImageNet weights are torchvision's, without pooling and
classifier. All layers are trained. B batch, C channels, H rows, W columns.
"""

from __future__ import annotations

import warnings

from torch import Tensor, nn

import mscf.compat  # noqa: F401  (before torchvision)

from torchvision.models import (  # isort: skip
    ResNet34_Weights,
    ResNet50_Weights,
    WeightsEnum,
    resnet34,
    resnet50,
)


class PretrainedUnavailable(UserWarning):
    """ImageNet weights were asked for and could not be had; the encoder is random."""


class ResNet34Encoder(nn.Module):
    """Maps ``(B, 3, H, W)`` to features at strides 4, 8, 16 and 32.

    Channels are 64, 128, 256 and 512. ``loaded`` tells whether the ImageNet weights
    are in; when they cannot be had, a ``PretrainedUnavailable`` warning says so and
    the network goes on with random weights, so that a run can record it.
    """

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        resnet = resnet34()
        weights = ResNet34_Weights.IMAGENET1K_V1
        self.loaded = pretrained and load_imagenet(resnet, weights)
        self.stem = nn.Sequential(resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool)
        self.stage1 = resnet.layer1
        self.stage2 = resnet.layer2
        self.stage3 = resnet.layer3
        self.stage4 = resnet.layer4

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x = self.stem(x)  # (B, 64, H/4, W/4); the 64 channels at H/2 are no skip
        e1 = self.stage1(x)  # (B, 64, H/4, W/4)
        e2 = self.stage2(e1)  # (B, 128, H/8, W/8)
        e3 = self.stage3(e2)  # (B, 256, H/16, W/16)
        e4 = self.stage4(e3)  # (B, 512, H/32, W/32)
        return e1, e2, e3, e4


class DilatedResNet50Encoder(nn.Module):
    """Maps ``(B, 3, H, W)`` to ``(B, 2048, H/8, W/8)``: DANet's encoder.

    The last two stages keep their resolution; their 3 x 3 convolutions are dilated by
    1, 2, 2, 2, 2, 2 and by 4, 8, 16 ("multi-grid"). ``loaded`` as above.
    """

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        resnet = resnet50(replace_stride_with_dilation=[False, True, True])
        for block, dilation in zip(resnet.layer4, (4, 8, 16), strict=True):
            block.conv2.dilation = block.conv2.padding = (dilation, dilation)
        # V2 is of a longer recipe, of later than the paper, and there is none for 34.
        weights = ResNet50_Weights.IMAGENET1K_V1
        self.loaded = pretrained and load_imagenet(resnet, weights)
        self.stem = nn.Sequential(resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool)
        self.stages = nn.Sequential(
            resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.stages(self.stem(x))


def load_imagenet(network: nn.Module, weights: WeightsEnum) -> bool:
    """Puts torchvision's ImageNet weights into ``network``; False when out of reach."""
    try:
        state = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:  # no network, no folder, broken download
        warnings.warn(
            f"ImageNet weights {weights} could not be had ({error}); the encoder "
            "starts from random weights",
            PretrainedUnavailable,
            stacklevel=2,
        )
        return False
    network.load_state_dict(state)
    return True
