"""Names that a shell, a spreadsheet or a browser would take for a command."""

import json
from dataclasses import replace

import pytest

from mscf.data.store import open_store
from mscf.errors import Finding
from mscf.evaluation.runs import read_runs
from mscf.evaluation.statements import notes, where_from
from mscf.evaluation.tables import read_rows
from mscf.kept.results import read_results

pytestmark = pytest.mark.claim(
    "security", "names that are commands, formulas or markup stay names"
)

NAMES = {"-rf;$(touch x)", "=cmd", "<script>", "+1", "@sum", "\ttab"}


def test_no_name_becomes_a_command_of_a_shell(outputs) -> None:
    assert not list(outputs.folder.rglob("x"))


def test_our_readers_give_every_name_back(outputs) -> None:
    index = open_store(outputs.store).index
    assert {*index["case"]} == NAMES
    assert {*index["patient"]} == {f"={name}" for name in NAMES}
    rows = read_rows(outputs.run / "per_slice.csv")
    assert {*rows["case"]} < NAMES
    assert {*rows["data"]} == {"-rf;$(touch x)"}
    for table in read_results(outputs.place, "mscf").values():
        assert {*table["case"]} == {*rows["case"]}
    record = json.loads((outputs.store / "store.json").read_text())
    assert {*record["sources"]} == NAMES


def test_no_cell_of_a_table_is_a_formula(outputs) -> None:
    tables = outputs.tables()
    assert {"index.csv", "split.csv", "per_slice.csv", "summary.csv"} <= {
        name.split("/")[-1] for name in tables
    }
    for name, rows in tables.items():
        for cell in (cell for row in rows for cell in row):
            assert not cell.startswith(tuple("=+-@\t\r\n")) or is_number(cell), name


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return not cell.startswith("+")  # Python writes none


def test_no_name_is_markup_where_a_page_shows_it(outputs) -> None:
    runs = read_runs(outputs.place, ["mscf"])
    index = open_store(outputs.store).index
    assert "<script>" in set(index["case"])
    assert "<script>" not in index[["case", "patient"]]._repr_html_()
    marked = outputs.place.parent.with_name("<script>") / "patient"
    odd = replace(runs, place=marked, missing=("<script>",))
    assert "<script>" not in where_from(odd, {})


def test_a_run_of_a_marked_name_is_noted_without_markup(outputs) -> None:
    runs = read_runs(outputs.place, ["mscf"])
    said = Finding("<script>", "<b>", "<script>", "check", "<i>")
    assert "<" not in notes(replace(runs, statements=(said,)))
