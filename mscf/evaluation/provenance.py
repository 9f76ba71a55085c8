"""Where every committed result comes from: code, versions, machine, seeds, hours."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from mscf.errors import InputError
from mscf.evaluation.kept_run import read_record

ONE = ["data", "split", "method", "epochs", "device", "torch", "commit"]
MACHINE = ["data", "device", "processor", "cores", "system", "Python", "torch", "numpy"]
OTHER = ["files", "n", "record", "made_by", "since", "commit", "remark"]
UNNAMED = "none, and not named in provenance.csv"


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
        if path.name == "run.json":
            continue
        try:
            made = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(path, "must be JSON", error, "result-json") from error
        day = isinstance(made, dict) and (made.get("made") or made.get("started"))
        if not day:
            continue
        machine = made.get("machine", {})
        rows.append({
            "file": path.relative_to(results).as_posix(),
            "made": day[:10],
            "commit": made.get("commit", "")[:7],
            "device": machine.get("device", ""),
            "processor": machine.get("cpu", "not recorded"),
            "torch": made.get("versions", {}).get("torch", ""),
        })  # fmt: skip
    columns = ["file", "made", "commit", "device", "processor", "torch"]
    return pd.DataFrame(rows, columns=columns)


def other_files(results: Path) -> pd.DataFrame:
    """A row for every kind of file that says nothing of its machine itself.

    They are named in ``results/provenance.csv``, by pattern: columns ``OTHER``, with
    how many files there are. Files that nothing names come last, one a row.

    Raises:
        InputError: the table has other columns, or a result is damaged.
    """
    others = without_a_record(results)
    table = named(results)
    matched = [others & set(results.glob(pattern)) for pattern in table["files"]]
    table.insert(1, "n", list(map(len, matched)))
    rest = sorted(others.difference(*matched))
    unnamed = pd.DataFrame({"files": [p.relative_to(results).as_posix() for p in rest]})
    unnamed = unnamed.assign(n=1, record=UNNAMED)
    return pd.concat([table, unnamed], ignore_index=True).fillna("")[OTHER]


def without_a_record(results: Path) -> set[Path]:
    """Files in no folder of a ``run.json`` that are no JSON of `measurements`."""
    runs = {path.parent for path in results.rglob("run.json")}
    own = {results / file for file in measurements(results)["file"]}
    files = {path for path in results.rglob("*") if path.is_file()}
    return {path for path in files - own if not runs & set(path.parents)}


def named(results: Path) -> pd.DataFrame:
    """``results/provenance.csv``; without a row where there is none."""
    path = results / "provenance.csv"
    columns = [name for name in OTHER if name != "n"]
    if not path.is_file():
        return pd.DataFrame(columns=columns, dtype=str)
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if list(table) != columns:
        must = f"must have the columns {', '.join(columns)}"
        raise InputError(path, must, ", ".join(table), "columns")
    return table
