"""Make a store of slices from CT volumes in MSD's or LiTS's layout."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from mscf.command import Verbose, one_line_errors, run_script


def main(
    source: Annotated[Path, Argument(metavar="IN", help="a folder of cases")],
    target: Annotated[Path, Argument(metavar="STORE", help="the store's folder")],
    size: Annotated[int, Option(help="pixels a side")] = 448,
    slices: Annotated[
        str, Option(help="kept: with tumour (the paper's set), with liver, or all")
    ] = "tumour",
    processes: Annotated[
        int | None, Option(help="at once", show_default="one a core")
    ] = None,
    skip_bad: Annotated[
        bool, Option("--skip-bad", help="leave refused cases out")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Make a store; a second call finds it unchanged, or goes on where one ended."""
    from mscf.data.store import prepare

    with one_line_errors(verbose):
        store = prepare(source, target, size, slices, processes, skip_bad)
        counts = store.record["counts"]
        print(", ".join(f"{n:,} {name}" for name, n in counts.items()))


if __name__ == "__main__":
    run_script(main)
