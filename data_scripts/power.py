"""How often the rule of the page "What counts as reproduced" decides, by simulation."""

import json
import math
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from mscf.command import Verbose, one_line_errors, run_script

OURS = ("mscf", "self_attention", "mscf+channel")  # each minus CE-Net
BASELINE = "cenet"
REAL = "lits_excerpt-224/patient"  # the one training on patients there was
EXCERPT = "excerpt-448/patient"  # the trainings that came after it


def main(
    out: Annotated[Path, Argument(metavar="OUT", help="folder of the tables")] = Path(
        "results/excerpt-448"
    ),
    results: Annotated[Path, Option(help="where the kept runs are")] = Path("results"),
    trials: Annotated[int, Option(help="experiments for each row", min=1)] = 2000,
    seed: Annotated[int, Option(help="equal seeds give equal files")] = 0,
    verbose: Verbose = False,
) -> None:
    """Write power.csv, power_view.csv as the page shows it, and power.json."""
    import pandas as pd
    from tqdm import tqdm

    from mscf.data.spreadsheet import as_csv
    from mscf.evaluation import power
    from mscf.evaluation.runs import read_runs
    from mscf.evaluation.statistics import effective_patients
    from mscf.replacing import write_text

    with one_line_errors(verbose):
        methods = [BASELINE, *OURS]
        rows = read_runs(results / "phantoms-192/patient", methods).shared()
        real = read_runs(results / REAL, ["mscf"]).rows
        own = read_runs(results / EXCERPT, methods).shared()
        pairs = [(ours, BASELINE) for ours in OURS]
        seen, seen_own = (power.slice_differences(of, pairs) for of in (rows, own))
        c1 = seen_own[seen_own["pair"] == f"{OURS[0]} - {BASELINE}"]
        c1_error = power.error_over_patients(c1)
        slices = own.drop_duplicates(["case", "slice"]).groupby("patient").size()
        scenarios = {
            "phantoms": power.trainings(seen, ["pair", "seed"]),
            "phantoms, training varies": power.trainings(seen, ["pair"]),
            "twice the phantoms": power.trainings(seen, ["pair", "seed"], times=2),
            "excerpt": power.trainings(seen_own, ["pair", "seed"], only_found=True),
            "excerpt (C1 alone)": power.trainings(
                c1, ["pair", "seed"], only_found=True
            ),
        }
        found = tqdm(
            power.power_table(scenarios, trials=trials, seed=seed),
            total=len(scenarios) * len(power.PATIENTS) * len(power.TRUE),
            disable=None,
        )
        table = pd.DataFrame(found)
        facts = {
            "trials": trials,
            "seed": seed,
            "trainings": len(scenarios["phantoms"]),
            "patient_differences": sum(map(len, scenarios["phantoms"])),
            "spread_of_differences": power.patient_spread(seen),
            "spread_of_dice": {
                "phantoms": power.dice_spread(rows[rows["method"] == "mscf"]),
                "excerpt": power.dice_spread(real),
            },
            "smallest_at_22": {
                name: {
                    str(n): power.smallest_reproduced(drawn, n) for n in (1, power.NINE)
                }
                for name, kept in tqdm(scenarios.items(), disable=None)
                for drawn in [list(power.draw_trials(kept, 22, trials, seed))]
            },
            "excerpt": {
                "patients": len(slices),
                "effective_patients": effective_patients(slices),
                "spread_of_differences": power.patient_spread(seen_own),
                "c1": {
                    "spread_of_differences": power.patient_spread(c1),
                    "over_slices": float(c1["difference"].mean()),
                    "over_patients": float(
                        c1.groupby("patient")["difference"].mean().mean()
                    ),
                    "error": c1_error,
                    "error_at_118": c1_error * math.sqrt(len(slices) / power.LITS),
                },
            },
        }
        out.mkdir(parents=True, exist_ok=True)
        for name, content in (
            ("power.csv", as_csv(table)),
            ("power_view.csv", as_csv(power.in_one_view(table))),
            ("power.json", json.dumps(facts, indent=2) + "\n"),
        ):
            write_text(out / name, content)
        print(power.in_one_view(table).to_string(index=False))


if __name__ == "__main__":
    run_script(main)
