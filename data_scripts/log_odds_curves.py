"""How soon a network draws tumour, with and without the log-odds start: a table."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from mscf.command import Verbose, one_line_errors, run_script

STARTS = {"plain": False, "log-odds": True}  # name in the table: log_odds_bias
COLUMNS = [
    "start", "epochs", "steps", "loss", "dice", "predicted_px", "truth_px", "missed"
]  # fmt: skip


def main(
    store: Annotated[Path, Argument(metavar="STORE", help="a prepared folder")],
    runs: Annotated[
        Path, Argument(metavar="RUNS", help="a new folder for the two trainings")
    ],
    out: Annotated[Path, Argument(metavar="OUT", help="a folder for the table")] = Path(
        "results/log-odds-start"
    ),
    method: Annotated[str, Option(help="a key of METHODS")] = "mscf",
    epochs: Annotated[int, Option(help="of each")] = 7,
    batch_size: Annotated[int, Option(help="slices a step")] = 2,
    verbose: Verbose = False,
) -> None:
    """Train twice on the same slices, and evaluate after every epoch; half an hour."""
    import pandas as pd

    from mscf.data.spreadsheet import as_csv
    from mscf.data.store import open_store
    from mscf.errors import SettingsError
    from mscf.replacing import write_text
    from mscf.training.loop import train
    from mscf.training.settings import TrainSettings
    from mscf.training.start import split_slices

    with one_line_errors(verbose):
        if runs.exists():  # its epochs are done, nobody could evaluate after the first
            raise SettingsError(
                "runs", "must be a new folder", runs, "run-exists", "name another"
            )
        rows, records = [], {}
        for start, log_odds in STARTS.items():
            settings = TrainSettings(
                data=store, out=runs / start, method=method, batch_size=batch_size,
                log_odds_bias=log_odds, pretrained=False, resume=True,
            )  # fmt: skip
            training, _ = split_slices(settings, open_store(store))
            steps = -(-len(training) // batch_size)  # the last may have fewer slices
            for done in range(1, epochs + 1):
                run = train(replace(settings, epochs=done))
                found = run.rows
                rows.append([
                    start, done, done * steps, run.history["loss"].iloc[done - 1],
                    found["dice"].mean(), found["predicted_px"].sum(),
                    found["truth_px"].sum(), (found["outcome"] == "missed").sum(),
                ])  # fmt: skip
                print(*rows[-1])
            records[start] = run.record
        out.mkdir(parents=True, exist_ok=True)
        write_text(out / "curves.csv", as_csv(pd.DataFrame(rows, columns=COLUMNS)))
        for start, record in records.items():
            hidden = {"data": store.name, "out": start}  # no machine's paths
            record = record | {"settings": record["settings"] | hidden}
            write_text(out / f"{start}.json", json.dumps(record, indent=2) + "\n")
        print(out)


if __name__ == "__main__":
    run_script(main)
