"""How a command ends: in one line that names what failed, and an exit code."""

from __future__ import annotations

import errno
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer
from typer import Option

from mscf.errors import (
    Finding,
    MscfError,
    SettingsError,
    Stopped,
    cannot_write,
    printable,
)

Verbose = Annotated[bool, Option("--verbose", help="show the traceback of an error")]
ECHO = 1.0  # seconds in which a second signal is the first one, heard twice
REFUSALS = (  # of the system: no bug of ours, wherever they come up
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS,
    errno.ENOTDIR, errno.ENAMETOOLONG,
)  # fmt: skip


@contextmanager
def one_line_errors(verbose: bool = False) -> Iterator[None]:
    """Turns a known failure into one line on stderr and its class's exit code.

    Ctrl-C, SIGTERM and a closed terminal too, with 128 and the signal's number, as a
    shell counts; what is half done is taken back first.
    """
    with interruptible() as heard:
        try:
            yield
        except (KeyboardInterrupt, Exception) as error:
            if isinstance(error, KeyboardInterrupt):
                heard = heard or [signal.SIGINT]  # by the caller's own handler
            failure = as_known(error)
            if not (heard or failure):
                raise
            drop_output()
            if verbose:
                traceback.print_exc()
            if heard:  # whatever became of it: an import may make any error of it
                finding = Finding(
                    "mscf", "was asked to stop", heard[0].name, "stopped",
                    "the same command begins again, or goes on where it can",
                )  # fmt: skip
                print(f"stopped: {finding}", file=sys.stderr)
                raise typer.Exit(128 + heard[0]) from error
            raise typer.Exit(told(failure)) from error


def as_known(error: BaseException) -> MscfError | None:
    """The failure as one of ours; None: a bug."""
    if isinstance(error, OSError) and error.errno in REFUSALS:
        place = error.filename or "output"  # without a name it was open already
        return cannot_write(place, error, "must be open to read or write")
    return error if isinstance(error, MscfError) else None


def told(failure: MscfError) -> int:
    """Says a failure on stderr, a line for each finding; gives its exit code."""
    word = "stopped" if isinstance(failure, Stopped) else "error"
    for finding in failure.findings:
        print(f"{word}: {finding}", file=sys.stderr)
    return failure.exit_code


def drop_output() -> None:
    """What stdout does not take is gone: Python would try again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):  # no file at all
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def interruptible() -> Iterator[list[signal.Signals]]:
    """Makes a KeyboardInterrupt of the signals that end; gives the list of those heard.

    A signal that is ignored stays ignored, and outside of the main thread Python hears
    none. Commands that save at a signal (``train``, ``notebook``) listen themselves.
    """
    heard: list[signal.Signals] = []
    before, when = {}, 0.0

    def hear(number: int, _frame: object) -> None:
        nonlocal when
        if not heard or time.monotonic() - when > ECHO:  # `timeout` sends it twice
            when = time.monotonic()
            heard.append(signal.Signals(number))
            raise KeyboardInterrupt

    try:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    before[number] = signal.signal(number, hear)
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(app: typer.Typer) -> NoReturn:
    """Runs a command and exits; a mistyped option is one line, like every failure."""
    if os.name == "nt":  # it has neither locks of files nor folders that are flushed
        error = SettingsError(
            "system", "must be Linux or macOS", "Windows", "system", "use WSL"
        )
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()  # a full disk shows here, or after the last line of ours
    except typer.Abort:  # Ctrl-C
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 (whatever it is, it is one line)
        drop_output()
        if isinstance(error, BrokenPipeError):  # who reads has read enough, as `head`
            sys.exit(1)
        if failure := as_known(error):
            sys.exit(told(failure))
        # The class is click's or typer's own, by version; both have this method.
        if not hasattr(error, "format_message"):
            report_bug(error)
            sys.exit(1)
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
        else:
            finding = Finding(
                "arguments", "must be known options with good values",
                printable(error.format_message()), "arguments", "see --help",
            )  # fmt: skip
            print(f"error: {finding}", file=sys.stderr)
        code = 2
    sys.exit(code)


def report_bug(error: Exception) -> None:
    """One line for what no check foresaw, and a file with all of it."""
    trace = "".join(traceback.format_exception(error))
    if "--verbose" in sys.argv:
        print(trace, file=sys.stderr)
    with tempfile.NamedTemporaryFile(
        "w", prefix="mscf-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        file.write(f"mscf {version('mscf')}, Python {sys.version}\n\n{trace}")
    finding = Finding(
        "mscf", "must not end so", printable(f"{type(error).__name__}: {error}"), "bug",
        f"a bug of ours: please report it with {file.name}",
    )  # fmt: skip
    print(f"error: {finding}", file=sys.stderr)


def run_script(function: Callable[..., None]) -> NoReturn:
    """Runs one function as a command of its own: the scripts in ``data_scripts``."""
    script = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    script.command()(function)
    run(script)
