"""A run that is killed while it saves goes on to the same bytes.

The names K1 to K11 follow the order of writing: the rows of the tables, the best
weights, the whole state.
"""

import itertools
import os
import random
import re
import shutil
import subprocess
import time
from functools import partial
from pathlib import Path

import killed
import pytest
from killed import (
    KILLED,
    at_a_stop,
    at_operation,
    at_the_end,
    ended,
    started,
    survived,
)
from small_run import settings_for
from some import CHECK, some
from typer.testing import CliRunner

from mscf.checkpoint import read_checkpoint
from mscf.cli import app
from mscf.training import start
from mscf.training.history import GrowingTable
from mscf.training.loop import train

LONG = pytest.mark.slow, pytest.mark.timeout(3600)
EVERY = pytest.mark.parametrize(  # so many file operations apart
    "stride", [pytest.param(17, marks=CHECK), pytest.param(1, marks=LONG)]
)
SAVING = pytest.mark.claim(
    "checkpoints", "a run killed at any point of its saving goes on to the same bytes"
)
POWER = pytest.mark.claim(
    "checkpoints", "so it does when the loss of power takes what was not yet flushed"
)
FULL = pytest.mark.claim(
    "checkpoints", "a full disk ends a run in one line and spoils no checkpoint"
)

POINTS = {
    "K1": killed.before_the_rows,
    "K2": killed.row_half_written,
    "K2 timing": partial(killed.row_half_written, "timing.csv"),
    "K2 context": partial(killed.row_half_written, "context.csv"),
    "K3": killed.rows_written,
    "K4": partial(killed.half_written, "best.ckpt"),
    "K5": partial(killed.before_renaming, "best.ckpt"),
    "K6": killed.before_last,
    "K7": partial(killed.half_written, "last.ckpt"),
    "K8": partial(killed.before_renaming, "last.ckpt"),
    "K9": killed.last_renamed,
    "K10": killed.all_written,
}
CUT = r"history\.csv: \d+ bytes behind the state cut off"
PART = r"\.part: left half-written, removed"
SAID = {  # in the log of the run that goes on
    "K2": CUT, "K2 timing": "timing.csv: ", "K2 context": "context.csv: ", "K3": CUT,
    "K4": PART, "K5": PART, "K6": CUT, "K7": PART, "K8": PART,
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tiny_store, tmp_path_factory) -> Path:
    """The run that nobody kills; do not write here."""
    out = tmp_path_factory.mktemp("whole") / "run"
    assert ended(settings_for(tiny_store, out)) == 0
    return out


@pytest.fixture
def settings(tiny_store, tmp_path):
    def chosen(**changes):
        return settings_for(tiny_store, **{"out": tmp_path / "run", **changes})

    return chosen


def killed_twice(settings, prepare) -> str:
    """Killed there, killed there again when resumed, then left alone; gives its log."""
    assert ended(settings(), prepare) == KILLED
    assert ended(settings(resume=True), prepare) == KILLED
    assert ended(settings(resume=True)) == 0
    return (settings().out / "log.txt").read_text()


@SAVING
@pytest.mark.parametrize("name", some(list(POINTS), "K6"))
def test_a_run_killed_at_an_epochs_end_twice_in_a_row_goes_on(
    name, settings, whole, shows
) -> None:
    log = killed_twice(settings, partial(at_the_end, POINTS[name], epoch=1))
    assert re.search(SAID.get(name, "resumed in"), log)
    survived(whole, settings().out)
    shows(tried=2)


@SAVING
@pytest.mark.parametrize("name", some(["K7", "K8", "K9", "K10"], "K8"))
def test_a_run_killed_in_the_save_that_a_signal_asked_for_goes_on(
    name, settings, whole, shows
) -> None:
    log = killed_twice(settings, partial(at_a_stop, POINTS[name], epoch=1, step=1))
    assert re.search(SAID.get(name, r"resumed in epoch \d, step \d"), log)
    survived(whole, settings().out)
    shows(tried=2)


K11 = [name for name in POINTS if name not in ("K9", "K10")]


@SAVING
@pytest.mark.parametrize("name", some(K11, "K7"))
def test_a_run_killed_before_its_first_checkpoint_starts_anew_and_says_so(
    name, settings, whole, shows
) -> None:
    log = killed_twice(settings, partial(at_the_end, POINTS[name], epoch=0))
    assert log.count("[run-anew]") == 2
    survived(whole, settings().out)
    shows(tried=2)


@SAVING
@pytest.mark.check
@pytest.mark.parametrize("name", ["K7", "K8"])
def test_a_run_killed_in_a_stop_before_its_first_checkpoint_starts_anew(
    name, settings, whole, shows
) -> None:
    log = killed_twice(settings, partial(at_a_stop, POINTS[name], epoch=0, step=1))
    assert log.count("[run-anew]") == 2
    survived(whole, settings().out)
    shows(tried=2)


# Loss of power: what was not flushed to the disk may be missing, in part or all of it.


def lose(out: Path, rng: random.Random) -> None:
    """Cuts what was not flushed: all behind the tables' marks, what is half-made.

    A file system may also have given the bytes room and not have filled them.
    """
    _, header = read_checkpoint(out / "last.ckpt")
    for name, mark in header["state"]["tables"].items():
        keep_a_part(out / name, mark["bytes"], rng)
    for path in [*out.glob(".*.part"), *out.glob(".tmp*"), out / "log.txt"]:
        keep_a_part(path, 0, rng)


def keep_a_part(path: Path, least: int, rng: random.Random) -> None:
    content = path.read_bytes()
    kept = rng.randint(least, len(content))
    unfilled = rng.choice([0, len(content) - kept])
    path.write_bytes(content[:kept] + bytes(unfilled))


@POWER
@pytest.mark.parametrize("name", ["K2", "K2 timing", "K2 context", "K4", "K7"])
@pytest.mark.parametrize(
    "n", [pytest.param(2, marks=CHECK), pytest.param(20, marks=LONG)]
)
def test_what_was_not_flushed_is_cut_at_random_lengths(
    n, name, settings, whole, tmp_path, shows
) -> None:
    prepare = partial(at_the_end, POINTS[name], epoch=1)
    assert ended(settings(), prepare) == KILLED
    shutil.copytree(settings().out, tmp_path / "left")
    for seed in range(n):
        shutil.rmtree(settings().out)
        shutil.copytree(tmp_path / "left", settings().out)
        lose(settings().out, random.Random(f"{name} {seed}"))
        assert ended(settings(resume=True)) == 0
        survived(whole, settings().out)
    shows(tried=n)


@POWER
@pytest.mark.check
@pytest.mark.parametrize("when", [at_the_end, partial(at_a_stop, step=1)])
def test_the_folder_forgets_the_last_rename(when, settings, whole) -> None:
    prepare = partial(when, POINTS["K9"], epoch=1)
    assert ended(settings(), prepare) == KILLED
    out = settings().out
    new = (out / "last.ckpt").read_bytes()
    out.with_suffix(".old").replace(out / "last.ckpt")
    assert (out / "last.ckpt").read_bytes() != new
    assert ended(settings(resume=True)) == 0
    survived(whole, out)


@POWER
def test_every_file_is_flushed_before_it_gets_its_name_and_every_row_at_once(
    small, settings, monkeypatch
) -> None:
    """What no kill can show: only with these calls a loss of power loses no more."""
    done, out = [], settings().out
    fsync, replace, write = os.fsync, Path.replace, GrowingTable._write

    def noted_fsync(descriptor: int) -> None:
        fsync(descriptor)
        done.append(("flush", os.fstat(descriptor).st_ino))

    def noted_replace(part: Path, target: Path) -> Path:
        done.append(("rename", part.stat().st_ino))
        return replace(part, target)

    def noted_write(table: GrowingTable, *row) -> None:
        write(table, *row)
        done.append(("row", table.path.stat().st_ino))

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    monkeypatch.setattr(GrowingTable, "_write", noted_write)
    train(settings())
    for before, (what, file), after in zip(done, done[1:], done[2:], strict=False):
        if what != "flush":
            assert before == ("flush", file)
        if what == "rename":
            assert after == ("flush", out.stat().st_ino)
    assert [what for what, _ in done].count("rename") > 10
    assert [what for what, _ in done].count("row") == 3 * 4  # a header, three epochs


# By no name: before any file operation, and at any time.


@pytest.mark.claim(
    "checkpoints", "a run killed before any of its file operations goes on"
)
@EVERY
def test_a_run_killed_before_a_file_operation_goes_on(
    stride, settings, whole, tmp_path, shows
) -> None:
    tried = 0
    for n in itertools.count(step=stride):
        chosen = partial(settings, out=tmp_path / f"{n}/run")
        out = chosen().out
        out.parent.mkdir()
        if ended(chosen(), partial(at_operation, n, out)) == 0:
            break  # a whole run has fewer
        again = ended(chosen(resume=True), partial(at_operation, n, out))
        assert again in (KILLED, 0)  # 0: that much was not left to do
        assert ended(chosen(resume=True)) == 0
        survived(whole, out)
        tried += 1 + (again == KILLED)
    assert n > 60
    shows(tried=tried, shown=f"every one of {n} operations" if stride == 1 else "")


@pytest.mark.claim(
    "checkpoints", "a run killed from outside at any time goes on to the same bytes"
)
@pytest.mark.parametrize(
    "n", [pytest.param(5, marks=CHECK), pytest.param(50, marks=LONG)]
)
def test_a_run_killed_from_outside_at_a_random_time_goes_on(
    n, settings, whole, tmp_path, shows
) -> None:
    begin = time.monotonic()
    assert ended(settings()) == 0
    takes = time.monotonic() - begin
    rng, tried = random.Random(0), 0
    while tried < n:
        out = tmp_path / f"{tried}/run"
        shutil.rmtree(out, ignore_errors=True)
        child = started(settings(out=out))
        child.join(rng.uniform(0, takes))
        child.kill()
        child.join()
        if child.exitcode == KILLED:
            assert ended(settings(out=out, resume=True)) == 0
            survived(whole, out)
            tried += 1
    shows(tried=n)


# A disk that is full: one line, the files as they were, and it goes on with room again.


def ends_as_full(settings, when, point) -> None:
    """A run with a saved epoch behind it, which has no room there."""
    assert ended(settings(epochs=1)) == 0
    out = settings().out
    before = {path.name: path.read_bytes() for path in out.glob("*.ckpt")}
    assert ended(settings(resume=True), partial(when, point, epoch=1)) == 7
    line = out.with_suffix(".line").read_text()
    assert line.endswith("free some space and run again [storage]"), line
    assert "\n" not in line
    assert (out / "last.ckpt").read_bytes() == before["last.ckpt"]
    if "last.ckpt: " not in line:  # else the best weights were already written
        assert (out / "best.ckpt").read_bytes() == before["best.ckpt"]
    assert not [p.name for p in out.iterdir() if p.name.startswith(".")]


NO_ROOM = {
    "row": killed.no_room_for_the_row,
    "best": partial(killed.no_room, "best.ckpt"),
    "best, half": partial(killed.full_while_written, "best.ckpt"),
    "last": partial(killed.no_room, "last.ckpt"),
    "last, half": partial(killed.full_while_written, "last.ckpt"),
}


@FULL
@pytest.mark.parametrize("name", some(list(NO_ROOM), "best, half"))
def test_a_full_disk_at_an_epochs_end_is_one_line(name, settings, whole) -> None:
    ends_as_full(settings, at_the_end, NO_ROOM[name])
    assert ended(settings(resume=True)) == 0
    survived(whole, settings().out)


@FULL
@pytest.mark.check
@pytest.mark.parametrize("name", ["last", "last, half"])
def test_a_full_disk_in_the_save_that_a_signal_asked_for_is_one_line(
    name, settings, whole
) -> None:
    ends_as_full(settings, partial(at_a_stop, step=1), NO_ROOM[name])
    assert ended(settings(resume=True)) == 0
    survived(whole, settings().out)


@pytest.fixture
def small_disk(tmp_path):
    """The run's folder as a file system of three megabytes."""
    disk = tmp_path / "run"
    disk.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)]
    try:
        subprocess.run(words, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no tmpfs can be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@FULL
@pytest.mark.check
@pytest.mark.parametrize("room", [0, 2**16, 1_100_000])
def test_a_small_disk_that_is_full_is_one_line(
    room, small_disk, settings, whole, shows
) -> None:
    other = small_disk / "other"
    ends_as_full(settings, at_the_end, partial(killed.filled, other, room))
    other.unlink()
    assert ended(settings(resume=True)) == 0
    survived(whole, settings().out)
    shows(shown=f"a tmpfs with {room} bytes left")


@pytest.mark.claim(
    "machine", "a disk that is full from any file operation on ends a run in one line"
)
@EVERY
def test_a_disk_that_is_full_from_any_operation_on_is_one_line(
    stride, settings, whole, tmp_path, shows
) -> None:
    tried = 0
    for n in itertools.count(step=stride):
        chosen = partial(settings, out=tmp_path / f"{n}/run")
        out = chosen().out
        out.parent.mkdir()
        code = ended(chosen(), partial(killed.full_from_operation, n, out))
        if code == 0:
            break  # nothing but lines of the log was left to write
        assert code == 7
        line = out.with_suffix(".line").read_text()
        assert re.search(r"\(found: No space left on device\).*\[storage\]$", line)
        assert "\n" not in line
        assert ended(chosen(resume=True)) == 0
        survived(whole, out)
        tried += 1
    assert n > 60
    shows(tried=tried)


UNWRITABLE = pytest.mark.claim(
    "machine", "a folder that cannot be written to is said before any computing"
)


def refused_before_any_computing(store, out, monkeypatch, *options: str) -> None:
    """By the command, in one line, and no network was built."""
    monkeypatch.setattr(start, "build", pytest.fail)
    result = CliRunner().invoke(
        app,
        ["train", "--data", str(store), "--out", str(out), "--gpus", "0",
         "--no-pretrained", "--batch-size", "4", *options],
    )  # fmt: skip
    assert result.exit_code == 7, result.output
    assert result.stderr.startswith(f"error: {out}")
    assert "must be a writable folder" in result.stderr
    assert result.stderr.count("\n") == 1


@UNWRITABLE
def test_a_folder_below_a_file_is_one_line(tiny_store, tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    refused_before_any_computing(tiny_store, tmp_path / "file/run", monkeypatch)


@UNWRITABLE
@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_the_write_bit_is_one_line(
    tiny_store, tmp_path, monkeypatch
) -> None:
    tmp_path.chmod(0o500)
    try:
        refused_before_any_computing(tiny_store, tmp_path / "run", monkeypatch)
    finally:
        tmp_path.chmod(0o700)


@UNWRITABLE
def test_a_run_on_a_disk_that_became_read_only_is_one_line_and_goes_on_later(
    small_disk, settings, tiny_store, whole, monkeypatch
) -> None:
    assert ended(settings(epochs=1)) == 0
    remount(small_disk, "ro")
    with monkeypatch.context() as patch:
        refused_before_any_computing(tiny_store, small_disk, patch, "--resume")
    remount(small_disk, "rw")
    assert ended(settings(resume=True)) == 0
    survived(whole, small_disk)


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)
