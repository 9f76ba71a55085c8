"""Several processes on a CPU: the same run as one that accumulates; faults end it."""

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
