"""Write synthetic abdominal CT in MSD's Task03_Liver layout."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from mscf.command import Verbose, one_line_errors, run_script


def main(
    out: Annotated[Path, Argument(metavar="OUT", help="a new folder")],
    cases: Annotated[int, Option(help="how many; some patients have two")] = 8,
    seed: Annotated[
        int, Option(help="equal seeds, equal files on one kind of CPU")
    ] = 0,
    size: Annotated[int, Option(help="pixels a side of a slice")] = 256,
    lesions: Annotated[
        str, Option(help="all: 4 to 72 mm; large: 15 to 72 mm, all dark")
    ] = "all",
    processes: Annotated[
        int | None, Option(help="at once", show_default="one a core")
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Write synthetic abdominal CT with liver tumours, in MSD's layout."""
    from mscf.data.phantom import make_phantoms

    with one_line_errors(verbose):
        make_phantoms(out, cases, seed, size, processes, lesions)


if __name__ == "__main__":
    run_script(main)
