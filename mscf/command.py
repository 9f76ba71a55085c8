"""How a command ends: in one line that names what failed, and an exit code."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer
from typer import Option

from mscf.errors import Finding, MscfError, SettingsError, Stopped, printable

Verbose = Annotated[bool, Option("--verbose", help="show the traceback of an error")]


@contextmanager
def one_line_errors(verbose: bool = False) -> Iterator[None]:
    """Turns a known failure into one line on stderr and its class's exit code."""
    try:
        yield
    except MscfError as error:
        if verbose:
            traceback.print_exc()
        word = "stopped" if isinstance(error, Stopped) else "error"
        for finding in error.findings:
            print(f"{word}: {finding}", file=sys.stderr)
        raise typer.Exit(error.exit_code) from error


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
    except typer.Abort:  # Ctrl-C
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 (whatever it is, it is one line)
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
