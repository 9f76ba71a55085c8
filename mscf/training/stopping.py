"""Stopping on request: a signal sets a flag, the loop saves and ends with code 75.

Ctrl-C, `kill`, the end of a Slurm allocation (``--signal=USR1@120``), a terminal that
goes away. Nothing is done inside the handler: it may run in the middle of anything.
"""

from __future__ import annotations

import contextlib
import ctypes
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from mscf.errors import Stopped

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
SET_PDEATHSIG = 1  # of Linux's prctl
ONE_REQUEST = 1.0  # seconds; torchrun and Slurm may both pass the same signal on


class StopRequest:
    """Whether a signal asked this run to stop.

    While nothing would be lost (``at_once``) it is obeyed where it arrives, by a
    KeyboardInterrupt; later the loop asks at the end of a step, saves, and stops.
    """

    def __init__(self) -> None:
        self.name = ""  # of the signal; empty: nobody asked
        self.at_once = True
        self.interrupted = False  # whether a KeyboardInterrupt was raised for it
        self._when = 0.0

    @property
    def asked(self) -> bool:
        """Whether to save and stop at the next step's end."""
        return bool(self.name)

    def reason(self, error: BaseException, out: Path) -> BaseException:
        """The same error, or ``Stopped`` where a request is behind it.

        Behind a KeyboardInterrupt it is, and behind what that became on its way: an
        import or a compiler may make any error of it.
        """
        if not (self.interrupted or isinstance(error, KeyboardInterrupt)):
            return error
        return Stopped(
            out, "was asked to stop", self.name or "SIGINT", "stopped",
            "the same command with --resume goes on where it was saved",
        )  # fmt: skip

    def obey(self) -> None:
        """From here on nothing would be lost, of what was asked until now too."""
        self.at_once = True
        if self.asked:
            self._interrupt()

    def _hear(self, number: int, _frame: object) -> None:
        now = time.monotonic()
        first = not self.asked
        if first:
            self.name, self._when = signal.Signals(number).name, now
        if self.at_once if first else now - self._when > ONE_REQUEST:
            self._interrupt()

    def _interrupt(self) -> None:
        self.interrupted = True
        raise KeyboardInterrupt


@contextlib.contextmanager
def stop_requests(out: Path) -> Iterator[StopRequest]:
    """Listens to ``SIGNALS`` until the block ends; then the old handlers are back.

    A signal that is ignored (nohup ignores SIGHUP) stays ignored. Outside of the main
    thread Python hears no signal, so there nothing changes.

    Raises:
        Stopped: in place of the KeyboardInterrupt that ended the block.
    """
    stop, before = StopRequest(), {}
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, stop._hear)
    try:
        yield stop
    except (KeyboardInterrupt, Exception) as error:
        reason = stop.reason(error, out)
        if reason is error:
            raise
        raise reason from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def die_with_parent(number: int) -> None:
    """Asks Linux for a signal when the parent ends, however that ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_PDEATHSIG, int(number))
