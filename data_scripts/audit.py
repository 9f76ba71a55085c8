"""The numbers of the paper's arithmetic that the book's pages name."""

import json
from pathlib import Path
from typing import Annotated

from typer import Argument

from mscf.command import Verbose, one_line_errors, run_script


def main(
    folder: Annotated[
        Path, Argument(metavar="FOLDER", help="holds table1.csv, gets audit.json")
    ] = Path("results/paper"),
    verbose: Verbose = False,
) -> None:
    """Write audit.json from table1.csv and from counts of the networks."""
    from mscf.pages.audit import read_table1
    from mscf.pages.audit_facts import facts
    from mscf.replacing import write_text

    with one_line_errors(verbose):
        record = facts(read_table1(folder / "table1.csv"))
        write_text(folder / "audit.json", json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    run_script(main)
