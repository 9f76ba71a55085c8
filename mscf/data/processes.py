"""Work spread over the machine's cores, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from mscf.errors import MemoryLimitError, SettingsError, out_of_memory

Item, Result = TypeVar("Item"), TypeVar("Result")


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux alone lets a process own a few
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def how_many(processes: int | None) -> int:
    """The number of processes asked for; ``None`` is one a core."""
    must_not_be_imported()
    if processes is None:
        return cores()
    if processes < 1:
        raise SettingsError("processes", "must be at least 1", processes, "processes")
    return processes


def must_not_be_imported() -> None:
    """Refuses work in a process that is just importing the script which started it.

    A script without a main guard would begin anew in each of its processes, and wait
    there for what the first one has locked.
    """
    # As multiprocessing asks itself before it starts a process.
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise SettingsError(
            "script", 'must begin its work under `if __name__ == "__main__":`',
            "work that each of its processes would begin anew", "main-guard",
            "the processes that it starts import it",
        )  # fmt: skip


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], processes: int
) -> Iterator[Result]:
    """What ``work`` gives for every item, in the items' order.

    Raises:
        MemoryLimitError: an item does not fit in memory, or a process was ended.
    """
    try:
        yield from spread(work, items, processes) if processes > 1 else map(work, items)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, BrokenProcessPool):
            found = "one was ended from outside, as a system short of memory does"
            found += ", or by an error of the script, see above"
        elif out_of_memory(error):
            found = str(error).partition("\n")[0] or "it did not"  # numpy's or torch's
        else:
            raise
        raise MemoryLimitError(
            "memory", f"must hold a case for each of {processes} processes", found,
            "memory", "choose a smaller size or fewer processes",
        ) from error  # fmt: skip


def spread(
    work: Callable[[Item], Result], items: Iterable[Item], processes: int
) -> Iterator[Result]:
    """``in_order`` in several processes."""
    # Not a fork: the caller may have threads (torch), which a fork would break.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=begin) as pool:
        waiting: deque = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 2 * processes:  # results wait in memory
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)  # after an error the rest is in vain


def begin() -> None:
    """What each process does before its first item."""
    # The cores are busy with processes: torch, which none has loaded yet, obeys.
    os.environ["OMP_NUM_THREADS"] = "1"
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """Ends this process as soon as the one that started it is gone.

    The pool alone would wait for items for ever: of the pipe they come through each
    of its processes holds both ends.
    """
    multiprocessing.parent_process().join()
    os._exit(1)
