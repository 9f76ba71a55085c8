"""How many processes, and what becomes of work that memory does not suffice for."""

import multiprocessing
import os
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import torch

from mscf.data.processes import cores, how_many, in_order
from mscf.errors import MemoryLimitError, SettingsError


def test_cores_are_those_of_this_process() -> None:
    assert 1 <= cores() <= os.cpu_count()


@pytest.mark.parametrize(("counted", "expected"), [(6, 6), (None, 1)])
def test_where_no_affinity_is_known_all_cores_count(
    counted, expected, monkeypatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)  # as on macOS
    monkeypatch.setattr(os, "cpu_count", lambda: counted)
    assert cores() == how_many(None) == expected


@pytest.mark.parametrize("asked", [0, -1])
def test_less_than_one_process_is_refused(asked) -> None:
    with pytest.raises(SettingsError, match=r"at least 1 .*\[processes\]"):
        how_many(asked)


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_items(processes) -> None:
    items = range(-9, 9)
    assert list(in_order(abs, items, processes)) == [abs(i) for i in items]


@pytest.mark.parametrize(
    ("work", "processes"), [(np.empty, 1), (np.empty, 2), (torch.empty, 1)]
)
def test_what_does_not_fit_in_memory_is_one_line(work, processes) -> None:
    with pytest.raises(MemoryLimitError, match=r"allocate.*\[memory\]") as caught:
        list(in_order(work, [(1 << 50,)], processes))
    assert "\n" not in str(caught.value)


def test_a_process_that_the_system_ends_is_one_line() -> None:
    with pytest.raises(MemoryLimitError, match=r"ended from outside.*\[memory\]"):
        list(in_order(os._exit, [9, 9], 2))


def test_what_a_process_imports_cannot_ask_for_processes(monkeypatch) -> None:
    process = multiprocessing.current_process()
    monkeypatch.setattr(process, "_inheriting", True, raising=False)
    with pytest.raises(SettingsError, match=r"`if __name__ .*\[main-guard\]"):
        how_many(2)


@pytest.mark.check
@pytest.mark.timeout(300)  # three processes that import all
@pytest.mark.parametrize(
    "script",
    [
        "from mscf.data.store import prepare\nprepare({cases!r}, {out!r}, 192)\n",
        "from mscf.data.phantom import make_phantoms\nmake_phantoms({out!r}, 2)\n",
    ],
)
def test_a_script_without_a_main_guard_ends_and_says_so(
    script, tiny_cases, tmp_path
) -> None:
    """Its processes import it: they waited for ever for the one that started them."""
    path = tmp_path / "script.py"
    path.write_text(script.format(cases=str(tiny_cases), out=str(tmp_path / "out")))
    done = subprocess.run(
        [sys.executable, path], capture_output=True, text=True, timeout=290
    )
    assert done.returncode
    assert "[main-guard]" in done.stderr
    assert "an error of the script, see above" in done.stderr.splitlines()[-1]


def test_another_error_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="negative"):
        list(in_order(torch.empty, [(-1,)], 1))


def test_processes_end_with_the_one_that_started_them() -> None:
    """A kernel that is killed while a notebook prepares data must leave none behind."""
    work = "import time; from mscf.data.processes import in_order; "
    work += "list(in_order(time.sleep, [60] * 9, 2))"
    first = psutil.Process(subprocess.Popen([sys.executable, "-c", work]).pid)
    while len(started := first.children()) < 3:  # two at work, one counts resources
        assert first.is_running()
        time.sleep(0.02)
    first.kill()
    _, left = psutil.wait_procs([first, *started], timeout=10)
    left = [p for p in left if p.status() != psutil.STATUS_ZOMBIE]
    for process in left:
        process.kill()
    assert not left
