"""A network that a test can wait for, and settings of a short run."""

from torch import nn

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
