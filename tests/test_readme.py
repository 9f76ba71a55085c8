"""The README's numbers are those of the files they are said to come from."""

import csv
import re
from pathlib import Path

import pytest
import yaml

from mscf.cli import app
from mscf.models import METHODS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def results_table() -> list[list[str]]:
    """Rows of the table of Dice, without its head."""
    lines = README[README.index("| tumour Dice, %") :].splitlines()[2:]
    rows = []
    for line in lines:
        if not line.startswith("|"):
            return rows
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def dice(place: str) -> dict[str, str]:
    """Of seed 0 and of all folds that any method has, in percent as the README."""
    with (ROOT / f"results/{place}/patient/summary.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["seed"] in ("0", "0.0")]
    whole = max(int(row["slices"]) for row in rows)
    return {
        row["method"]: f"{100 * float(row['dice']):.1f}"
        for row in rows
        if int(row["slices"]) == whole
    }


def test_the_table_has_the_ten_methods_with_the_numbers_of_their_files() -> None:
    with (ROOT / "results/paper/table1.csv").open() as file:
        paper = {row["method"]: row for row in csv.DictReader(file)}
    excerpt, phantoms = dice("excerpt-448"), dice("phantoms-192")
    found = results_table()
    assert [paper[title]["key"] for title, *_ in found] == list(METHODS)
    for title, printed, real, synthetic in found:
        key = paper[title]["key"]
        assert printed == paper[title]["dice"]
        assert real == excerpt.get(key, "")
        assert synthetic == phantoms[key]


@pytest.mark.parametrize("item", ["dependencies", "training", "evaluation", "weights"])
def test_the_items_of_the_code_checklist_stand_on_the_first_screen(item) -> None:
    first = README.splitlines()[:45]
    assert any(line.startswith(f"| {item} |") for line in first)


def test_profiles_and_commands_that_are_named_are_there() -> None:
    for name in re.findall(r"make grid\s+PROFILE=([\w-]+)", README):
        config = yaml.safe_load((ROOT / f"grid/{name}.yaml").read_text())
        assert config["runs"]
    known = {
        command.name or command.callback.__name__ for command in app.registered_commands
    }
    named = set(re.findall(r"`?mscf ([a-z]+)\b", README)) - {"networks"}
    assert named <= known
