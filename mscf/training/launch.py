"""Several processes from one: PyTorch's torchrun as a child, and who ended it.

From a notebook or a shell, ``train`` with more than one process comes here. The child
is torchrun itself, started so that it ends with its parent whatever ends that; its
output is streamed. ``python -m mscf.training.launch OUT ARGUMENTS`` is that child.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

from mscf.data.processes import cores
from mscf.errors import DistributedError, MscfError, Stopped
from mscf.training.distributed import LAUNCHED
from mscf.training.log import say
from mscf.training.run_folder import claimed
from mscf.training.settings import TrainSettings
from mscf.training.stopping import die_with_parent

ENDED = "ranks.json"  # what torchrun says of processes that failed: rank to exit code
SAVING = 45  # seconds; torchrun itself gives its processes 30 after SIGTERM
SECONDARY = {"rank-lost", "rank-hangs", "rank-failed", "launcher-gone"}


def launch(settings: TrainSettings) -> None:
    """Trains with ``settings.processes`` processes on this machine, until they end.

    Raises:
        MscfError: what ended the first of them: its own error, not that of those who
            then waited for it in vain.
        CheckpointError: a run is at work in the folder.
    """
    out = settings.out
    with claimed(out):  # by no run that lives: its causes are not ours to remove
        remove_causes(out)
    terminal = sys.stderr.isatty()  # there the bar is drawn in place
    child = subprocess.Popen(  # noqa: S603
        command(settings),
        env=environment(settings.processes),
        stdout=None if terminal else subprocess.PIPE,
        stderr=None if terminal else subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C comes to us alone, who pass it on once
    )
    try:
        for line in child.stdout or ():
            say(line.rstrip("\n"))
        child.wait()
    finally:
        end(child)
    if child.returncode:
        raise cause(out, child.returncode)
    remove_causes(out)


def command(settings: TrainSettings) -> list[str]:
    """Torchrun as our child, and what it starts in each process."""
    return [
        sys.executable, "-m", "mscf.training.launch", str(settings.out), "--standalone",
        f"--nproc-per-node={settings.processes}", "-m", "mscf", "train",
        *arguments(settings),
    ]  # fmt: skip


def arguments(settings: TrainSettings) -> list[str]:
    """The options of ``mscf train`` that stand for these settings."""
    words: list[str] = []
    for field in fields(settings):
        value, name = getattr(settings, field.name), field.name.replace("_", "-")
        if value == field.default:
            continue
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no-{name}")
        elif isinstance(value, tuple):
            words += [f"--{name}", *map(str, value)]
        else:
            words += [f"--{name}={value}"]
    return words


def environment(processes: int) -> dict[str, str]:
    """That of the child: cores shared out, torchrun's own chatter off."""
    threads = str(max(1, cores() // processes))
    return {"OMP_NUM_THREADS": threads} | os.environ | {
        LAUNCHED: "1",
        "LOGLEVEL": "CRITICAL",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        "PYTHONUNBUFFERED": "1",
    }  # fmt: skip


def end(child: subprocess.Popen) -> None:
    """Leaves no process behind: first asks, then does."""
    while child.poll() is None:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(SAVING)
        except subprocess.TimeoutExpired:
            break
        except KeyboardInterrupt:  # asked twice
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def remove_causes(out: Path) -> None:
    """Takes away what an earlier start left of its processes' ends."""
    for file in (*out.glob("rank-*.json"), out / ENDED):
        file.unlink(missing_ok=True)


def cause(out: Path, code: int) -> MscfError:
    """Why the processes ended: the first own error, or the process that was killed.

    Where one fails torchrun asks the others to stop, so that they were asked is the
    reason only where there is no other.
    """
    left = {}
    for file in sorted(out.glob("rank-*.json")):
        with contextlib.suppress(ValueError):
            left[int(file.stem.removeprefix("rank-"))] = json.loads(file.read_text())
    asked = {r: c for r, c in left.items() if c["check"] == "stopped"}
    own = {r: c for r, c in left.items() if c["check"] not in SECONDARY | {"stopped"}}
    late = {r: c for r, c in left.items() if c["check"] == "rank-hangs"}
    for rank, what in (own or late).items():
        return again(rank, what)
    for rank, status in ended(out).items():
        if status < 0 and rank not in left:
            name = signal.Signals(-status).name
            return DistributedError(
                f"rank {rank}", "must live as long as the others", f"ended by {name}",
                "rank-killed", "start again with --resume",
            )  # fmt: skip
    for rank, what in (asked or left).items():
        return again(rank, what)
    return DistributedError(
        out, "torchrun must end well", f"exit code {code}", "launcher",
        "see its output above; start again with --resume",
    )  # fmt: skip


def again(rank: int, what: dict) -> MscfError:
    """A process's error, raised here as if it were our own."""
    classes = {c.exit_code: c for c in MscfError.__subclasses__()}
    kind = classes.get(what["code"])
    if kind is None:  # a bug of ours: its traceback is in the file
        return DistributedError(
            f"rank {rank}", "must end without an error", what["line"], "rank-raised",
            f"its traceback is in rank-{rank}.json",
        )  # fmt: skip
    finding = what["finding"]
    return kind(
        finding["file"], finding["must"], finding["found"], finding["check"],
        finding["todo"],
    )  # fmt: skip


def ended(out: Path) -> dict[int, int]:
    """Exit codes of the processes that failed, as torchrun saw them."""
    try:
        content = json.loads((out / ENDED).read_text())
    except (OSError, ValueError):
        return {}
    return {int(rank): status for rank, status in content.items()}


def main() -> None:
    """Torchrun, ending with its parent; it leaves who failed, and how."""
    die_with_parent(signal.SIGTERM)
    # Slurm's signal becomes one that torchrun hears: before torch 2.10 it would end by
    # this one, and its processes with it, unsaved.
    signal.signal(signal.SIGUSR1, lambda *_: signal.raise_signal(signal.SIGTERM))
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    out, *words = sys.argv[1:]
    try:
        run.main(words)
    except ChildFailedError as error:
        failed = {rank: failure.exitcode for rank, failure in error.failures.items()}
        with contextlib.suppress(OSError):
            (Path(out) / ENDED).write_text(json.dumps(failed) + "\n")
        sys.exit(1)
    except SignalException:
        sys.exit(Stopped.exit_code)


if __name__ == "__main__":
    main()
