"""The method ``dark`` of `dark.Dark`, and a run of it."""

from pathlib import Path

import pytest
from dark import DarkMethod, write_weights

from mscf import models


@pytest.fixture
def run(monkeypatch, tmp_path) -> Path:
    """The folder of a run with its best weights."""
    monkeypatch.setattr(models, "METHODS", {**models.METHODS, "dark": DarkMethod()})
    folder = tmp_path / "run"
    folder.mkdir()
    write_weights(folder / "best.ckpt")
    return folder
