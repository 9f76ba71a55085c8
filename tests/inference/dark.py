"""A network whose output is known, its checkpoint, and a CT to try it on."""

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from torch import Tensor, nn

from mscf.checkpoint import write_checkpoint

AFFINE = np.array([[-1.5, 0, 0, 9], [0, 1.2, 0, -5], [0, 0, 4.0, 30], [0, 0, 0, 1.0]])
DARK = 75.0  # HU, half way between the liver and the lesions of `write_ct`
WINDOW = (-40.0, 160.0)


class Dark(nn.Module):
    """Tumour where a slice is darker than ``DARK`` and brighter than the window's end.

    The logit is the distance to the nearer border, in windows.
    """

    def __init__(self) -> None:
        super().__init__()
        share = (DARK - WINDOW[0]) / (WINDOW[1] - WINDOW[0])
        self.border = nn.Parameter(torch.tensor(share * 3.2 - 1.6))

    def forward(self, x: Tensor) -> Tensor:
        grey = x[:, :1]
        return torch.minimum(self.border - grey, grey + 1.6 - 1e-3)


@dataclass(frozen=True)
class DarkMethod:
    """What METHODS knows of a method."""

    title: str = "Dark"
    reference: str = "nobody"
    minimum_size: int = 16
    multiple: int = 16

    def build(self, classes: int = 1, pretrained: bool = False) -> nn.Module:
        return Dark()


def write_weights(path: Path, **changes) -> Path:
    """A checkpoint of `Dark` as training writes it, its record changed."""
    record = {
        "method": "dark", "classes": 1, "image_size": 32, "epoch": 3,
        "settings": {"window": list(WINDOW)},
    }  # fmt: skip
    write_checkpoint(path, Dark().state_dict(), record | changes)
    return path


def write_ct(path: Path, shape=(32, 24, 9), affine=AFFINE, seed=0) -> np.ndarray:
    """A liver of 110 HU in air with two lesions of 40 HU; gives the lesions' mask."""
    path.parent.mkdir(parents=True, exist_ok=True)
    x, y, z = np.ogrid[: shape[0], : shape[1], : shape[2]]
    hu = np.full(shape, -1000.0)
    hu[2:-2, 2:-3, :] = 110
    first = (x - 10) ** 2 + (y - 8) ** 2 + (2 * (z - 3)) ** 2 < 20
    second = (x - 20) ** 2 + (y - 14) ** 2 + (2 * (z - 6)) ** 2 < 8
    mask = np.broadcast_to(first | second, shape)
    hu[mask] = 40
    hu += np.random.default_rng(seed).integers(-5, 6, shape)
    nib.save(nib.Nifti1Image(hu.astype(np.int16), affine), path)
    return mask
