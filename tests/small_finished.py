"""A plugin: ``run``, a finished run of a small network on the small store."""

import shutil
from dataclasses import replace

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


def build_small(patch: pytest.MonkeyPatch) -> None:
    """Every network that is built is the small one."""
    from mscf.kept import finished_run
    from mscf.training import start

    for place in (start, finished_run):
        patch.setattr(place, "build", lambda *_, **__: SmallNetwork())


@pytest.fixture(scope="session")
def finished_small_run(tiny_store, tmp_path_factory):
    """Do not write into its folder."""
    from mscf.training.loop import train
    from mscf.training.settings import TrainSettings

    settings = TrainSettings(
        data=tiny_store, out=tmp_path_factory.mktemp("small") / "run", epochs=2,
        pretrained=False, gpus=0, log_odds_bias=True,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        build_small(patch)
        return train(settings)


@pytest.fixture
def run(finished_small_run, tmp_path, monkeypatch):
    """That run in a folder of its own, and its network the one that is built."""
    build_small(monkeypatch)
    shutil.copytree(finished_small_run.folder, tmp_path / "run")
    return replace(finished_small_run, folder=tmp_path / "run")
