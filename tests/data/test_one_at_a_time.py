"""Two that write one folder: the second waits, and finds what the first has made."""

import errno
import fcntl
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mscf.data import one_at_a_time as module
from mscf.data import store as store_module
from mscf.data.one_at_a_time import one_at_a_time
from mscf.data.phantom import files, make_phantoms
from mscf.data.store import prepare
from mscf.errors import StorageError

WAITS = ": another process writes it, waiting\n"
SECONDS = 60  # at most; a busy machine is no failure


def second_waits(work, entered, go, capsys) -> list:
    """Runs ``work`` in two threads, of which the first stands still until ``go``."""
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(work)
        assert entered.wait(SECONDS)
        second = pool.submit(work)
        said, end = "", time.monotonic() + SECONDS
        while WAITS not in said and time.monotonic() < end and not second.done():
            said += capsys.readouterr().err
            time.sleep(0.01)
        waited = WAITS in said and not second.done()
        go.set()
        made = [first.result(), second.result()]
    assert waited
    return made


@pytest.fixture
def stands_still(monkeypatch):
    """Makes a function stand still in its first call; what it was called with."""
    entered, go, calls = threading.Event(), threading.Event(), []

    def patch(module, name):
        whole = getattr(module, name)

        def still(*words, **named):
            calls.append(words)
            if len(calls) == 1:
                entered.set()
                assert go.wait(SECONDS)
            return whole(*words, **named)

        monkeypatch.setattr(module, name, still)
        return entered, go, calls

    return patch


def test_a_second_that_prepares_waits_and_finds_the_store(
    tiny_cases, tiny_store, stands_still, tmp_path, capsys
) -> None:
    entered, go, calls = stands_still(store_module, "slices_of_case")
    target = tmp_path / "store"

    def work():
        return prepare(tiny_cases, target, size=192, processes=1)

    stores = second_waits(work, entered, go, capsys)
    assert len(calls) == 6  # each case once
    assert stores[0].checksum == stores[1].checksum
    assert {p.name for p in target.iterdir()} == {p.name for p in tiny_store.iterdir()}
    for path in target.iterdir():
        assert path.read_bytes() == (tiny_store / path.name).read_bytes()


def test_a_second_that_makes_phantoms_waits_and_finds_them(
    stands_still, tmp_path, capsys
) -> None:
    entered, go, calls = stands_still(files, "write_case")
    out = tmp_path / "new" / "out"

    def work():
        return make_phantoms(out, cases=2, size=64, processes=1)

    assert second_waits(work, entered, go, capsys) == [out, out]
    assert len(calls) == 2
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_who_has_waited_holds_the_lock_of_that_name(tmp_path, capsys) -> None:
    """The one before removes its file: a third must not take a new one beside it."""
    lock = tmp_path / "lock"

    def a_third_is_kept_out() -> bool:
        with one_at_a_time(lock, tmp_path), lock.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    with ThreadPoolExecutor(1) as pool:
        with one_at_a_time(lock, tmp_path):
            second = pool.submit(a_third_is_kept_out)
            said, end = "", time.monotonic() + SECONDS
            while WAITS not in said and time.monotonic() < end:
                said += capsys.readouterr().err
                time.sleep(0.01)
        assert second.result()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_a_killed_process_left_keeps_nobody_out(tmp_path, capsys) -> None:
    (tmp_path / ".out.lock").touch()
    make_phantoms(tmp_path / "out", cases=1, size=64, processes=1)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert WAITS not in capsys.readouterr().err


def test_where_there_are_no_locks_it_says_so_and_goes_on(
    tmp_path, monkeypatch, capsys
) -> None:
    def no_lock(*_) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(module.fcntl, "flock", no_lock)
    out = make_phantoms(tmp_path / "out", cases=1, size=64, processes=1)
    assert (out / "dataset.json").is_file()
    assert "[lock]" in capsys.readouterr().err


def test_a_lock_that_fails_for_another_reason_is_an_error(
    tiny_cases, tmp_path, monkeypatch
) -> None:
    def broken(*_) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(module.fcntl, "flock", broken)
    with pytest.raises(StorageError, match=r"store: .*Input/output error.*\[storage\]"):
        prepare(tiny_cases, tmp_path / "store", size=192, processes=1)


def test_what_is_finished_is_read_without_a_lock(
    tiny_cases, tiny_store, monkeypatch
) -> None:
    """Its folder may be one that nobody may write in."""
    monkeypatch.setattr(module.fcntl, "flock", None)  # would fail if called
    prepare(tiny_cases, tiny_store, size=192, processes=1)
