"""A training on real CT, killed three times, is the training that nobody disturbed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_run import same_run

from mscf.data.store import prepare

EXCERPT = Path(__file__).parents[3] / "shared/data/lits_excerpt"
EPOCHS = 6


def started(store, out, *more: str) -> subprocess.Popen:
    return subprocess.Popen(
        [
            sys.executable, "-m", "mscf", "train", "--data", str(store), "--out",
            str(out), "--epochs", str(EPOCHS), "--gpus", "0", "--no-pretrained",
            "--log-odds-bias", *more,
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


@pytest.mark.claim(
    "resume",
    "The paper's network on the LiTS excerpt, killed by SIGKILL at three random times, "
    "ends with the bytes of the run that was not",
)
@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_run_on_real_ct_killed_three_times_ends_with_the_same_bytes(
    tmp_path, shows
) -> None:
    if not EXCERPT.exists():
        pytest.skip("the LiTS excerpt is the founders' own and lies elsewhere")
    prepare(EXCERPT, tmp_path / "store", size=192)
    begin = time.monotonic()
    whole = started(tmp_path / "store", tmp_path / "whole")
    assert whole.wait() == 0, whole.stderr.read()
    seconds = time.monotonic() - begin
    rng = random.Random(0)
    died = []
    for _ in range(3):
        child = started(tmp_path / "store", tmp_path / "cut", "--resume")
        time.sleep(seconds * rng.uniform(0.1, 0.3))
        assert child.poll() is None, child.stderr.read()
        child.send_signal(signal.SIGKILL)
        child.wait()
        rows = (tmp_path / "cut/history.csv").read_text().count("\n") - 1
        died.append(f"in epoch {rows + 1}")
    last = started(tmp_path / "store", tmp_path / "cut", "--resume")
    assert last.wait() == 0, last.stderr.read()
    same_run(tmp_path / "whole", tmp_path / "cut")
    shows(tried=3, shown=f"killed {', '.join(died)} of {EPOCHS}; {seconds:.0f} s whole")
