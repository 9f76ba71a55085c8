"""Write the tables of all runs that were kept under one split."""

from pathlib import Path
from typing import Annotated

from typer import Argument

from mscf.command import Verbose, one_line_errors, run_script


def main(
    place: Annotated[Path, Argument(metavar="RESULTS/DATA-SIZE/SPLIT")],
    verbose: Verbose = False,
) -> None:
    """Write summary.csv, comparison.csv and ranks.csv beside the runs."""
    from mscf.kept.split_tables import write_grid_tables

    with one_line_errors(verbose):
        table = write_grid_tables(place)
        over_seeds = table[table["seed"].isna()]
        columns = ["method", "seeds", "slices", "patients", "dice", "hd_diagonal"]
        print(over_seeds[columns].to_string(index=False))


if __name__ == "__main__":
    run_script(main)
