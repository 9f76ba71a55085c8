"""The page on attribution with something to show."""

import shutil

import nbformat
import numpy as np
import papermill
import pytest

from mscf.paths import root
from mscf.visualisation.attribution import SHARES

pytestmark = pytest.mark.check
KEPT = root() / "results/phantoms-shown-192/patient/mscf/fold-0/seed-0"
MAPS = {"before": (48, 24, 12), "after": (48, 24, 12), "gradients": 96, "occlusion": 12}


def executed(kept) -> nbformat.NotebookNode:
    return papermill.execute_notebook(
        root() / "notebooks/attribution.ipynb", kept / "executed.ipynb",
        {"kept": str(kept)}, kernel_name="python3", progress_bar=False,
        cwd=str(root() / "notebooks"),
    )  # fmt: skip


def outputs(notebook: nbformat.NotebookNode, kind: str) -> dict[str, str]:
    return {
        cell.id: output.data[kind]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if kind in output.get("data", {})
    }


def test_of_what_is_kept_every_picture_is_drawn_and_told_in_words(tmp_path) -> None:
    random = np.random.default_rng(0)
    sides = {
        name if isinstance(side, int) else f"{name}{k}": one
        for name, side in MAPS.items()
        for k, one in enumerate([side] if isinstance(side, int) else side)
    }
    shapes = {
        f"{w}{name}": (2, s, s) for w in ("", "untrained_") for name, s in sides.items()
    }
    kept = {name: random.normal(size=shape) for name, shape in shapes.items()}
    truth = np.zeros((2, 192, 192), bool)
    truth[:, 60:90, 50:80] = True
    np.savez(
        tmp_path / "attribution.npz",
        **kept, truth=truth, probability=200 * truth.astype(np.uint8),
        hu=random.normal(60, 40, truth.shape), case=np.array(["a", "b"]),
        maps=np.array(list(sides)), stages=np.array(["decoder", "encoder"]),
        orders=np.array([*sides, "region", "random"]), missed=np.zeros(2),
        correlation=random.uniform(-1, 1, (2, 2, len(sides))),
        correlation_of_sizes=random.uniform(-1, 1, (2, 2, len(sides))),
        block=random.uniform(-1, 1, (2, 3)),
        deletion=random.random((2, len(sides) + 2, len(SHARES))),
        insertion=random.random((2, len(sides) + 2, len(SHARES))),
    )  # fmt: skip
    for name in ("run.json", "per_slice.csv"):
        shutil.copy(KEPT / name, tmp_path / name)
    notebook = executed(tmp_path)
    pictures = outputs(notebook, "image/png")
    told = {
        cell.id
        for cell in notebook.cells
        if cell.metadata.get("mystnb", {}).get("image", {}).get("alt")
    }
    assert pictures.keys() == told
    assert told == {"maps", "blocks", "untrained", "cascade", "curves"}
    tables = outputs(notebook, "text/html").keys()
    assert tables == {"slices", "block-table", "cascade-table", "areas"}
    words = outputs(notebook, "text/markdown")
    assert "after 4 epochs on phantoms-shown-192" in words["slices"]
    assert "patients, not seen in training" in words["slices"]
    assert "In 2 slices" in words["words"]
