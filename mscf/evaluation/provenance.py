"""Where every committed result comes from: code, versions, machine, seeds, hours."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from mscf.errors import InputError
from mscf.evaluation.kept_run import read_record

ONE = ["data", "split", "method", "epochs", "device", "torch", "commit"]
MACHINE = ["data", "device", "processor", "cores", "system", "Python", "torch", "numpy"]


def kept_runs(results: Path) -> pd.DataFrame:
    """A row for all kept runs that differ in fold and seed alone.

    Columns: ``ONE``, their folds and seeds as text, runs, hours together, first day.
    A run resumed under other code says so by a "+" behind its commit.

    Raises:
        InputError: a ``run.json`` is damaged, or of a run that did not finish.
    """
    by = run_rows(results).groupby(ONE, sort=False)
    return by.agg(
        folds=("fold", numbers), seeds=("seed", numbers), runs=("fold", "size"),
        hours=("hours", "sum"), **{"from": ("day", "min")},
    ).reset_index()  # fmt: skip


def by_machine(results: Path) -> pd.DataFrame:
    """A row for all kept runs of one set of data on one kind of machine.

    Columns: ``MACHINE``, runs, hours together.

    Raises:
        InputError: as ``kept_runs``.
    """
    by = run_rows(results).groupby(MACHINE, sort=False)
    return by.agg(runs=("fold", "size"), hours=("hours", "sum")).reset_index()


def run_rows(results: Path) -> pd.DataFrame:
    """A row a kept run, see `of_run`."""
    rows = []
    for path in sorted(results.rglob("run.json")):
        try:
            rows.append(of_run(path, results))
        except KeyError as error:
            raise InputError(
                path, "must say where the run comes from", f"no {error}", "run-record"
            ) from error
    columns = [*ONE, *MACHINE, "fold", "seed", "hours", "day"]
    return pd.DataFrame(rows, columns=None if rows else list(dict.fromkeys(columns)))


def of_run(path: Path, results: Path) -> dict[str, object]:
    """What one ``run.json`` under ``results/<data>/<split>/<method>/`` says."""
    record = read_record(path)
    data, split, method = path.relative_to(results).parts[:3]
    commit = record.get("commit", "")
    code = {commit, *(again.get("commit", "") for again in record.get("resumed", []))}
    return {
        "data": data,
        "split": split,
        "method": method,
        "epochs": record["epochs_done"],
        "device": record["machine"]["device"],
        "torch": record["versions"]["torch"],
        "processor": record["machine"].get("cpu", "not recorded"),
        "cores": record["machine"]["cores"],
        "system": record["machine"]["system"],
        "Python": record["machine"]["python"],
        "numpy": record["versions"]["numpy"],
        "commit": (commit[:7] or "not recorded") + ("+" if len(code) > 1 else ""),
        "fold": record["settings"]["fold"],
        "seed": record["settings"]["seed"],
        "hours": record["seconds"] / 3600,
        "day": record["started"][:10],
    }


def numbers(values: pd.Series) -> str:
    """``0, 1, 2``."""
    return ", ".join(map(str, sorted(set(values))))


def measurements(results: Path) -> pd.DataFrame:
    """A row for every other JSON file that says when and on what it was made.

    Columns: file, made (a day), commit, device, processor, torch.

    Raises:
        InputError: a file is no JSON.
    """
    rows = []
    for path in sorted(results.rglob("*.json")):
        try:
            made = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(path, "must be JSON", error, "result-json") from error
        if not isinstance(made, dict) or "made" not in made:
            continue
        machine = made.get("machine", {})
        rows.append({
            "file": str(path.relative_to(results)),
            "made": made["made"][:10],
            "commit": made.get("commit", "")[:7],
            "device": machine.get("device", ""),
            "processor": machine.get("cpu", ""),
            "torch": made.get("versions", {}).get("torch", ""),
        })  # fmt: skip
    columns = ["file", "made", "commit", "device", "processor", "torch"]
    return pd.DataFrame(rows, columns=columns)
