import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

from mscf import cli
from mscf.errors import SettingsError
from mscf.models import build
from mscf.training.settings import TrainSettings
from mscf.training.start import start_findings

ROOT = Path(__file__).parents[2]


def make(**changes) -> TrainSettings:
    return TrainSettings(data=Path("store"), out=Path("run"), **changes)


def test_defaults_are_the_papers_setting() -> None:
    s = make()
    assert (s.learning_rate, s.batch_size, s.epochs) == (2e-4, 8, 400)
    assert s.augment
    assert not s.log_odds_bias


@pytest.mark.claim(
    "machine",
    "Settings that cannot be are refused before any work, and leave no folder",
)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "unett"}, "method: must be a key of METHODS"),
        ({"image_size": 200}, "multiple of 32.*use 192"),
        ({"image_size": 160}, "at least 192.*use 192"),
        ({"epochs": 0}, "epochs: must be at least 1"),
        ({"learning_rate": 0.0}, "between 0 and 1"),
        ({"window": (160, -40)}, "low and high"),
        ({"split": "volume"}, "one of patient, slice"),
        ({"precision": "fp8"}, "one of auto, float32, bf16"),
        ({"window": (float("nan"), 5)}, "window: must be two HU"),
        ({"learning_rate": float("inf")}, "must be a finite number"),
        ({"augment": 1}, "augment: must be True or False"),
        ({"workers": 1.5}, "workers: must be a whole number or None"),
        ({"gpus": 99}, "99 GPUs were asked for, this machine has"),
    ],
)
def test_a_setting_out_of_range_is_one_clear_error(changes, message) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        make(**changes)
    assert "\n" not in str(caught.value)


def test_command_line_has_the_fields_and_defaults_of_the_settings() -> None:
    options = inspect.signature(cli.train).parameters
    expected = {f.name: f.default for f in fields(TrainSettings)}
    assert list(options) == [*expected, "verbose"]
    for name, default in expected.items():
        if name not in ("data", "out"):
            assert options[name].default == default


def test_automatic_settings_are_decided_before_they_are_recorded() -> None:
    resolved = make(gpus=0).resolved()
    assert resolved.precision in ("float32", "bf16")
    assert resolved.workers == 0
    assert resolved.recorded()["gpus"] == 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"accumulate": 8}, True),  # as eight processes have it
        ({"accumulate": 5}, True),
        ({"accumulate": 4}, False),
        ({"accumulate": 8, "batch_size": 16}, False),  # as the line says
        ({"batch_size": 1}, False),  # asked for
    ],
)
def test_parts_of_one_slice_are_told(changes, told) -> None:
    model = build("senet", pretrained=False)
    settings = make(method="senet", pretrained=False, **changes)
    found = [one.check for one in start_findings(settings, model, "")]
    assert found == ["one-slice"] * told


def test_the_commands_for_several_machines_leave_every_process_two_slices() -> None:
    page = (ROOT / "book/training.md").read_text(encoding="utf-8")
    script = (ROOT / "profiles/slurm/train.sh").read_text(encoding="utf-8")
    words = r"--nn?odes[ =](\d+)\S* \S*--(?:nproc-per-node|gpus-per-node)[ =](\d+)"
    pairs = re.findall(words, page + script)
    assert len(pairs) == 3
    for machines, each in pairs:
        assert make().batch_size >= 2 * int(machines) * int(each)
