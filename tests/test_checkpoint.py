import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from mscf import checkpoint
from mscf.checkpoint import load_weights, read_checkpoint, write_checkpoint
from mscf.errors import CheckpointError, StorageError


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "last.ckpt"
    tensors = {
        "weight": torch.randn(3, 4),
        "half": torch.randn(5).bfloat16(),
        "steps": torch.tensor(7),
    }
    write_checkpoint(path, tensors, {"epoch": 3, "settings": {"seed": 0}})
    return path, tensors


def test_reading_gives_what_was_written(written) -> None:
    path, tensors = written
    got, record = read_checkpoint(path)
    assert got.keys() == tensors.keys()
    for name, tensor in tensors.items():
        torch.testing.assert_close(got[name], tensor, rtol=0, atol=0)
    assert record["epoch"] == 3


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused(written, where, bit) -> None:
    path, tensors = written
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= 1 << bit
    other = path.with_name("flipped.ckpt")
    other.write_bytes(content)
    try:
        got, record = read_checkpoint(other)
    except CheckpointError:
        return
    # Only padding may change without being noticed: then nothing else has changed.
    assert record["epoch"] == 3
    assert all(torch.equal(got[n], t) for n, t in tensors.items())


@pytest.mark.claim("checkpoints", "a file that was cut off is refused")
@pytest.mark.parametrize("length", [0, 4, 100, -1])
def test_a_cut_file_is_refused(written, length) -> None:
    path, _ = written
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(CheckpointError, match=r"last.ckpt.*\[checkpoint-"):
        read_checkpoint(path)


def test_a_run_s_folder_is_refused_with_the_name_that_is_meant(tmp_path) -> None:
    with pytest.raises(CheckpointError, match=r"; name the best\.ckpt in it \["):
        read_checkpoint(tmp_path)


@pytest.mark.claim("security", "a file that would run code is refused, and runs none")
def test_a_pickle_is_refused_and_runs_nothing(tmp_path) -> None:
    class Payload:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    path = tmp_path / "foreign.ckpt"
    path.write_bytes(pickle.dumps(Payload()))
    with pytest.raises(CheckpointError):
        read_checkpoint(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.claim(
    "checkpoints", "a full disk ends a run in one line and spoils no checkpoint"
)
def test_a_file_takes_its_room_once(written, monkeypatch) -> None:
    """What is reserved is given free for the file that safetensors writes."""
    path, *_ = written
    sizes = []
    whole = checkpoint.save_file

    def seen(tensors, name, record) -> None:
        sizes.append(Path(name).stat().st_size)
        whole(tensors, name, record)

    monkeypatch.setattr(checkpoint, "save_file", seen)
    write_checkpoint(path, {"a": torch.zeros(10_000)}, {})
    assert sizes == [0]


def test_a_failed_write_leaves_the_older_file(written, monkeypatch) -> None:
    path, tensors = written
    before = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mscf.replacing.os.posix_fallocate", full)
    with pytest.raises(StorageError, match="No space left"):
        write_checkpoint(path, tensors, {"epoch": 4})
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_disk_that_fails_altogether_is_one_line_too(written, monkeypatch) -> None:
    path, tensors = written

    def gone(*args, **options):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("mscf.replacing.os.posix_fallocate", gone)
    monkeypatch.setattr("mscf.replacing.Path.unlink", gone)
    with pytest.raises(StorageError, match=r"last.ckpt.*Input/output error"):
        write_checkpoint(path, tensors, {"epoch": 4})


@pytest.mark.claim(
    "checkpoints", "tensors of another network are refused, and none is loaded"
)
def test_weights_of_another_network_are_refused_whole(tmp_path) -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    before = {n: t.clone() for n, t in network.state_dict().items()}
    foreign = {**before, "1.weight": torch.zeros(3, 2)}
    with pytest.raises(CheckpointError, match=r"1\.weight"):
        load_weights(network, foreign, tmp_path / "x")
    with pytest.raises(CheckpointError, match=r"0\.bias"):
        load_weights(network, {"1.weight": before["1.weight"]}, tmp_path / "x")
    unfit = {**before, "0.bias": torch.tensor([0.0, torch.nan])}
    with pytest.raises(CheckpointError, match=r"finite.*0.bias"):
        load_weights(network, unfit, tmp_path / "x")
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])
