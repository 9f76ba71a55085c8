from pathlib import Path

import pytest
from small_run import SmallNetwork, settings_for

from mscf.training import start
from mscf.training.loop import train


@pytest.fixture
def small(monkeypatch) -> None:
    monkeypatch.setattr(start, "build", lambda *args, **kwargs: SmallNetwork())


@pytest.fixture(scope="session")
def whole(tiny_store, tmp_path_factory) -> Path:
    """The run of three epochs that nothing stops; do not write here."""
    out = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(start, "build", lambda *args, **kwargs: SmallNetwork())
        train(settings_for(tiny_store, out))
    return out
