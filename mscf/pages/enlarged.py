"""How much too large a perfect mask becomes when it is enlarged before it is scored.

The public test code of CE-Net (test_cenet.py, 6e1c2ba), and of TA-Net after it, resizes
a mask of 0 and 255 linearly to the truth's own size and counts what is above 20 as
drawn. It scores vessels of the retina; whether Table 1 was made so is not known.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

LARGE, SMALL = 64, 56  # pixels: an eighth of LiTS's 512 and of the paper's 448


def enlarged_disc(radius: float, above: float = 20 / 255) -> float:
    """Drawn area over true area, which is R / P, of discs drawn without an error.

    Masks at 448 x 448 are resized linearly to 512 x 512, the truth's grid, and cut
    ``above`` this. The radius, below 28, is in its pixels; over a hundred places.
    """
    truth, small = (torch.from_numpy(discs(radius, side)) for side in (LARGE, SMALL))
    large = interpolate(small[:, None].double(), (LARGE, LARGE), mode="bilinear")
    return float((large > above).sum() / truth.sum())


def discs(radius: float, side: int) -> NDArray[np.bool_]:
    """The same hundred discs on a grid of this side: masks ``(N, side, side)``."""
    y, x = (np.mgrid[:side, :side] + 0.5) * LARGE / side - LARGE / 2
    down, right = np.random.default_rng(0).uniform(-4, 4, (2, 100, 1, 1))
    return np.hypot(y - down, x - right) <= radius
