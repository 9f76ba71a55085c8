"""A plugin: ``run``, a finished run of a small network on the small store."""

import pytest
from torch import nn

from mscf.models.context import ContextBlock


class SmallNetwork(nn.Module):
    """One context block between two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 16, 3, stride=8, padding=1)
        self.contexts = nn.ModuleList([ContextBlock(16)])
        self.up = nn.ConvTranspose2d(16, 1, 8, stride=8)
        self.last = nn.Conv2d(1, 1, 1)

    def forward(self, x):
        return self.last(self.up(self.contexts[0](self.down(x))))

    def heads(self):
        return [self.last]


@pytest.fixture
def run(tiny_store, tmp_path, monkeypatch):
    from mscf import finished_run
    from mscf.training import start
    from mscf.training.loop import train
    from mscf.training.settings import TrainSettings

    for place in (start, finished_run):
        monkeypatch.setattr(place, "build", lambda *_, **__: SmallNetwork())
    settings = TrainSettings(
        data=tiny_store, out=tmp_path / "run", epochs=2, pretrained=False, gpus=0,
        log_odds_bias=True,
    )  # fmt: skip
    return train(settings)
