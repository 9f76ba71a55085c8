import pytest
import torch
from dark import Dark, write_weights

from mscf.errors import CheckpointError, SettingsError
from mscf.inference.weights import open_weights


def test_a_run_and_its_checkpoint_are_the_same_network(run) -> None:
    of_run, of_file = open_weights(run), open_weights(run / "best.ckpt")
    assert of_run.digest == of_file.digest
    assert (of_run.method, of_run.image_size) == ("dark", 32)
    assert of_run.window == (-40.0, 160.0)
    assert not of_run.network.training
    assert torch.equal(of_run.network.border, Dark().border)


def test_a_name_is_refused_until_weights_are_released(run) -> None:
    with pytest.raises(SettingsError, match=r"no mscf-lits.*released.*\[weights-mis"):
        open_weights("mscf-lits")


def test_a_folder_without_a_checkpoint_is_no_run(tmp_path) -> None:
    with pytest.raises(CheckpointError, match=r"no best\.ckpt.*\[weights-missing\]"):
        open_weights(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "abacus"},
        {"method": 5},
        {"classes": 2},
        {"image_size": "32"},
        {"image_size": 20},
        {"image_size": 8},
        {"settings": None},
        {"settings": {"window": [160, -40]}},
        {"settings": {"window": [0, float("inf")]}},
        {"settings": {"window": 3}},
    ],
)
def test_a_record_that_makes_no_sense_is_refused(changes, run) -> None:
    path = write_weights(run / "other.ckpt", **changes)
    with pytest.raises(CheckpointError, match=r"other\.ckpt.*\[weights-record\]"):
        open_weights(path)


def test_weights_of_another_method_are_refused(run) -> None:
    path = write_weights(run / "other.ckpt", method="unet")
    with pytest.raises(CheckpointError, match=r"\[checkpoint-tensors\]"):
        open_weights(path)


def test_a_damaged_checkpoint_is_refused(run) -> None:
    path = run / "best.ckpt"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"best\.ckpt.*\[checkpoint-digest\]"):
        open_weights(run)
