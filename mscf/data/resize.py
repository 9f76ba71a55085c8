"""Slices brought to the side that a network takes.

Neither resampled to an equal spacing nor cropped to the liver (open point 28).
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

AIR = -1024  # HU around a slice that is not square
BLOCK = 8  # slices at once, as channels of one image: the fastest that was measured


def pad_to_square(slices: NDArray, value: int) -> NDArray:
    """``(N, H, W)`` centred in the smallest square, filled up with ``value``.

    Squares are given back as they are, not copied.
    """
    height, width = slices.shape[1:]
    if height == width:
        return slices
    side = max(height, width)
    before = rows_before(height, width)
    after = [side - n - b for n, b in zip((height, width), before, strict=True)]
    around = ((0, 0), (before[0], after[0]), (before[1], after[1]))
    return np.pad(slices, around, constant_values=value)


def rows_before(height: int, width: int) -> list[int]:
    """How many rows and columns stand before a slice in its square."""
    side = max(height, width)
    return [(side - n) // 2 for n in (height, width)]


def resize_images(slices: NDArray, size: int) -> NDArray[np.int16]:
    """HU ``(N, side, side)`` to ``(N, size, size)`` int16.

    Linear in HU, pixel centres aligned, antialiased when shrinking.
    """
    resized = np.empty((len(slices), size, size), np.int16)
    limits = np.iinfo(np.int16)
    for start in range(0, len(slices), BLOCK):
        # In C's order, whatever the file's: in another torch may round otherwise.
        block = slices[start : start + BLOCK].astype(np.float32, order="C")
        block = torch.from_numpy(block)
        if block.shape[-1] != size:
            block = F.interpolate(
                block[None], (size, size), mode="bilinear", antialias=True
            )[0]
        block = block.round().clamp(limits.min, limits.max)
        resized[start : start + BLOCK] = block.numpy().astype(np.int16)
    return resized


def resize_masks(slices: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Labels ``(N, side, side)`` to ``(N, size, size)``: the nearest pixel centre's."""
    side = slices.shape[-1]
    nearest = ((np.arange(size) + 0.5) * side / size).astype(int)
    return slices.take(nearest, axis=1).take(nearest, axis=2)


def resize_back(logits: Tensor, height: int, width: int) -> Tensor:
    """``(N, size, size)`` of resized squares to the slices' own ``(N, height, width)``.

    Linear, pixel centres aligned, antialiased when shrinking: as ``resize_images``.
    """
    side = max(height, width)
    if logits.shape[-1] != side:
        logits = F.interpolate(
            logits[None], (side, side), mode="bilinear", antialias=True
        )[0]
    top, left = rows_before(height, width)
    return logits[:, top : top + height, left : left + width]
