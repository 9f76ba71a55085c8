"""A network that a test can wait for, settings of a short run, and what equals it."""

import torch
from torch import nn

from mscf.checkpoint import read_checkpoint
from mscf.models.context import ContextBlock
from mscf.training.settings import TrainSettings


class SmallNetwork(nn.Sequential):
    """A network of the paper's kinds of layers that a test can wait for."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 4, 3, stride=4, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Dropout2d(0.2),
            nn.Conv2d(4, 64, 3, stride=4, padding=1),
            ContextBlock(64),
            nn.ConvTranspose2d(64, 4, 4, stride=4),
            nn.ConvTranspose2d(4, 4, 4, stride=4),
            nn.Conv2d(4, 1, 3, padding=1),
        )

    def heads(self) -> list[nn.Conv2d]:
        return [self[-1]]


def settings_for(tiny_store, out, **changes) -> TrainSettings:
    defaults = {"epochs": 3, "batch_size": 4, "pretrained": False, "gpus": 0}
    return TrainSettings(data=tiny_store, out=out, **{**defaults, **changes})


def same_run(one, other) -> None:
    """Tables byte for byte, weights, moments and state of two runs bit for bit."""
    for name in ("history.csv", "context.csv", "per_slice.csv"):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    for name in ("last.ckpt", "best.ckpt"):
        expected, header = read_checkpoint(one / name)
        got, other_header = read_checkpoint(other / name)
        assert got.keys() == expected.keys()
        assert all(torch.equal(got[n], t) for n, t in expected.items())
        assert header["epoch"] == other_header["epoch"]
    states = [read_checkpoint(run / "last.ckpt")[1]["state"] for run in (one, other)]
    for name in ("position", "schedule"):
        assert states[0][name] == states[1][name]
    assert states[0]["best"]["epoch"] == states[1]["best"]["epoch"]
