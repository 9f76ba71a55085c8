"""Several processes on a CPU: the same run as one that accumulates; faults end it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from mscf.training.launch import arguments
from mscf.training.settings import TrainSettings

pytestmark = [pytest.mark.check, pytest.mark.timeout(300)]


def command(store, out, *options: str) -> list[str]:
    return [
        sys.executable, "-m", "mscf", "train", "--data", str(store), "--out", str(out),
        "--method", "cenet", "--gpus", "0", "--no-pretrained", "--batch-size", "4",
        "--precision", "float32", "--epochs", "2", *options,
    ]  # fmt: skip


def run(store, out, *options: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command(store, out, *options), env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def processes_of(out) -> list[int]:
    found = subprocess.run(["pgrep", "-f", str(out)], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def test_two_processes_are_one_that_accumulates_two_parts(tiny_store, tmp_path) -> None:
    two = run(tiny_store, tmp_path / "two", "--processes", "2")
    one = run(tiny_store, tmp_path / "one", "--accumulate", "2")
    assert (two.returncode, one.returncode) == (0, 0), two.stderr + one.stderr
    assert two.stdout.count("mean Dice") == 1
    tables = [pd.read_csv(tmp_path / name / "history.csv") for name in ("one", "two")]
    difference = (tables[0]["loss"] - tables[1]["loss"]).abs().max()
    assert difference < 1e-5
    rows = pd.read_csv(tmp_path / "two/per_slice.csv")
    assert len(rows) == len(rows[["case", "slice"]].drop_duplicates()) == 6
    assert not list((tmp_path / "two").glob("rank*"))


def test_a_rank_that_is_killed_ends_all_and_the_run_goes_on(
    tiny_store, tmp_path
) -> None:
    whole = run(tiny_store, tmp_path / "whole", "--processes", "2")
    assert whole.returncode == 0, whole.stderr
    out = tmp_path / "cut"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    started = subprocess.Popen(
        command(tiny_store, out, "--processes", "2"), env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (out / "last.ckpt").exists():
        assert started.poll() is None
        time.sleep(0.1)
    ranks = [pid for pid in processes_of(out) if rank_of(pid) == "1"]
    os.kill(ranks[0], signal.SIGKILL)
    begin = time.monotonic()
    _, errors = started.communicate(timeout=60)
    assert time.monotonic() - begin < 15
    assert started.returncode == 8
    assert "rank 1: must live as long as the others (found: ended by SIGKILL)" in errors
    assert not processes_of(out)
    again = run(tiny_store, out, "--processes", "2", "--resume")
    assert again.returncode == 0, again.stderr
    for name in ("history.csv", "per_slice.csv"):
        expected = (tmp_path / "whole" / name).read_bytes()
        assert (out / name).read_bytes() == expected


def rank_of(pid: int) -> str:
    """The RANK in a process's environment; empty for the others."""
    try:
        words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return ""
    return next((w[5:].decode() for w in words if w.startswith(b"RANK=")), "")


def test_the_ranks_are_started_with_the_settings_given(tmp_path) -> None:
    settings = TrainSettings(
        data=tmp_path, out=tmp_path / "x", method="unet", gpus=0, processes=2,
        window=(-100, 200), pretrained=False, compile=True, learning_rate=1e-3,
    )  # fmt: skip
    words = arguments(settings)
    assert "--no-pretrained" in words
    assert words[words.index("--window") + 1 :][:2] == ["-100.0", "200.0"]
    assert {"--gpus=0", "--processes=2", "--compile", "--method=unet"} <= set(words)


def started(store, out, *options: str) -> subprocess.Popen:
    """A run of two processes whose first state is saved."""
    child = subprocess.Popen(
        command(store, out, "--processes", "2", *options),
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (out / "last.ckpt").exists():
        assert child.poll() is None, child.stderr.read()
        time.sleep(0.1)
    return child


def rank_one(out) -> int:
    return next(pid for pid in processes_of(out) if rank_of(pid) == "1")


def test_a_request_to_stop_saves_and_ends_all_with_75(tiny_store, tmp_path) -> None:
    whole = run(tiny_store, tmp_path / "whole", "--processes", "2", "--epochs", "4")
    assert whole.returncode == 0, whole.stderr
    out = tmp_path / "cut"
    child = started(tiny_store, out, "--epochs", "4")
    child.send_signal(signal.SIGTERM)
    child.send_signal(signal.SIGTERM)  # as timeout and Slurm do: one request
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 75, errors
    assert errors.startswith("stopped: ")
    assert errors.count("\n") == 1
    assert not processes_of(out)
    again = run(tiny_store, out, "--processes", "2", "--epochs", "4", "--resume")
    assert again.returncode == 0, again.stderr
    expected = (tmp_path / "whole/history.csv").read_bytes()
    assert (out / "history.csv").read_bytes() == expected


def test_a_rank_that_hangs_is_named(tiny_store, tmp_path) -> None:
    child = started(tiny_store, tmp_path, "--epochs", "50", "--timeout", "10")
    os.kill(rank_one(tmp_path), signal.SIGSTOP)
    _, errors = child.communicate(timeout=90)
    assert child.returncode == 8, errors
    assert "no answer in time from rank 1 since step " in errors
    assert not processes_of(tmp_path)


def test_no_process_outlives_a_launcher_that_is_killed(tiny_store, tmp_path) -> None:
    child = started(tiny_store, tmp_path, "--epochs", "50")
    child.kill()
    for _ in range(150):
        if not processes_of(tmp_path):
            break
        time.sleep(0.1)
    assert not processes_of(tmp_path)


def test_a_run_goes_on_with_other_processes_only_where_that_was_allowed(
    tiny_store, tmp_path
) -> None:
    assert (
        run(tiny_store, tmp_path, "--processes", "2", "--epochs", "1").returncode == 0
    )
    refused = run(tiny_store, tmp_path, "--resume")
    assert refused.returncode == 4
    assert "processes 1 instead of 2" in refused.stderr
    allowed = run(tiny_store, tmp_path, "--resume", "--allow-inexact")
    assert allowed.returncode == 0, allowed.stderr
    record = json.loads((tmp_path / "run.json").read_text())
    assert "processes 1 instead of 2" in record["inexact"]


@pytest.mark.parametrize("batch", ["2", "7"])
def test_uneven_parts_and_a_process_without_a_slice_lose_nothing(
    batch, tiny_store, tmp_path
) -> None:
    """15 slices: with batch 2 a last step of one slice, of which rank 1 has none."""
    options = (
        "--batch-size",
        batch,
        "--epochs",
        "1",
        "--split",
        "slice",
        "--fold",
        "3",
    )
    two = run(tiny_store, tmp_path / "two", "--processes", "2", *options)
    one = run(tiny_store, tmp_path / "one", "--accumulate", "2", *options)
    assert (two.returncode, one.returncode) == (0, 0), two.stderr + one.stderr
    split = pd.read_csv(tmp_path / "two/split.csv")
    assert (split["fold"] != 3).sum() == 15
    losses = [
        pd.read_csv(tmp_path / name / "history.csv")["loss"] for name in ("one", "two")
    ]
    assert (losses[0] - losses[1]).abs().max() < 1e-5


def test_bad_settings_start_no_process_and_leave_no_folder(
    tiny_store, tmp_path
) -> None:
    refused = run(tiny_store, tmp_path / "run", "--processes", "2", "--fold", "7")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()
