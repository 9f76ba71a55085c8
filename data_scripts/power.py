"""How often the rules of the page "What counts as reproduced" decide, by simulation."""

from pathlib import Path
from typing import Annotated

from typer import Option

from mscf.cli import Verbose, one_line_errors, run_script

PATIENTS = (5, 12, 22, 118)  # one fold; a phantom fold; the excerpt; LiTS with tumour
TRUE = (0.0, 1.0, 2.0, 3.75, 5.0, 10.0)  # points of Dice; 3.75 is the paper's C1
PAIRS = (("mscf", "cenet"), ("self_attention", "cenet"))


def main(
    out: Annotated[Path, Option(help="the table")] = Path(
        "results/excerpt-448/power.csv"
    ),
    phantoms: Annotated[Path, Option(help="kept runs")] = Path(
        "results/phantoms-192/patient"
    ),
    trials: Annotated[int, Option(help="experiments a row", min=1)] = 300,
    verbose: Verbose = False,
) -> None:
    """Write the share of each outcome by number of patients and true difference."""
    from mscf.evaluation.power import patients_seen, power_table, spread_of
    from mscf.evaluation.runs import read_runs
    from mscf.evaluation.tables import as_csv
    from mscf.replacing import replacing

    with one_line_errors(verbose):
        rows = read_runs(phantoms, sorted({m for pair in PAIRS for m in pair})).shared()
        seen = [d for pair in PAIRS for d in patients_seen(rows, *pair)]
        scenarios = {
            f"phantoms, {spread_of(seen):.1f} points": seen,
            f"twice that, {2 * spread_of(seen):.1f} points": [2 * d for d in seen],
        }
        table = power_table(scenarios, PATIENTS, TRUE, trials).round(1)
        with replacing(out) as file:
            file.write(as_csv(table))
        print(table.to_string(index=False))


if __name__ == "__main__":
    run_script(main)
