"""A run that is gone on with from damaged files: it ends the same, or is refused."""

import json
import random
import shutil
from dataclasses import replace

import pytest
from mutating import damaged, edit_json, fuzz
from some import some
from torch import nn

from mscf.checkpoint import read_checkpoint, write_checkpoint
from mscf.errors import MscfError, SettingsError
from mscf.training import start
from mscf.training.loop import Run, train
from mscf.training.notebook import as_window
from mscf.training.settings import TrainSettings

STATE = pytest.mark.claim(
    "resume", "a damaged record, table or state ends a run the same or is refused"
)
CODE_IS_TEXT = pytest.mark.claim("security", "a parameter that holds code stays text")


class OneLayer(nn.Conv2d):
    def __init__(self) -> None:
        super().__init__(3, 1, 1)

    def heads(self):
        return [self]


def settings_for(tiny_store, out, **others) -> TrainSettings:
    return TrainSettings(
        data=tiny_store, out=out, epochs=1, batch_size=8, pretrained=False, gpus=0,
        **others,
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished(tiny_store, tmp_path_factory) -> Run:
    """Do not write here."""
    out = tmp_path_factory.mktemp("finished") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(start, "build", lambda *_, **__: OneLayer())
        return train(settings_for(tiny_store, out))


@pytest.fixture
def run(finished, tiny_store, tmp_path, monkeypatch):
    """A finished run in a folder of its own, to be gone on with."""
    monkeypatch.setattr(start, "build", lambda *_, **__: OneLayer())
    done = replace(finished, folder=tmp_path / "run")
    shutil.copytree(finished.folder, done.folder)
    settings = settings_for(tiny_store, done.folder, resume=True)
    return done, lambda: train(settings)


def same_rows(done):
    return lambda again: again.rows.equals(done.rows)


@STATE
@pytest.mark.parametrize("n", some([10, 40], 10))
def test_a_damaged_record_ends_the_run_the_same_or_is_refused(n, run, shows) -> None:
    done, resume = run
    path = done.folder / "run.json"
    damage = lambda content, seed: edit_json(content, random.Random(seed))  # noqa: E731
    fuzz(path, damage, range(n), resume, same_rows(done))
    shows(tried=n)


@STATE
@pytest.mark.parametrize(
    ("key", "value"),
    [("settings", []), ("store", []), ("store", "a"), ("seconds", "x"),
     ("resumed", 1)],
)  # fmt: skip
def test_a_record_with_a_value_of_another_kind_is_refused(key, value, run) -> None:
    done, resume = run
    path = done.folder / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(MscfError):
        resume()


@STATE
def test_a_damaged_history_ends_the_run_the_same_or_is_refused(run, shows) -> None:
    done, resume = run
    path = done.folder / "history.csv"
    damage = lambda content, seed: damaged(content, path, seed)  # noqa: E731
    fuzz(path, damage, range(20), resume, same_rows(done))
    shows(tried=20)


@STATE
@pytest.mark.parametrize("name", ["per_slice.csv", "split.csv", "summary.json"])
def test_what_a_run_writes_anew_cannot_mislead_it(name, run) -> None:
    done, resume = run
    (done.folder / name).write_bytes(b"\xff damaged")
    assert resume().rows.equals(done.rows)


@STATE
@pytest.mark.parametrize(
    ("name", "key"),
    [("last.ckpt", "state"), ("last.ckpt", "exact"), ("best.ckpt", "epoch")],
)
@pytest.mark.parametrize("value", [None, "text", [], {"a": 1}, -5])
def test_a_checkpoint_without_its_place_in_the_run_is_refused(
    name, key, value, run
) -> None:
    done, resume = run
    path = done.folder / name
    tensors, record = read_checkpoint(path)
    if value is None:
        del record[key]
    else:
        record[key] = value
    digest = write_checkpoint(path, tensors, record)
    if name == "best.ckpt":  # the one that last.ckpt names, else that alone refuses it
        last = done.folder / "last.ckpt"
        tensors, record = read_checkpoint(last)
        record["state"]["best"]["digest"] = digest
        write_checkpoint(last, tensors, record)
    with pytest.raises(MscfError):
        resume()


@STATE
def test_a_checkpoint_without_adams_moments_is_refused(run) -> None:
    done, resume = run
    path = done.folder / "last.ckpt"
    tensors, record = read_checkpoint(path)
    kept = {n: t for n, t in tensors.items() if "exp_avg_sq" not in n}
    write_checkpoint(path, kept, record)
    with pytest.raises(MscfError):
        resume()


@CODE_IS_TEXT
@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('x')", "open('x', 'w')", "(1).__class__", "",
        "(1, 2, 3)", "{}", "(" * 5000, "(1, '\x00')",
    ],
)  # fmt: skip
def test_a_parameter_that_holds_code_stays_text(text, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError):
        as_window(text)
    assert list(tmp_path.iterdir()) == []


@CODE_IS_TEXT
def test_a_parameter_that_is_too_deep_is_refused() -> None:
    with pytest.raises(SettingsError):
        as_window("-" * 200_000 + "1")
