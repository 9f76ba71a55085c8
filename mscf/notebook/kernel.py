"""The process in which a notebook's cells run: what it prints, how it ends.

Papermill starts it and feeds it the cells. Here it gets this very interpreter, a way to
be stopped that leaves its work saved, and an end that takes its own processes along.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Timer
from typing import TextIO

import papermill
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from papermill.exceptions import PapermillExecutionError

GRACE = 20  # seconds in which a cell that was asked to stop may save its state
ECHO = 1  # seconds in which a second signal is the first one, heard twice
START = 300  # seconds in which a kernel must have started; imports from a slow disk


def execute(
    source: Path,
    target: Path,
    parameters: dict[str, object],
    stop: Stop,
    stdout: Echo,
    stderr: Echo,
) -> bool:
    """Runs the cells in the notebook's folder; ``target`` grows with each of them.

    Whether the kernel lived: until the last cell, one that raised, or until ``stop``
    took it away. What a cell raised is in the notebook.
    """
    for name in ("papermill", "tornado"):  # we say it in one line
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        with stop.listening(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The specified file")  # ends in .part
            papermill.execute_notebook(
                as_format(source.absolute()),
                as_format(target.absolute()),
                parameters,
                kernel_name="python3",
                progress_bar=False,
                stdout_file=stdout,
                stderr_file=stderr,
                start_timeout=START,
                cwd=source.parent,
                kernel_manager_class=kernel_class(stop),
                extra_arguments=["--IPKernelApp.log_level=CRITICAL"],  # TCP, Ctrl-C
                on_cell_start=stop.check,
            )
    except (PapermillExecutionError, KeyboardInterrupt):
        return True
    except RuntimeError:  # nbclient's DeadKernelError, or it did not even start
        return False
    return True


def as_format(path: Path) -> str:
    """The path as papermill takes it: a text that it formats with the parameters."""
    return str(path).replace("{", "{{").replace("}", "}}")


def kernel_class(stop: Stop) -> type[AsyncKernelManager]:
    """Kernels of this very interpreter, known to ``stop`` from their start."""

    class Kernel(AsyncKernelManager):
        def _kernel_spec_manager_default(self) -> KernelSpecManager:
            # No folder to look in: a python3 installed elsewhere would win over ours.
            return KernelSpecManager(kernel_dirs=[])

        async def start_kernel(self, **options: object) -> None:
            quiet = {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}  # as papermill's command
            await super().start_kernel(env=os.environ | quiet, **options)
            stop.group = self.provisioner.pid  # it leads a group of its own

    return Kernel


class Stop:
    """Ends a kernel on request: first asks its cell, and after `GRACE` takes it away.

    A second request does not wait, unless it is the first one's echo: ``timeout``
    signals its process and then the group that the process is in.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.asked: float | None = None  # when, by the monotonic clock
        self.group: int | None = None  # of the kernel and the processes it started
        self.reminder: Timer | None = None

    def __call__(self, number: int, _: object) -> None:
        """Handles a signal."""
        now, first = time.monotonic(), self.asked is None
        self.asked = now if first else self.asked
        if first and self.group is not None:
            self.send(signal.SIGINT)
            main = threading.main_thread().ident
            self.reminder = Timer(GRACE, signal.pthread_kill, (main, number))
            self.reminder.start()
        elif first or now - self.asked > ECHO:
            raise KeyboardInterrupt

    def check(self, **_: object) -> None:
        """Called before each cell: none starts any more."""
        if self.asked is not None:
            raise KeyboardInterrupt

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handles signals in the block; nothing of the kernel outlives it."""
        heard = [s for s in self.SIGNALS if signal.getsignal(s) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self) for number in heard}
        try:
            yield
        finally:
            if self.reminder is not None:
                self.reminder.cancel()
            self.send(signal.SIGKILL)
            for number, handler in before.items():
                signal.signal(number, handler)

    def send(self, number: int) -> None:
        """Sends a signal to the kernel and its processes, if any is left."""
        with suppress(ProcessLookupError):
            if self.group is not None:
                os.killpg(self.group, number)


class Echo:
    """A stream whose reader may go away (``| head -1``): the run goes on unheard."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> None:
        """Writes at once; what the stream cannot encode becomes a question mark."""
        code = self.stream.encoding or "utf-8"
        try:
            self.stream.write(text.encode(code, "replace").decode(code))
            self.stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)

    def flush(self) -> None:
        """Nothing is kept back."""
