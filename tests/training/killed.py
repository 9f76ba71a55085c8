"""Runs in processes of their own that are killed at a chosen place, and go on.

A fork server that has imported torch, and never computes, starts such a process in
some 50 ms. What is patched is patched in that process alone.
"""

import contextlib
import errno
import itertools
import multiprocessing
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError
from small_run import SmallNetwork, same_run

from mscf import checkpoint, replacing
from mscf.errors import MscfError
from mscf.training import loop, start, state
from mscf.training.history import GrowingTable
from mscf.training.log import RunLog
from mscf.training.loop import train
from mscf.training.settings import TrainSettings
from mscf.training.state import RunState

CHILDREN = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(["mscf.training.loop"])
KILLED = -signal.SIGKILL
FULL = "Error while serializing: I/O error: No space left on device (os error 28)"
HALF = ".tmpHaLf00"  # as safetensors calls what it writes before it renames it


def nothing() -> None:
    """A run that nobody kills."""


def started(settings: TrainSettings, prepare: Callable[[], None] = nothing):
    """A run in a process of its own, in which ``prepare`` was called before."""
    child = CHILDREN.Process(target=run, args=(settings, prepare))
    child.start()
    return child


def ended(settings: TrainSettings, prepare: Callable[[], None] = nothing) -> int:
    """How such a process ends: its exit code, or ``KILLED``."""
    child = started(settings, prepare)
    child.join()
    return child.exitcode


def run(settings: TrainSettings, prepare: Callable[[], None]) -> None:
    """The process: as the command ends, its line beside the run's folder."""
    start.build = lambda *args, **options: SmallNetwork()
    prepare()
    try:
        train(settings)
    except MscfError as error:
        settings.out.with_suffix(".line").write_text(str(error))
        sys.exit(error.exit_code)


def survived(whole: Path, out: Path) -> None:
    """It is the run that was never killed, and nothing else lies in its folder."""
    same_run(whole, out)
    assert {p.name for p in out.iterdir()} == {p.name for p in whole.iterdir()}


def die(*_args, **_options) -> None:
    """No handler, no ``finally``, nothing is flushed."""
    os.kill(os.getpid(), signal.SIGKILL)


# When: at an epoch's end, in the save that a signal asked for, at an operation.


def at_the_end(point: Callable[[], None], epoch: int) -> None:
    """Arms ``point`` for the save at the end of this epoch, or of a later one."""
    save = RunState.save_epoch

    def save_epoch(run_state, facts) -> None:
        if run_state.position.epoch >= epoch:
            point()
        save(run_state, facts)

    RunState.save_epoch = save_epoch


def at_a_stop(point: Callable[[], None], epoch: int, step: int) -> None:
    """Asks for a stop in this step, and arms ``point`` for the save that follows.

    In the first step of a process a request is obeyed at once, as nothing would be
    lost; then it is the second one.
    """
    seed, save, steps = loop.seed_everything, RunState.save_step, itertools.count()

    def seed_everything(*place: int) -> None:
        if next(steps) and place[1:3] >= (epoch, step):
            os.kill(os.getpid(), signal.SIGTERM)
        seed(*place)

    def save_step(run_state) -> None:
        point()
        save(run_state)

    loop.seed_everything, RunState.save_step = seed_everything, save_step


CHANGING = {"os.rename", "os.remove", "os.truncate", "os.mkdir"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def at_operation(n: int, folder: Path) -> None:
    """Before the ``n``-th file operation in this folder, whatever it is."""
    operations = itertools.count()

    def hook(event: str, args: tuple) -> None:
        if changes(folder, event, args) and next(operations) == n:
            die()

    sys.addaudithook(hook)


def changes(folder: Path, event: str, args: tuple) -> bool:
    """Whether an event of Python's audit would change something in a folder."""
    writes = event == "open" and args[2] & WRITING
    if not (writes or event in CHANGING) or isinstance(args[0], int):
        return False
    path = Path(os.fsdecode(args[0]))
    return path == folder or folder in path.parents


# Where, in the order of writing: K1 to K10 of the page "Reliability".


def before_the_rows() -> None:
    GrowingTable.append = die


def row_half_written(table: str = "history.csv") -> None:
    write = GrowingTable._write

    def half(self, mode: str, values: tuple) -> None:
        before = self.path.stat().st_size
        write(self, mode, values)
        if self.path.name == table:
            os.truncate(self.path, (before + self.path.stat().st_size) // 2)
            die()

    GrowingTable._write = half


def rows_written() -> None:
    state.write_checkpoint = die


def after_writing(name: str, happens: Callable[[Path], None]) -> None:
    """What happens when a checkpoint's temporary file is written, not yet flushed."""
    save_file = checkpoint.save_file

    def save_and_then(tensors, part: str, metadata) -> None:
        save_file(tensors, part, metadata)
        if f".{name}." in part:
            happens(Path(part))

    checkpoint.save_file = save_and_then


def half_written(name: str) -> None:
    """Half of the temporary file, of ours or of the one that safetensors renames."""

    def half(part: Path) -> None:
        content = part.read_bytes()
        part.write_bytes(content[: len(content) // 2])
        part.with_name(HALF).write_bytes(content[: len(content) // 3])
        die()

    after_writing(name, half)


def before_renaming(name: str) -> None:
    replace = Path.replace

    def die_or_replace(part: Path, target: Path) -> Path:
        return die() if target.name == name else replace(part, target)

    Path.replace = die_or_replace


def before_last() -> None:
    RunState._write_last = die


def last_renamed() -> None:
    """Before the folder was flushed; beside it what a loss of power may bring back."""
    replace = Path.replace

    def replace_and_die(part: Path, target: Path) -> Path:
        if target.name == "last.ckpt":
            if target.exists():
                shutil.copy(target, target.parent.with_suffix(".old"))
            replacing.sync = die
        return replace(part, target)

    Path.replace = replace_and_die


def all_written() -> None:
    RunLog.say = RunState.stopped = die


# What has no room, in the same places.


def no_room_for_the_row() -> None:
    """The system itself tears the row: no file may grow beyond its middle."""
    write = GrowingTable._write
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limited(self, mode: str, values: tuple) -> None:
        half = self.path.stat().st_size + len(",".join(map(str, values))) // 2
        resource.setrlimit(resource.RLIMIT_FSIZE, (half, most))
        try:
            write(self, mode, values)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    GrowingTable._write = limited


def no_room(name: str) -> None:
    """The system has none where it is asked for it, before anything is written."""
    replace = checkpoint.replacing

    def full(*_args) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def replace_in_vain(path: Path, **options):
        if path.name == name:
            os.posix_fallocate = full
        return replace(path, **options)

    checkpoint.replacing = replace_in_vain


def full_while_written(name: str) -> None:
    def half(part: Path) -> None:
        os.truncate(part, part.stat().st_size // 2)
        raise SafetensorError(FULL)

    after_writing(name, half)


def full_from_operation(n: int, folder: Path) -> None:
    """From the ``n``-th on every operation that needs room fails."""
    operations = itertools.count()

    def hook(event: str, args: tuple) -> None:
        if not changes(folder, event, args) or next(operations) < n:
            return
        if event in ("open", "os.mkdir"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    sys.addaudithook(hook)


def filled(other: Path, room: int) -> None:
    """Another file takes all of a disk but so many bytes."""
    with other.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    os.truncate(other, other.stat().st_size - room)
