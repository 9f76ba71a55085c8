"""A run goes on from its own state only; all else is one line, and nothing changes."""

import json
import shutil

import pytest
import torch
from small_run import SmallNetwork, settings_for

from mscf.checkpoint import load_weights, read_checkpoint, write_checkpoint
from mscf.data.store import prepare
from mscf.errors import CheckpointError
from mscf.training import start
from mscf.training.loop import train

OTHER = pytest.mark.claim(
    "checkpoints", "a state of another run is refused, with what differs; files stay"
)
INEXACT = pytest.mark.claim(
    "resume", "where the bits would differ a run goes on only if that was allowed"
)


@pytest.fixture(scope="module")
def finished(tiny_store, tmp_path_factory):
    """A run of one epoch; do not write here."""
    out = tmp_path_factory.mktemp("finished") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(start, "build", lambda *args, **options: SmallNetwork())
        train(settings_for(tiny_store, out, epochs=1))
    return out


@pytest.fixture
def resume(small, finished, tiny_store, tmp_path):
    """Goes on with a copy of that run, in ``tmp_path / "run"``, by these settings."""
    out = tmp_path / "run"
    shutil.copytree(finished, out)

    def go_on(data=tiny_store, **changes):
        return train(settings_for(data, out, resume=True, **{"epochs": 2, **changes}))

    return go_on


def refused(resume, out, *words: str, **changes) -> None:
    """In one line with these words, and no file has changed."""
    before = contents(out)
    with pytest.raises(CheckpointError) as caught:
        resume(**changes)
    line = str(caught.value)
    assert "\n" not in line
    assert [word for word in words if word not in line] == [], line
    assert contents(out) == before


def contents(out) -> dict[str, bytes]:
    """Of all files but the lock, which says who held it."""
    return {p.name: p.read_bytes() for p in out.iterdir() if p.name != "run.lock"}


@OTHER
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("method", "unet", "method unet instead of mscf"),
        ("split", "slice", "split slice instead of patient"),
        ("fold", 1, "fold 1 instead of 0"),
        ("seed", 1, "seed 1 instead of 0"),
        ("window", (-100.0, 200.0), "window (-100.0, 200.0) instead of [-40.0, 160.0]"),
        ("schedule", "release", "schedule release instead of paper"),
        ("batch_size", 5, "batch_size 5 instead of 4"),
        ("augment", False, "augment False instead of True"),
    ],
)
def test_other_settings_are_refused(name, value, words, resume, tmp_path) -> None:
    refused(resume, tmp_path / "run", words, "[run-settings]", **{name: value})


@OTHER
@pytest.mark.parametrize("size", [192, 224])
def test_another_store_is_refused(size, resume, tiny_cases, tmp_path) -> None:
    case = next((tiny_cases / "imagesTr").iterdir()).name
    for kind in ("imagesTr", "labelsTr"):
        shutil.copytree(tiny_cases / kind, tmp_path / "cases" / kind)
        (tmp_path / "cases" / kind / case).unlink()
    prepare(tmp_path / "cases", tmp_path / "other", size=size, processes=1)
    words = f"data {tmp_path / 'other'} instead of a store of other content"
    refused(resume, tmp_path / "run", words, data=tmp_path / "other")


@OTHER
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("method", "unet"),
        ("classes", 2),
        ("image_size", 448),
        ("store", "f" * 64),
        ("split", "e" * 64),
    ],
)
def test_the_state_of_another_run_in_this_folder_is_refused(
    name, value, resume, tmp_path
) -> None:
    path = tmp_path / "run/last.ckpt"
    tensors, record = read_checkpoint(path)
    write_checkpoint(path, tensors, record | {name: value})
    words = f"must be of {name} {record[name]} (found: {value})"
    refused(resume, tmp_path / "run", words, "--finetune-from", "[checkpoint-run]")


@pytest.mark.claim("checkpoints", "a file of a newer version is refused, with both")
def test_a_newer_version_is_refused(resume, tmp_path) -> None:
    path = tmp_path / "run/last.ckpt"
    tensors, record = read_checkpoint(path)
    write_checkpoint(path, tensors, record | {"format_version": 3})
    refused(
        resume, tmp_path / "run", "version 2 or older", "version 3", "[checkpoint-v"
    )


@pytest.mark.claim("checkpoints", "a file of an older version is read")
def test_the_weights_of_version_1_are_read_and_are_no_state(resume, tmp_path) -> None:
    """Version 1 had the weights alone, by their own names."""
    path = tmp_path / "run/last.ckpt"
    weights = SmallNetwork().state_dict()
    _, record = read_checkpoint(path)
    header = {
        name: record[name] for name in ("method", "classes", "image_size", "epoch",
                                        "settings", "store", "split", "versions")
    }  # fmt: skip
    write_checkpoint(path, weights, header | {"format_version": 1})
    network = SmallNetwork()
    load_weights(network, read_checkpoint(path)[0], path)
    assert all(torch.equal(weights[n], t) for n, t in network.state_dict().items())
    refused(resume, tmp_path / "run", "found: weights alone", "--finetune-from")


@pytest.fixture
def other_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    yield f"threads {before + 1} instead of {before}"
    torch.set_num_threads(before)


@INEXACT
@pytest.mark.check  # more threads than cores wait for each other
def test_other_threads_are_refused_unless_allowed_and_then_recorded_for_good(
    resume, other_threads, tmp_path
) -> None:
    refused(resume, tmp_path / "run", other_threads, "--allow-inexact", "[run-exact]")
    run = resume(allow_inexact=True)
    assert run.record["inexact"] == [other_threads]
    again = resume(epochs=3)  # on the same threads: exact, but the run is not
    assert again.record["inexact"] == [other_threads]


@INEXACT
@pytest.mark.parametrize("name", ["torch", "numpy", "device", "cpu", "threads"])
def test_another_version_device_or_number_of_threads_is_refused_unless_allowed(
    name, resume, tmp_path
) -> None:
    path = tmp_path / "run/last.ckpt"
    tensors, record = read_checkpoint(path)
    here = record["exact"][name]
    record["exact"][name] = "another"
    write_checkpoint(path, tensors, record)
    words = f"{name} {here} instead of another"
    refused(resume, tmp_path / "run", words, "--allow-inexact", "[run-exact]")
    assert resume(allow_inexact=True).record["inexact"] == [words]
    assert json.loads((tmp_path / "run/run.json").read_text())["inexact"] == [words]


def test_what_an_older_checkpoint_does_not_know_is_taken_as_here(
    resume, tmp_path
) -> None:
    path = tmp_path / "run/last.ckpt"
    tensors, record = read_checkpoint(path)
    del record["exact"]["numpy"], record["exact"]["cpu"]
    write_checkpoint(path, tensors, record)
    assert "inexact" not in resume().record


@pytest.mark.parametrize(("was", "words"), [(False, None), (True, "cuda_graph False")])
def test_a_run_of_before_a_setting_moved_last_bits_is_asked_by_its_settings(
    was, words, resume, tmp_path
) -> None:
    path = tmp_path / "run/last.ckpt"
    tensors, record = read_checkpoint(path)
    del record["exact"]["cuda_graph"]
    record["settings"]["cuda_graph"] = was
    write_checkpoint(path, tensors, record)
    if words:
        refused(resume, tmp_path / "run", words, "--allow-inexact", "[run-exact]")
    assert resume(allow_inexact=True).record.get("inexact") == (
        [f"{words} instead of True"] if words else None
    )
