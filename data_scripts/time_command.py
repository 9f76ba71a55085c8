"""Run a command and keep how long it took, for the page "How to reproduce"."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from mscf.command import Verbose, one_line_errors, run_script


def main(
    command: Annotated[
        list[str], Argument(metavar="COMMAND", help="put -- before one with options")
    ],
    table: Annotated[Path, Option(help="where its row goes")] = Path(
        "results/commands.csv"
    ),
    name: Annotated[str, Option(help="under which it is kept; else as given")] = "",
    verbose: Verbose = False,
) -> None:
    """Time make book, make test or a small grid, from start to end."""
    from mscf.pages.command_times import time_command

    with one_line_errors(verbose):
        print(time_command(command, table, name).to_string(index=False))


if __name__ == "__main__":
    run_script(main)
