"""Signals wherever they come: an exit code, one line, and a state that is whole."""

import contextlib
import itertools
import os
import re
import shutil
import signal
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from small_processes import (
    ended,
    finished,
    forked,
    living,
    options,
    run,
    start,
    until_saved,
)
from small_run import same_run, settings_for
from some import some

from mscf import checkpoint
from mscf.checkpoint import read_checkpoint
from mscf.data.dataset import SliceDataset
from mscf.errors import Stopped
from mscf.evaluation import evaluate
from mscf.training import loop
from mscf.training.loop import train
from mscf.training.stopping import ONE_REQUEST

ANYWHERE = "A signal in the middle of anything ends the run in order, with exit code 75"
TWICE = "A second signal ends a run at once, and its last state is whole"
IMPORT = "A signal in the first second ends it without a trace"
TERMINAL = "Ctrl-C in a terminal reaches all processes: one line, and none is left"
PAUSED = "A run that is paused and goes on later has lost nothing"
UNHEARD = "A run whose terminal is gone goes on to its end, with its log complete"
COMPILING = "A signal while torch.compile works ends the run in one line"
EXACT = "A run stopped in the middle of an epoch ends bit-equal, also with workers"


def assert_stopped_in_one_line(done) -> None:
    assert done.returncode == 75, done.stderr
    assert done.stderr.startswith("stopped: ")
    assert done.stderr.count("\n") == 1


@pytest.fixture
def signal_at(monkeypatch):
    """Sends this process a signal at a call of a function, counted from 0."""

    def arm(place, name: str, call: int, number: int = signal.SIGTERM) -> None:
        calls, original = itertools.count(), getattr(place, name)

        def and_a_signal(*arguments, **others):
            if next(calls) == call:
                os.kill(os.getpid(), number)
            return original(*arguments, **others)

        monkeypatch.setattr(place, name, and_a_signal)

    return arm


@pytest.mark.claim("stopping", ANYWHERE)
@pytest.mark.parametrize(
    ("place", "name", "call", "epoch"),
    [
        (SliceDataset, "__getitem__", 20, 1),  # the watch's 4, then 12 an epoch
        (loop, "gradient_norms", 5, 1),
        (loop, "context_facts", 1, 2),  # seen in the next step
        (checkpoint, "save_file", 3, 2),  # of the second last.ckpt
        (evaluate, "slice_metrics", 2, 3),
    ],
    ids=["loading", "step", "end of an epoch", "saving", "evaluation"],
)
@pytest.mark.parametrize(
    "number", some([signal.SIGINT, signal.SIGTERM], signal.SIGTERM)
)
def test_a_signal_ends_the_run_with_a_state_that_goes_on(
    number, place, name, call, epoch, small, whole, tiny_store, tmp_path, signal_at
) -> None:  # fmt: skip
    signal_at(place, name, call, number)
    with pytest.raises(Stopped, match=signal.Signals(number).name) as stopped:
        train(settings_for(tiny_store, tmp_path / "cut"))
    assert stopped.value.exit_code == 75
    _, header = read_checkpoint(tmp_path / "cut/last.ckpt")
    assert header["state"]["position"]["epoch"] == epoch
    resumed = train(settings_for(tiny_store, tmp_path / "cut", resume=True))
    same_run(whole, resumed.folder)


@pytest.mark.claim("stopping", TWICE)
@pytest.mark.parametrize("saved", [1, 3])  # last.ckpt of the first and second epoch
def test_a_second_signal_while_saving_ends_at_once_and_the_last_state_is_whole(
    saved, small, whole, tiny_store, tmp_path, monkeypatch, signal_at
) -> None:
    written = []

    def save_file(tensors, name, metadata) -> None:
        written.append(name)
        if len(written) == saved + 1:
            half = next(iter(tensors.items()))
            original(dict([half]), name, metadata)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(ONE_REQUEST + 0.1)
            os.kill(os.getpid(), signal.SIGTERM)
            pytest.fail("it goes on saving")
        original(tensors, name, metadata)

    original = checkpoint.save_file
    monkeypatch.setattr(checkpoint, "save_file", save_file)
    with pytest.raises(Stopped, match="SIGTERM"):
        train(settings_for(tiny_store, tmp_path / "cut"))
    assert not list((tmp_path / "cut").glob(".*"))  # nothing half-written is left
    if saved == 1:
        assert not (tmp_path / "cut/last.ckpt").exists()
    else:
        _, header = read_checkpoint(tmp_path / "cut/last.ckpt")
        assert header["state"]["position"]["epoch"] == 1
    resumed = train(settings_for(tiny_store, tmp_path / "cut", resume=True))
    same_run(whole, resumed.folder)


@pytest.mark.claim("stopping", UNHEARD)
def test_under_nohup_a_terminal_that_goes_away_changes_nothing(
    small, whole, tiny_store, tmp_path, signal_at
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        signal_at(loop, "gradient_norms", 5, signal.SIGHUP)
        run = train(settings_for(tiny_store, tmp_path / "run"))
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    same_run(whole, run.folder)


check = pytest.mark.check


def epochs_in(log) -> list[str]:
    lines = log.read_text().splitlines()
    return [line.split()[1] for line in lines if line.startswith("epoch ")]


@check
@pytest.mark.claim("stopping", UNHEARD)
def test_a_reader_that_goes_away_changes_nothing(tiny_store, tmp_path) -> None:
    """As by ``mscf train ... | head -1``."""
    child = start(options(tiny_store, tmp_path))
    assert child.stdout.readline().startswith("epoch 1/3")
    child.stdout.close()
    assert child.wait(100) == 0
    assert child.stderr.read() == ""
    assert epochs_in(tmp_path / "log.txt") == ["1/3", "2/3", "3/3"]
    assert (tmp_path / "summary.json").exists()


@check
@pytest.mark.claim("stopping", PAUSED)
def test_a_run_that_is_paused_and_goes_on_has_lost_nothing(
    small, tiny_store, tmp_path, shows
) -> None:
    words = options(tiny_store, tmp_path / "paused", epochs=15)
    child = forked(words)
    process = psutil.Process(child.pid)
    while not (tmp_path / "paused/last.ckpt").exists():
        assert child.exitcode is None
        time.sleep(0.01)
    process.suspend()
    time.sleep(0.2)
    assert process.status() == psutil.STATUS_STOPPED
    log = (tmp_path / "paused/history.csv").read_bytes()
    time.sleep(1)
    assert (tmp_path / "paused/history.csv").read_bytes() == log
    process.resume()
    assert finished(child).code == 0
    whole = forked(options(tiny_store, tmp_path / "whole", epochs=15))
    assert finished(whole).code == 0
    same_run(tmp_path / "whole", tmp_path / "paused")
    shows(shown="paused for 1 s")


@check
@pytest.mark.claim("stopping", IMPORT)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("seconds", [0.3, 1.0])
def test_a_signal_in_the_first_second_leaves_nothing(
    seconds, number, tiny_store, tmp_path
) -> None:
    child = start(options(tiny_store, tmp_path / "run"), module="mscf")
    wait_for_first_line(child.pid)
    time.sleep(seconds)
    child.send_signal(number)
    done = ended(child)
    assert done.returncode in (130, -number)
    assert done.stderr == ""
    assert not (tmp_path / "run").exists()


def wait_for_first_line(pid: int, seconds: float = 5) -> None:
    """Until Python's own start is over, whose Ctrl-C is Python's; Linux alone tells.

    Python catches SIGINT in its start, and no longer from the first line of ours on.
    """
    status = Path(f"/proc/{pid}/status")
    end = time.monotonic() + (seconds if status.exists() else 0)
    for catches in (True, False):
        while time.monotonic() < end:
            caught = int(re.search(r"SigCgt:\s*(\w+)", status.read_text())[1], 16)
            if bool(caught >> (signal.SIGINT - 1) & 1) == catches:
                break
            time.sleep(0.001)


def loading(family: list[psutil.Process]) -> list[psutil.Process]:
    """Those that load slices."""
    found = []
    for process in family:
        with contextlib.suppress(psutil.Error):  # ended meanwhile
            if "spawn_main" in " ".join(process.cmdline()):
                found.append(process)
    return found


TWENTY = {"epochs": 5, "split": "slice", "fold": 3}  # steps


@pytest.mark.slow
@pytest.mark.claim("stopping", TERMINAL)
@pytest.mark.claim("resume", EXACT)
def test_ctrl_c_ends_a_run_with_workers_in_one_line_and_it_goes_on_bit_equal(
    tiny_store, tmp_path, shows
) -> None:
    words = options(tiny_store, tmp_path / "cut", workers=2, **TWENTY)
    child = start(words, fault="waits 0 9")
    family = until_saved(child, tmp_path / "cut")
    assert len(loading(family)) == 2
    os.killpg(child.pid, signal.SIGINT)
    assert_stopped_in_one_line(ended(child))
    assert not living(family)
    again = run([*words, "--resume"])
    assert again.returncode == 0, again.stderr
    whole = forked(options(tiny_store, tmp_path / "whole", workers=0, **TWENTY))
    assert finished(whole).code == 0
    same_run(tmp_path / "whole", tmp_path / "cut")
    timing = pd.read_csv(tmp_path / "cut/timing.csv")
    shows(shown=f"20 steps with 2 workers: {timing['seconds'].sum():.1f} s")


@check
@pytest.mark.claim("stopping", TERMINAL)
def test_a_terminal_that_goes_away_ends_a_run_with_workers_in_order(
    tiny_store, tmp_path
) -> None:
    child = start(options(tiny_store, tmp_path, workers=2), fault="waits 0 4")
    family = until_saved(child, tmp_path)
    workers = loading(family)
    for worker in workers:
        worker.send_signal(signal.SIGHUP)
    assert len(living(workers, 1)) == 2  # they leave it to the one that trains
    os.killpg(child.pid, signal.SIGHUP)
    done = ended(child)
    assert done.returncode == 75, done.stderr
    assert done.stderr.startswith("stopped: ")  # Python's own tracker may say more
    assert not living(family)


@check
@pytest.mark.claim("stopping", TERMINAL)
def test_ctrl_c_while_the_workers_start_is_one_line(tiny_store, tmp_path) -> None:
    child = start(options(tiny_store, tmp_path, workers=2))
    family = []
    while len(loading(family)) < 2:
        assert child.poll() is None, child.stderr.read()
        time.sleep(0.05)  # listing them takes the cores that they start on
        family = psutil.Process(child.pid).children(recursive=True)
    time.sleep(0.5)  # they import by now
    os.killpg(child.pid, signal.SIGINT)
    assert_stopped_in_one_line(ended(child))
    assert not living(family)


@pytest.mark.claim("stopping", COMPILING)
@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, marks=check),
    ],
)
def test_a_signal_while_the_network_is_compiled_ends_at_once(
    number, tiny_store, tmp_path, shows
) -> None:
    if not shutil.which("g++"):
        pytest.skip("torch.compile needs a compiler, g++, and there is none")
    cache = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    child = start(options(tiny_store, tmp_path / "run", compile=True), **cache)
    while not list((tmp_path / "cache").rglob("*.cpp")):
        assert child.poll() is None, child.stderr.read()
        time.sleep(0.1)
    first = psutil.Process(child.pid)
    family = [first, *first.children(recursive=True)]
    begin = time.monotonic()
    os.killpg(child.pid, number)
    assert_stopped_in_one_line(ended(child))
    assert not (tmp_path / "run/last.ckpt").exists()
    assert not living(family)
    shows(shown=f"ended {time.monotonic() - begin:.1f} s later")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.claim("resume", EXACT)
@pytest.mark.parametrize(
    "changes", [{"workers": 0}, {"workers": 2}, {"processes": 2}], ids=str
)
def test_twenty_steps_of_cenet_stopped_in_the_middle_end_with_the_same_bytes(
    changes, tiny_store, tmp_path, shows
) -> None:
    given = {"method": "cenet"} | TWENTY | changes
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    done = ended(start(options(tiny_store, whole, **given), module="mscf"), 1700)
    assert done.returncode == 0, done.stderr
    words = options(tiny_store, cut, **given)
    child = start(words, module="mscf")
    while (
        not (cut / "history.csv").exists() or len(pd.read_csv(cut / "history.csv")) < 2
    ):
        assert child.poll() is None, child.stderr.read()
        time.sleep(0.1)
    child.terminate()
    done = ended(child, 600)
    assert done.returncode == 75, done.stderr
    position = read_checkpoint(cut / "last.ckpt")[1]["state"]["position"]
    assert position["epoch"] == 2
    assert position["step"] > 0
    done = ended(start([*words, "--resume"], module="mscf"), 1700)
    assert done.returncode == 0, done.stderr
    same_run(whole, cut)
    (name, n), *_ = changes.items()
    seconds = pd.read_csv(whole / "timing.csv")["seconds"].sum()
    shows(shown=f"20 steps of cenet, {name} {n}: {seconds:.0f} s")
