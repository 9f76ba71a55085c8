"""The page on seven Dice: what its words say of the phantoms, and a second seed."""

import nbformat
import pandas as pd
import papermill
import pytest

from mscf.evaluation.tables import read_rows, write_rows
from mscf.evaluation.ways_of_counting import ways_of_counting
from mscf.paths import root

RESULTS = root() / "results"
OURS = RESULTS / "excerpt-448/patient/mscf"


def test_of_the_phantoms_fewer_than_half_of_the_slices_have_no_tumour() -> None:
    rows = read_rows(RESULTS / "phantoms-shown-192/whole/per_slice.csv")
    assert (rows["truth_px"] == 0).mean() < 0.5


@pytest.mark.check
def test_a_second_seed_adds_no_slice_and_is_averaged(tmp_path) -> None:
    tables = [read_rows(path) for path in sorted(OURS.glob("*/seed-0/per_slice.csv"))]
    blind = dict.fromkeys(("tp", "predicted_px", "dice"), 0)  # that draws nothing
    for fold, table in enumerate(tables):
        for seed, rows in enumerate((table, table.assign(seed=1, **blind))):
            folder = tmp_path / f"fold-{fold}/seed-{seed}"
            folder.mkdir(parents=True)
            write_rows(rows, folder / "per_slice.csv")
    notebook = papermill.execute_notebook(
        root() / "notebooks/which_dice.ipynb", tmp_path / "executed.ipynb",
        {"tumour": str(tmp_path)}, kernel_name="python3", progress_bar=False,
        cwd=str(root() / "notebooks"),
    )  # fmt: skip
    said = told(notebook)
    first = pd.concat(tables)
    assert f"{len(first)} slices with tumour, the mean of 2 seeds" in said["facts"]
    for half in (
        100 * ways_of_counting(first).dropna() / 2
    ):  # of the second seed every Dice is 0
        assert f"{half:.1f}" in said["table"]


def told(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """Of every code cell what it shows."""
    return {
        cell.id: str([output.get("data") for output in cell.outputs])
        for cell in notebook.cells
        if cell.cell_type == "code"
    }
