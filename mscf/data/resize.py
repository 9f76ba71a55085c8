"""Slices brought to the side that a network takes."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

BLOCK = 8  # slices at once, as channels of one image: the fastest that was measured


def pad_to_square(slices: NDArray, value: int) -> NDArray:
    """``(N, H, W)`` centred in the smallest square, filled up with ``value``."""
    height, width = slices.shape[1:]
    side = max(height, width)
    before = [(side - n) // 2 for n in (height, width)]
    after = [side - n - b for n, b in zip((height, width), before, strict=True)]
    around = ((0, 0), (before[0], after[0]), (before[1], after[1]))
    return np.pad(slices, around, constant_values=value)


def resize_images(slices: NDArray, size: int) -> NDArray[np.int16]:
    """HU ``(N, side, side)`` to ``(N, size, size)`` int16.

    Linear in HU, pixel centres aligned, antialiased when shrinking.
    """
    resized = np.empty((len(slices), size, size), np.int16)
    limits = np.iinfo(np.int16)
    for start in range(0, len(slices), BLOCK):
        block = torch.from_numpy(slices[start : start + BLOCK].astype(np.float32))
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
    return np.ascontiguousarray(slices[:, nearest][:, :, nearest])
