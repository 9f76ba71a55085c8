from dataclasses import replace
from functools import partial
from pathlib import Path

import papermill
import pytest

from mscf.data.phantom import make_phantoms
from mscf.errors import SettingsError
from mscf.training import notebook
from mscf.training.notebook import (
    DEMO,
    demo_store,
    notebook_settings,
)
from mscf.training.settings import TrainSettings

ROOT = Path(__file__).parents[2]
PARAMETERS = {
    "data": "stores/mine", "method": "mscf", "gpus": None, "epochs": None,
    "batch_size": 8, "learning_rate": None, "image_size": None, "split": "patient",
    "fold": 0, "seed": 0, "window": (-40, 160), "slices": "tumour", "pretrained": True,
    "processes": None, "workers": None, "precision": "auto", "resume": True,
    "out": "runs/train",
}  # fmt: skip


def settings_of(**changes) -> TrainSettings:
    return notebook_settings(Path("here"), **(PARAMETERS | changes))


def test_parameters_are_those_of_the_notebook_with_its_defaults() -> None:
    found = papermill.inspect_notebook(ROOT / "notebooks/train.ipynb")
    assert list(found) == list(PARAMETERS)


def test_a_store_is_trained_on_in_the_papers_setting() -> None:
    assert settings_of() == TrainSettings(
        data="here/stores/mine", out="here/runs/train", resume=True
    )


def test_phantoms_depart_from_it_as_the_page_says() -> None:
    found = settings_of(data="phantoms")
    assert found.image_size == 192
    assert found.data == notebook.demo_folder(Path("here")) / "store-192"
    expected = settings_of(data=found.data.relative_to("here"), image_size=192)
    assert found == replace(expected, **DEMO)


def test_what_is_asked_for_wins_over_the_demo() -> None:
    found = settings_of(data="phantoms", epochs=1, image_size=224, learning_rate=1e-4)
    assert (found.epochs, found.learning_rate) == (1, 1e-4)
    assert found.data.name == "store-224"


def test_an_absolute_path_stays(tmp_path) -> None:
    found = settings_of(data=str(tmp_path), out=str(tmp_path / "run"))
    assert (found.data, found.out) == (tmp_path, tmp_path / "run")


def test_a_window_may_come_as_text() -> None:
    assert settings_of(window="[-160, 240]").window == (-160.0, 240.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gpus": 99}, "99 GPUs were asked for, this machine has"),
        ({"gpus": "four"}, "gpus: must be a whole number or None .found: four"),
        ({"gpus": True}, "gpus: must be a whole number"),
        ({"pretrained": "false"}, "pretrained: must be True or False .found: false"),
        ({"resume": "no"}, "resume: must be True or False"),
        ({"learning_rate": "abc"}, "learning_rate: must be a finite number"),
        ({"learning_rate": True}, "learning_rate: must be a finite number"),
        ({"window": 5}, "window: must be two HU"),
        ({"window": None}, "window: must be two HU"),
        ({"window": (0, float("nan"))}, "window: must be two HU"),
        ({"window": "(0, 1e999)"}, "window: must be two HU"),
        ({"window": ("0", "1")}, "window: must be two HU"),
        ({"data": 5}, "data: must be a path"),
        ({"data": None}, "data: must be a path"),
        ({"out": 5}, "out: must be a path"),
        ({"method": 5}, "method: must be a word"),
        ({"split": None}, "split: must be a word"),
        ({"fold": None}, "fold: must be a whole number"),
        ({"seed": None}, "seed: must be a whole number"),
        ({"seed": 1.0}, "seed: must be a whole number"),
        ({"batch_size": None}, "batch_size: must be a whole number"),
        ({"data": "phantoms", "fold": None}, "fold: must be a whole number"),
        ({"data": "phantoms", "image_size": 0}, "image_size: must be a multiple of 32"),
        ({"data": "phantoms", "image_size": "192"}, "image_size: must be a whole"),
        ({"processes": True}, "processes: must be a whole number"),
        ({"epochs": 1.5}, "epochs: must be a whole number"),
        ({"batch_size": 0}, "batch_size: must be at least 1"),
        ({"processes": 0}, "processes: must be at least 1"),
        ({"window": "wide"}, "window: must be two HU"),
        ({"window": "(1, 2, 3)"}, "window: must be two HU"),
        ({"method": "unett"}, "method: must be a key"),
        ({"learning_rat": 1e-3}, "learning_rat: must be a parameter of the notebook"),
    ],
)
def test_a_wrong_parameter_is_one_clear_error(changes, message) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        settings_of(**changes)
    assert "\n" not in str(caught.value)


def test_demo_store_is_made_once(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(notebook, "DEMO_CASES", 1)
    monkeypatch.setattr(notebook, "make_phantoms", partial(make_phantoms, size=64))
    store = demo_store(tmp_path)
    assert store.size == 192
    assert set(store.index["case"]) == {"liver_0"}
    written = (store.folder / "images.npy").stat().st_mtime_ns
    assert demo_store(tmp_path).checksum == store.checksum
    assert (store.folder / "images.npy").stat().st_mtime_ns == written
