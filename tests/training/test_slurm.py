"""profiles/slurm/train.sh with stand-ins for Slurm's own commands.

There is no cluster here: what is shown is that the signal before the time limit, sent
to every process as Slurm does, ends in a saved state and one more place in the queue.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import small_processes

from mscf.checkpoint import read_checkpoint
from mscf.errors import DistributedError
from mscf.training.distributed import leave_cause

pytestmark = pytest.mark.timeout(300)
check, slow = pytest.mark.check, pytest.mark.slow
HERE = Path(__file__).parent

SCRIPT = HERE.parents[1] / "profiles/slurm/train.sh"
ENDS_AT_THE_LIMIT = pytest.mark.claim(
    "stopping",
    "Slurm's signal before the time limit, to every process, saves the state; the "
    "job is queued again and ends with the same bytes",
)
STUBS = {
    "srun": """
        [ "$SRUN_CPUS_PER_TASK" = 4 ] || exit 99
        for node in $(seq 2 "$SLURM_JOB_NUM_NODES"); do "$@" & done
        "$@"; code=$?; wait; exit $code""",
    "mscf": f'exec {sys.executable} -m small_mscf "$@"',
    "torchrun": f"""
        [[ "$*" = *":20042 "* ]] || exit 99 # a port of this job's own
        exec {sys.executable} -m torch.distributed.run "${{@/#mscf/small_mscf}}" """,
    "scontrol": """
        [ "$1" = show ] && echo 127.0.0.1
        [ "$1" = requeue ] && echo "$2" >> "$QUEUE"; exit 0""",
}


@pytest.fixture
def sbatch(tiny_store, tmp_path):
    """Starts the job's script on this machine, as that many nodes."""
    for name, body in STUBS.items():
        stub = tmp_path / "bin" / name
        stub.parent.mkdir(exist_ok=True)
        stub.write_text(f"#!/bin/bash\n{body}\n")
        stub.chmod(0o755)

    def start(out: Path, nodes: int, *options: str, **more: str) -> subprocess.Popen:
        slurm = {
            "SLURM_CPUS_PER_TASK": "4", "SLURM_JOB_NUM_NODES": str(nodes),
            "SLURM_JOB_ID": "42",
            "SLURM_JOB_NODELIST": "node", "QUEUE": str(tmp_path / "queue"),
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1",
            "PYTHONPATH": f"{HERE}:{HERE.parents[1]}",
        }  # fmt: skip
        return subprocess.Popen(
            [
                SCRIPT, tiny_store, out, "--epochs", "3", "--batch-size", "4",
                "--gpus", "0", "--no-pretrained", "--precision", "float32", *options,
            ],
            env=os.environ | slurm | more, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )  # fmt: skip

    return start


def processes_of_step(out: Path) -> list[int]:
    """Those of our own; Slurm's own commands and the script hear no such signal."""
    found = subprocess.run(["pgrep", "-f", f"python.*{out}"], capture_output=True)
    pids = [int(pid) for pid in found.stdout.split()]
    return [p for p in pids if "python" in Path(f"/proc/{p}/exe").resolve().name]


@ENDS_AT_THE_LIMIT
@pytest.mark.parametrize(
    ("nodes", "options"),
    [
        pytest.param(1, ("--processes", "2"), marks=check, id="one machine"),
        pytest.param(2, (), marks=slow, id="two machines"),
    ],
)
def test_a_job_at_its_time_limit_is_queued_again_and_goes_on(
    nodes, options, sbatch, tiny_store, tmp_path
) -> None:
    out, queue = tmp_path / "cut", tmp_path / "queue"
    job = sbatch(out, nodes, *options, FAULT="waits 1 4")  # in the middle of an epoch
    while not (out / "last.ckpt").exists():
        assert job.poll() is None, job.stdout.read()
        time.sleep(0.1)
    for pid in processes_of_step(out):
        os.kill(pid, signal.SIGUSR1)
    said, _ = job.communicate(timeout=60)
    assert job.returncode == 75, said
    assert queue.read_text() == "42\n"
    position = read_checkpoint(out / "last.ckpt")[1]["state"]["position"]
    assert position["step"] > 0  # saved because of the signal, not only before it
    again = sbatch(out, nodes, *options)
    said, _ = again.communicate(timeout=120)
    assert again.returncode == 0, said
    assert queue.read_text() == "42\n"
    assert "resumed in epoch" in (out / "log.txt").read_text()
    words = small_processes.options(tiny_store, tmp_path / "whole")
    whole = small_processes.together(words, words)
    assert [rank.code for rank in whole] == [0, 0]
    expected = (tmp_path / "whole/history.csv").read_bytes()
    assert (out / "history.csv").read_bytes() == expected


@pytest.mark.parametrize(
    ("nodes", "checks", "expected"),
    [
        (2, ("stopped", "rank-lost"), 75),
        (2, ("stopped", "stopped"), 75),
        (2, ("stopped", "loss-finite"), 1),
        (2, ("stopped", "ranks-connect"), 1),
        (2, ("stopped",), 1),  # the other was killed and left nothing
        (2, ("rank-lost", "rank-lost"), 1),
        (2, (), 1),
        (1, ("stopped",), 1),  # there mscf's own code holds
    ],
)
def test_only_a_job_whose_processes_were_all_asked_is_queued_again(
    nodes, checks, expected, sbatch, tmp_path
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    for rank, check in enumerate(checks):
        error = DistributedError("a", "must b", "c", check)
        leave_cause(tmp_path / f"left/rank-{rank}.json", error)
    for stub in ("torchrun", "mscf"):
        text = f"#!/bin/bash\ncp {tmp_path}/left/* {out}\nexit 1\n"
        (tmp_path / "bin" / stub).write_text(text)
    job = sbatch(out, nodes)
    job.communicate(timeout=60)
    assert job.returncode == expected
    assert (tmp_path / "queue").exists() == (expected == 75)


@check
def test_a_job_that_fails_is_not_queued_again(sbatch, tmp_path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/rank-0.json").write_text('{"code": 75}')  # of an earlier try
    job = sbatch(tmp_path / "run", 1, "--fold", "7")
    said, _ = job.communicate(timeout=60)
    assert job.returncode == 2
    assert "[fold]" in said
    assert not (tmp_path / "queue").exists()
