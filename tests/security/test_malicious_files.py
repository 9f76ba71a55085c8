"""Files that would run code if a careless reader opened them: none of them does."""

import io
import pickle
import shutil
import zipfile

import numpy as np
import pytest
import torch

from mscf.checkpoint import read_checkpoint
from mscf.data.store import open_store
from mscf.errors import CheckpointError, InputError
from mscf.evaluation.tables import read_rows
from mscf.kept.results import keep_run
from mscf.training.loop import train
from mscf.training.run_folder import read_record
from mscf.training.settings import TrainSettings

RUNS_NONE = pytest.mark.claim(
    "security", "a file that would run code is refused, and runs none"
)


class Payload:
    """Unpickled it makes a file."""

    def __init__(self, mark) -> None:
        self.mark = mark

    def __reduce__(self):
        return (self.mark.touch, ())


def as_pickle(payload) -> bytes:
    return pickle.dumps(payload)


def as_old_pickle(payload) -> bytes:
    return pickle.dumps(payload, protocol=0)


def as_torch(payload) -> bytes:
    file = io.BytesIO()
    torch.save({"model": payload}, file)
    return file.getvalue()


def as_old_torch(payload) -> bytes:
    file = io.BytesIO()
    torch.save({"model": payload}, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def as_npy(payload) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([payload], dtype=object), allow_pickle=True)
    return file.getvalue()


def as_npz(payload) -> bytes:
    file = io.BytesIO()
    np.savez(file, images=np.array([payload], dtype=object))
    return file.getvalue()


def as_zip(payload) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("../../escaped", "out")
        archive.writestr("data.pkl", pickle.dumps(payload))
    return file.getvalue()


KINDS = [as_pickle, as_old_pickle, as_torch, as_old_torch, as_npy, as_npz, as_zip]


@pytest.fixture
def mark(tmp_path):
    """The file that a payload makes where it runs; checked after every test."""
    path = tmp_path / "ran"
    yield path
    assert not path.exists()


def test_a_payload_runs_where_it_is_unpickled(tmp_path) -> None:
    pickle.loads(as_pickle(Payload(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()  # or the tests below would prove nothing


@RUNS_NONE
@pytest.mark.parametrize("kind", KINDS)
def test_a_malicious_checkpoint_is_refused(kind, mark, tmp_path) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(kind(Payload(mark)))
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)


@pytest.fixture
def run(small, tiny_store, tmp_path):
    settings = TrainSettings(
        data=tiny_store, out=tmp_path / "run", epochs=1, pretrained=False, gpus=0,
        batch_size=4,
    )  # fmt: skip
    train(settings)
    return settings


@RUNS_NONE
@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt"])
def test_a_malicious_checkpoint_in_a_run_is_refused_and_left_alone(
    name, mark, run
) -> None:
    path = run.out / name
    content = as_torch(Payload(mark))
    path.write_bytes(content)
    again = TrainSettings(**{**run.recorded(), "resume": True})
    with pytest.raises(CheckpointError, match=name):
        train(again)
    assert path.read_bytes() == content


@RUNS_NONE
@pytest.mark.parametrize("array", ["images.npy", "masks.npy"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_malicious_array_of_a_store_is_refused(
    kind, array, mark, tiny_store, tmp_path
) -> None:
    shutil.copytree(tiny_store, tmp_path / "store")
    (tmp_path / "store" / array).write_bytes(kind(Payload(mark)))
    with pytest.raises(CheckpointError, match=r"\[store-damaged\]"):
        open_store(tmp_path / "store")


@RUNS_NONE
@pytest.mark.parametrize("kind", KINDS)
def test_malicious_text_files_are_refused(kind, mark, tiny_store, tmp_path) -> None:
    content = kind(Payload(mark))
    shutil.copytree(tiny_store, tmp_path / "store")
    for name in ("index.csv", "store.json"):
        (tmp_path / "store" / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=r"\[store-damaged\]"):
            open_store(tmp_path / "store")
    (tmp_path / "per_slice.csv").write_bytes(content)
    with pytest.raises(InputError):
        read_rows(tmp_path / "per_slice.csv")
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(CheckpointError):
        read_record(tmp_path / "run.json")


@RUNS_NONE
def test_a_malicious_record_of_a_run_is_not_kept(mark, run, tmp_path) -> None:
    (run.out / "run.json").write_bytes(as_pickle(Payload(mark)))
    with pytest.raises(CheckpointError, match=r"run.json"):
        keep_run(run.out, tmp_path / "results")
    assert not (tmp_path / "results").exists()
