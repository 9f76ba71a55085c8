"""The audit's record, which pages read, is what the script writes."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from mscf.evaluation.results_table import average_gain
from mscf.models import METHODS

ROOT = Path(__file__).parents[2]
PAPER = ROOT / "results/paper"


def leaves(value: object, name: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a record under its dotted name."""
    if isinstance(value, int | float):
        yield name, value
        return
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, one in inner:
        yield from leaves(one, f"{name}.{key}")


@pytest.mark.check  # a linear programme for every row
def test_the_record_is_what_the_script_makes_of_the_table(tmp_path) -> None:
    shutil.copy(PAPER / "table1.csv", tmp_path)
    script = ROOT / "data_scripts/audit.py"
    subprocess.run([sys.executable, script, tmp_path], check=True)
    made, kept = (
        dict(leaves(json.loads((folder / "audit.json").read_text())))
        for folder in (tmp_path, PAPER)
    )
    assert kept == pytest.approx(made, rel=1e-4)  # the solver's last digits may differ


def test_the_gains_that_the_paper_states_are_those_of_its_table() -> None:
    stated = pd.read_csv(PAPER / "stated.csv", index_col="what", dtype=str)["value"]
    table = pd.read_csv(PAPER / "table1.csv", index_col="key").drop(columns="method")
    nine = [key for key in METHODS if key != "mscf"]
    gains = average_gain(table, "mscf", nine, list(table))
    compared = 0
    for what, value in stated.items():
        kind, _, column = what.partition(" gain in ")
        if column:
            row = "average gain" if kind == "average" else kind
            places = len(value.partition(".")[2])
            assert round(gains.loc[row, column], places) == float(value), what
            compared += 1
    assert compared == 13
