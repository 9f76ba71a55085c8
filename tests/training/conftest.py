import pytest
from small_run import SmallNetwork

from mscf.training import start


@pytest.fixture
def small(monkeypatch) -> None:
    monkeypatch.setattr(start, "build", lambda *args, **kwargs: SmallNetwork())
