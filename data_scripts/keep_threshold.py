"""Keep what one HU threshold reaches on every patient fold, without a network."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from mscf.command import Verbose, one_line_errors, run_script


def main(
    data: Annotated[Path, Argument(metavar="DATA", help="a folder by prepare.py")],
    results: Annotated[Path, Argument(metavar="RESULTS")] = Path("results"),
    seed: Annotated[int, Option(help="of the split")] = 0,
    verbose: Verbose = False,
) -> None:
    """Write RESULTS/DATA-SIZE/patient/hu_threshold: a table a fold."""
    from mscf.data.splits import FOLDS
    from mscf.data.store import open_store
    from mscf.kept.threshold import keep_threshold

    with one_line_errors(verbose):
        store = open_store(data)
        for fold in range(FOLDS):
            print(keep_threshold(store, results, fold, seed))


if __name__ == "__main__":
    run_script(main)
