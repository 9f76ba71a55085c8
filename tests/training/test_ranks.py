"""Several processes, started as torchrun starts them: one network, one end for all."""

import json
import re
import signal
import time

import pandas as pd
import pytest
import torch
from small_processes import Ended, finished, forked, listener, options, together
from small_run import same_run, settings_for
from some import some
from torch import nn

from mscf.checkpoint import read_checkpoint
from mscf.data.store import open_store
from mscf.errors import (
    CheckpointError,
    DistributedError,
    NumericalError,
    Stopped,
    StorageError,
)
from mscf.training import distributed
from mscf.training import state as state_module
from mscf.training.batch_norm import move_once_a_step
from mscf.training.distributed import LAUNCHED, Ranks, joined, leave_cause
from mscf.training.launch import ENDED, cause
from mscf.training.loop import train
from mscf.training.run_folder import same_everywhere
from mscf.training.state import RunState
from mscf.training.stopping import stop_requests

ALIKE = "Two processes train as one that accumulates the same parts does"
SHARED = "However many processes, a slice trains once an epoch and is evaluated once"
OTHERS = "A run goes on with other processes only where that was allowed"
EXACT = "A run of two processes, stopped in the middle of an epoch, ends bit-equal"
NAN = "A NaN in one of several processes stops all, with rank and slices named"
DISK = "A disk that is full for the process that saves ends all of them"
PORT = "A port that is taken is one line, or does not matter: another is chosen"
ASKED = "A request to stop saves and ends several processes with exit code 75"
DIFFER = "Processes that were started with different settings do not train"


def losses(*folders) -> list[pd.Series]:
    return [pd.read_csv(folder / "history.csv")["loss"] for folder in folders]


@pytest.mark.claim("processes", ALIKE)
@pytest.mark.claim("processes", SHARED)
@pytest.mark.parametrize("batch", some([4, 2, 7], 2))
def test_two_processes_are_one_that_accumulates_two_parts(
    batch, small, tiny_store, tmp_path, shows
) -> None:
    """15 slices: with batch 2 a last step of one slice, of which rank 1 has none."""
    changes = {"batch_size": batch, "split": "slice", "fold": 3}
    words = options(tiny_store, tmp_path / "two", **changes)
    assert [rank.code for rank in together(words, words)] == [0, 0]
    changes |= {"accumulate": 2, "precision": "float32"}
    train(settings_for(tiny_store, tmp_path / "one", **changes))
    one, two = losses(tmp_path / "one", tmp_path / "two")
    assert (one - two).abs().max() < 1e-5
    weights = [
        read_checkpoint(tmp_path / name / "last.ckpt")[0] for name in ("one", "two")
    ]
    statistics = [key for key in weights[0] if key.endswith("running_var")]
    assert statistics
    for key in statistics:
        torch.testing.assert_close(weights[0][key], weights[1][key], rtol=0.2, atol=0)
    split = pd.read_csv(tmp_path / "two/split.csv")
    test = split.loc[split["fold"] == 3, ["case", "slice"]].to_numpy().tolist()
    assert len(test) == 3  # odd: one rank evaluates two of them
    for name in ("one", "two"):
        rows = pd.read_csv(tmp_path / name / "per_slice.csv")
        assert sorted(rows[["case", "slice"]].to_numpy().tolist()) == sorted(test)
    shows(shown=f"losses differ by {(one - two).abs().max():.1g}")


def test_accumulated_parts_move_statistics_as_far_as_one_pass() -> None:
    mean, passes = torch.full((4, 3, 2, 2), 5.0), 4
    whole, parts = nn.BatchNorm2d(3), nn.Sequential(nn.BatchNorm2d(3))
    move_once_a_step(parts, passes)
    for _ in range(10):
        whole(mean)
        for _ in range(passes):
            parts(mean)
    assert whole.running_mean.max() < 4  # else both are at their end
    torch.testing.assert_close(parts[0].running_mean, whole.running_mean)


class Elsewhere(Ranks):
    """The second of two processes, on a machine where ``--out`` is another folder."""

    def __init__(self, first: list) -> None:
        super().__init__(rank=1, world=2)
        self.of_first = iter(first)

    def wait(self) -> None:
        """The first one is not there."""

    def gather(self, value: object) -> list:
        return [next(self.of_first), value]


def test_a_folder_that_is_not_shared_is_told_at_the_start(
    small, tiny_store, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(state_module, "SEEN_AFTER", 0.1)
    settings = settings_for(tiny_store, tmp_path)
    store, model = open_store(tiny_store), nn.Conv2d(1, 1, 1)
    optimizer = torch.optim.Adam(model.parameters())
    ranks = Elsewhere(["2026-01-01T00:00:00", "digest"])
    with pytest.raises(DistributedError, match=r"folder .*shared.*\[ranks-differ\]"):
        RunState.open(settings, store, model, optimizer, ranks)


def lines(ended: Ended) -> list[str]:
    return ended.errors.splitlines()


@pytest.mark.claim("processes", NAN)
def test_a_nan_in_one_rank_stops_all_and_is_named(tiny_store, tmp_path) -> None:
    words = options(tiny_store, tmp_path / "run")
    ended = together(words, words, fault="nan 1 4", **{LAUNCHED: "1"})
    assert [rank.code for rank in ended] == [8, 5]
    error = cause(tmp_path / "run", 1)
    assert isinstance(error, NumericalError)
    where = "epoch 1, step 1 of rank 1 must be finite (found: nan on liver_"
    assert where in str(error)
    failure = json.loads((tmp_path / "run/failure.json").read_text())
    assert failure["rank"] == 1
    assert len(failure["slices"]) == 2  # its half of a batch
    assert all(name in str(error) for name in failure["slices"])
    _, header = read_checkpoint(tmp_path / "run/last.ckpt")
    assert header["state"]["position"]["epoch"] == 1  # as it was saved


@pytest.mark.check
@pytest.mark.claim("processes", DISK)
@pytest.mark.claim("machine", "A full disk ends a run with its last state untouched")
def test_when_the_first_one_cannot_save_all_end(tiny_store, tmp_path, shows) -> None:
    words = options(tiny_store, tmp_path / "run")
    begin = time.monotonic()
    ended = together(words, words, fault="disk_is_full 0 4", **{LAUNCHED: "1"})
    seconds = time.monotonic() - begin
    assert [rank.code for rank in ended] == [7, 8]
    error = cause(tmp_path / "run", 1)
    assert isinstance(error, StorageError)
    assert "No space left on device" in str(error)
    _, header = read_checkpoint(tmp_path / "run/last.ckpt")
    assert header["state"]["position"]["epoch"] == 1
    shows(shown=f"all ended {seconds:.1f} s after the start")


@pytest.mark.claim("processes", ASKED)
@pytest.mark.parametrize("becomes", [KeyboardInterrupt, RuntimeError])
def test_a_request_that_is_obeyed_at_once_is_left_as_such_for_the_launcher(
    becomes, tiny_store, tmp_path, monkeypatch
) -> None:
    """While the processes start; an import may make any error of the interruption."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr(distributed, "die_with_parent", lambda number: None)
    monkeypatch.setattr(distributed, "connected", lambda *args: Ranks())
    settings = settings_for(tiny_store, tmp_path)

    def start() -> None:
        with stop_requests(tmp_path) as stop, joined(settings, stop):
            try:
                signal.raise_signal(signal.SIGUSR1)
            except KeyboardInterrupt as error:
                raise becomes("in the middle of something") from error

    with pytest.raises(Stopped, match="SIGUSR1"):
        start()
    text = (tmp_path / "rank-0.json").read_text()
    assert '"code": 75' in text  # what train.sh looks for
    left = json.loads(text)
    assert left["check"] == "stopped"
    assert "traceback" not in left
    assert isinstance(cause(tmp_path, 1), Stopped)


@pytest.mark.parametrize(
    ("error", "statuses", "expected"),
    [
        (NumericalError("epoch 1", "must be finite", "nan", "loss-finite"), {1: 5},
         NumericalError),
        (None, {0: 75, 1: -9}, DistributedError),  # killed, it leaves no file
        (None, {}, Stopped),
    ],
)  # fmt: skip
def test_that_torchrun_asked_the_others_to_stop_is_not_why_one_failed(
    error, statuses, expected, tmp_path
) -> None:
    leave_cause(
        tmp_path / "rank-0.json", Stopped("run", "was asked", "SIGTERM", "stopped")
    )
    if error:
        leave_cause(tmp_path / "rank-1.json", error)
    (tmp_path / ENDED).write_text(json.dumps(statuses))
    assert type(cause(tmp_path, 1)) is expected


@pytest.mark.check
@pytest.mark.claim("processes", ASKED)
def test_a_request_while_the_result_is_computed_ends_all_and_it_goes_on(
    tiny_store, tmp_path
) -> None:
    words = options(tiny_store, tmp_path / "run", epochs=1)
    ended = together(words, words, fault="is_asked_to_stop 0 result", **{LAUNCHED: "1"})
    assert [rank.code for rank in ended] == [75, 8]
    assert isinstance(cause(tmp_path / "run", 1), Stopped)
    again = [*words, "--resume"]
    assert [rank.code for rank in together(again, again)] == [0, 0]


@pytest.mark.check
@pytest.mark.claim("processes", DIFFER)
def test_a_rank_with_another_seed_is_found_at_the_start(tiny_store, tmp_path) -> None:
    ended = together(
        options(tiny_store, tmp_path / "run"),
        options(tiny_store, tmp_path / "run", seed=1),
    )
    for rank in ended:
        assert rank.code == 8
        (line,) = lines(rank)
        assert line.startswith("error: rank 1: must have the settings, data and code")
        one, other = re.search(r"found: (\w{12}) instead of (\w{12})\)", line).groups()
        assert one != other
    assert not (tmp_path / "run/history.csv").exists()


def test_two_tests_at_once_may_want_the_same_port_taken() -> None:
    with listener() as port, listener(port) as same:
        assert same == port


@pytest.mark.check
@pytest.mark.claim("processes", PORT)
def test_a_port_that_was_given_and_is_taken_is_one_line(
    tiny_store, tmp_path, shows
) -> None:
    with listener() as port:
        begin = time.monotonic()
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        first = forked(
            options(tiny_store, tmp_path / "run"), RANK="0", WORLD_SIZE="2", **where
        )
        ended = finished(first)
        seconds = time.monotonic() - begin
    assert ended.code == 8
    (line,) = lines(ended)
    assert f"{port}" in line
    assert "is the port free" in line
    assert seconds < 10
    shows(shown=f"ended after {seconds:.1f} s")


@pytest.mark.check
@pytest.mark.claim("resume", OTHERS)
def test_a_run_goes_on_with_other_processes_only_where_that_was_allowed(
    small, tiny_store, tmp_path
) -> None:
    words = options(tiny_store, tmp_path / "run", epochs=1)
    assert [rank.code for rank in together(words, words)] == [0, 0]
    same = {"precision": "float32", "epochs": 2, "resume": True}
    with pytest.raises(CheckpointError, match="processes 1 instead of 2"):
        train(settings_for(tiny_store, tmp_path / "run", **same))
    run = train(settings_for(tiny_store, tmp_path / "run", allow_inexact=True, **same))
    assert "processes 1 instead of 2" in run.record["inexact"]
    assert len(run.history) == 2


@pytest.mark.check
@pytest.mark.claim("resume", EXACT)
def test_two_processes_stopped_in_the_middle_end_with_the_same_bytes(
    tiny_store, tmp_path, shows
) -> None:
    """20 steps, of which the request comes in the tenth, in one of the two."""
    words = {
        name: options(tiny_store, tmp_path / name, epochs=5, split="slice", fold=3)
        for name in ("whole", "cut")
    }
    begin = time.monotonic()
    assert [r.code for r in together(words["whole"], words["whole"])] == [0, 0]
    seconds = time.monotonic() - begin
    ended = together(words["cut"], words["cut"], fault="is_asked_to_stop 1 9")
    assert [rank.code for rank in ended] == [75, 75]
    _, header = read_checkpoint(tmp_path / "cut/last.ckpt")
    position = header["state"]["position"]
    assert (position["epoch"], position["step"]) == (2, 2)
    again = [*words["cut"], "--resume"]
    assert [rank.code for rank in together(again, again)] == [0, 0]
    same_run(tmp_path / "whole", tmp_path / "cut")
    shows(shown=f"20 steps of a small network: {seconds:.1f} s")


def test_machines_with_more_cores_or_other_paths_train_together(
    tiny_store, tmp_path
) -> None:
    store = open_store(tiny_store)

    def shared(out, **changes) -> dict:
        return same_everywhere(settings_for(tiny_store, out, **changes), store)

    one = shared(tmp_path / "one", workers=0)
    assert shared(tmp_path / "two", workers=2) == one
    assert shared(tmp_path / "one", workers=0, seed=1) != one
