"""CE-Net's augmentation of a slice and its mask, drawn by the caller's generator.

Gu et al. 2019, Guzaiwang/CE-Net (data.py at 6e1c2ba). Deviations, kept as runs had them
(open point 26): the aspect stretches a slice; there both sides get the factor of the
width, scale * sqrt(aspect), as their matrix at a turn of 0 never uses the height's.
Shifts there are whole pixels, masks linear and cut at 1/2. Hue and saturation are left
out, as three equal channels have none; there rounding tints some. What the fill is
there, black, is air here.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import mscf.compat  # noqa: F401  (before torchvision)

from torchvision.transforms.v2 import functional as v2  # isort: skip

BRIGHTNESS = 15 / 255  # of the window
SHIFT = SCALE = ASPECT = 0.1


def augment(
    image: Tensor, mask: Tensor, random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """A windowed slice in [0, 1] and its mask, both ``(1, H, W)``, changed alike.

    In this order, each with probability 1/2: brightness; shift, scale and aspect; flip
    left-right; flip up-down; quarter turn.
    """
    if random.random() < 0.5:
        image = (image + random.uniform(-BRIGHTNESS, BRIGHTNESS)).clamp(0, 1)
    if random.random() < 0.5:
        image, mask = shift_and_scale(image, mask, random)
    for move in (v2.horizontal_flip, v2.vertical_flip, quarter_turn):
        if random.random() < 0.5:
            image, mask = move(image), move(mask)
    return image, mask


def shift_and_scale(
    image: Tensor, mask: Tensor, random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Moves by up to 10 % of the side and stretches each side by about as much.

    One geometry for both; linear for the image, nearest for the mask. v2's affine
    stretches both sides alike, so the grid is made here.
    """
    scale = 1 + random.uniform(-SCALE, SCALE)
    aspect = math.sqrt(1 + random.uniform(-ASPECT, ASPECT))
    x, y = random.uniform(-SHIFT, SHIFT, 2) * 2  # the grid goes from -1 to 1
    width, height = scale * aspect, scale / aspect
    inverse = torch.tensor(
        [[1 / width, 0, -x / width], [0, 1 / height, -y / height]], dtype=torch.float32
    )
    grid = F.affine_grid(inverse[None], (1, *image.shape), align_corners=False)
    moved = [
        F.grid_sample(x[None], grid, mode, padding_mode="zeros", align_corners=False)[0]
        for x, mode in ((image, "bilinear"), (mask, "nearest"))
    ]
    return moved[0], moved[1]


def quarter_turn(x: Tensor) -> Tensor:
    """A turn by 90 degrees."""
    return torch.rot90(x, dims=(-2, -1))
