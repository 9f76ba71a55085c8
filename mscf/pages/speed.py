"""What `python -m benchmarks` measured, read from its files as tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import pandas as pd

from mscf.errors import InputError


def read_benchmark(path: Path) -> dict:
    """One file of ``results/benchmarks``.

    Raises:
        InputError: missing, or something else.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        _ = [line["what"] for line in record["figures"]], record["machine"]["cpu"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            path, "must be what a benchmark wrote", error, "benchmark-file",
            "run `python -m benchmarks`",
        ) from error  # fmt: skip
    return record


def machines(records: Mapping[str, dict]) -> pd.DataFrame:
    """On what, when and by which code each topic was measured."""
    rows = {
        topic: {
            "made": record["made"],
            "processor": record["machine"]["cpu"],
            "cores": record["machine"]["cores"],
            "threads": record["machine"]["threads"],
            "GPU": record["machine"]["device"].replace("cpu", "none"),
            "torch": record["versions"]["torch"],
            "float32 product, GFLOP/s": record["machine"]["matrix_rate"],
            "commit": record["commit"][:7],
        }
        for topic, record in records.items()
    }
    return pd.DataFrame(rows).T


def figures_table(figures: Sequence[dict], only_wanted: bool = False) -> pd.DataFrame:
    """A row a figure: median and range, of what, wanted, whether reached."""
    rows = []
    for line in figures:
        wanted = line["wanted"]
        if only_wanted and wanted is None:
            continue
        ratio = line.get("ratio") or line.get("share") or line.get("rate")
        value = ratio["median"] if ratio else line["value"]
        row = {
            "what": line["what"],
            "measured": digits(value),
            "range": f"{digits(ratio['low'])} to {digits(ratio['high'])}"
            if ratio
            else "",
            "unit": line.get("of") or line.get("unit", ""),
        }
        if wanted is None:
            row |= {"wanted": "", "reached": ""}
        else:
            at_most = line.get("at_most", False)
            reached = value <= wanted if at_most else value >= wanted
            row["wanted"] = f"at {'most' if at_most else 'least'} {wanted:g}"
            row["reached"] = "yes" if reached else "no"
        rows.append(row)
    columns = ["what", "measured", "range", "unit", "wanted", "reached"]
    return pd.DataFrame(rows, columns=columns).set_index("what").rename_axis(None)


def digits(value: float) -> str:
    """Three digits that count, of thousands all; no exponent."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{Decimal(f'{value:.3g}'):,f}"


def part_lines(figures: Sequence[dict]) -> dict[str, dict]:
    """The lines of ``parts.json`` that are parts of the network, by their names."""
    return {
        line["what"].rpartition(": ")[2]: line for line in figures if "both" in line
    }
