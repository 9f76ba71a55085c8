from pathlib import Path

import pytest

from mscf.paths import root


@pytest.fixture
def repository(tmp_path) -> Path:
    (tmp_path / "clone" / "mscf" / "data").mkdir(parents=True)
    (tmp_path / "clone" / "notebooks").mkdir()
    (tmp_path / "clone" / "_toc.yml").touch()
    return tmp_path / "clone"


@pytest.mark.parametrize("folder", [".", "notebooks", "mscf/data"])
def test_the_root_is_found_from_any_folder_of_the_repository(
    folder, repository, monkeypatch
) -> None:
    monkeypatch.chdir(repository / folder)
    assert root() == repository


def test_outside_a_repository_the_root_is_the_current_folder(
    repository, monkeypatch
) -> None:
    monkeypatch.chdir(repository.parent)
    assert root() == repository.parent


def test_an_absolute_path_stays_itself(repository, monkeypatch) -> None:
    monkeypatch.chdir(repository)
    assert root() / "/elsewhere/store" == Path("/elsewhere/store")
