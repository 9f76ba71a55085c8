"""Runs of the small network in processes of their own, and what is left of them.

As a user starts them, by a command, or forked from a process that has imported all
before: as ranks of a group, the way torchrun makes them, in a fraction of the time.
"""

import contextlib
import errno
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import small_mscf
import torch

from mscf import cli

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["mscf.cli", "mscf.training.loop", "torch.distributed"])


def options(store, out, **changes) -> list[str]:
    """The words behind ``mscf train``."""
    given = {
        "data": store, "out": out, "gpus": 0, "batch_size": 4, "epochs": 3,
        "precision": "float32", "pretrained": False, **changes,
    }  # fmt: skip
    words = []
    for name, value in given.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        else:
            words += [f"--{option}", str(value)]
    return words


def start(
    words: list[str], fault: str = "", module: str = "small_mscf", **others: str
) -> subprocess.Popen:
    """``mscf train WORDS`` as a user starts it, in a session of its own."""
    return start_command([module, "train", *words], fault, **others)


def start_command(words: list[str], fault: str = "", **others: str) -> subprocess.Popen:
    """``python -m WORDS``; ``others`` are of its environment."""
    environment = {"OMP_NUM_THREADS": "1"} | os.environ
    environment["PYTHONPATH"] = os.pathsep.join((str(HERE), str(ROOT)))
    environment |= others | ({"FAULT": fault} if fault else {})
    return subprocess.Popen(
        [sys.executable, "-m", *words], text=True, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment,
    )  # fmt: skip


def run(words: list[str], fault: str = "", module: str = "small_mscf"):
    """The same to its end: its exit code, and what it said."""
    return ended(start(words, fault, module))


def ended(child: subprocess.Popen, seconds: float = 100):
    said, errors = child.communicate(timeout=seconds)
    return subprocess.CompletedProcess(child.args, child.returncode, said, errors)


def until_saved(child: subprocess.Popen, out: Path) -> list[psutil.Process]:
    """Waits for the first state of a run; all processes of it that there are then."""
    while not (out / "last.ckpt").exists():
        assert child.poll() is None, child.stderr.read()
        time.sleep(0.02)
    first = psutil.Process(child.pid)
    return [first, *first.children(recursive=True)]


def living(processes: list[psutil.Process], seconds: float = 15) -> list:
    """Which of them have not ended after so many seconds."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]


def rank_of(processes: list[psutil.Process], rank: int) -> psutil.Process:
    (found,) = [p for p in processes if p.environ().get("RANK") == str(rank)]
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@dataclass(frozen=True)
class Ended:
    code: int
    said: str
    errors: str


def together(
    *words: list[str], fault: str = "", port: int = 0, seconds: float = 100, **others
) -> list[Ended]:
    """A rank for each list of words, with the environment that torchrun gives them."""
    environment = {
        "WORLD_SIZE": str(len(words)), "LOCAL_WORLD_SIZE": str(len(words)),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port or free_port()), **others,
    }  # fmt: skip
    ranks = [
        forked(own, fault, RANK=str(rank), LOCAL_RANK=str(rank), **environment)
        for rank, own in enumerate(words)
    ]
    return [finished(child, seconds) for child in ranks]


def forked(words: list[str], fault: str = "", **environment: str):
    """One process more of those that have imported all before."""
    out = Path(words[words.index("--out") + 1])
    out.parent.mkdir(parents=True, exist_ok=True)
    rank = environment.get("RANK", "0")
    said = out.with_name(f"{out.name}-{rank}.stdout")
    errors = out.with_name(f"{out.name}-{rank}.stderr")
    if fault:
        environment |= {"FAULT": fault}
    child = FORKS.Process(target=be, args=(words, environment, said, errors))
    child.said, child.errors = said, errors
    child.start()
    return child


def be(words: list[str], environment: dict[str, str], said: Path, errors: Path) -> None:
    """What happens in the forked process: the command, as in one that was started."""
    os.environ |= environment
    for stream, file in ((1, said), (2, errors)):
        os.dup2(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), stream)
    torch.set_num_threads(1)  # as torchrun gives each
    sys.argv = ["mscf", "train", *words]
    small_mscf.install()
    cli.main()


def finished(child, seconds: float = 100) -> Ended:
    child.join(seconds)
    late = child.exitcode is None
    if late:
        os.kill(child.pid, signal.SIGKILL)
        child.join()
    words = child.said.read_text(), child.errors.read_text()
    assert not late, f"it goes on after {seconds} s: {words}"
    return Ended(child.exitcode, *words)


@contextlib.contextmanager
def listener(port: int = 0):
    """Somebody else who holds the port; it may be held already, by another test."""
    try:
        server = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        yield port
        return
    with server:
        yield server.getsockname()[1]
