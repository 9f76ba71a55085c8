"""The page on scans of one's own, as a user with a small folder runs it."""

import shutil

import nbformat
import papermill
import pytest
import torch
from papermill.exceptions import PapermillExecutionError

from mscf import build
from mscf.checkpoint import write_checkpoint
from mscf.paths import root

pytestmark = [pytest.mark.check, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A CE-Net that has learned nothing; it draws what it draws."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "best.ckpt"
    record = {
        "method": "cenet", "classes": 1, "image_size": 192, "epoch": 0,
        "settings": {"window": [-40.0, 160.0]},
    }  # fmt: skip
    write_checkpoint(path, build("cenet").state_dict(), record)
    return path


@pytest.fixture
def own(tiny_cases, tmp_path):
    """Two scans and one that is none, and the labels of the two under other names."""
    for kind in ("scans", "labels"):
        (tmp_path / kind).mkdir()
    for n in (0, 1):
        name = f"liver_{n}"
        shutil.copy(tiny_cases / f"imagesTr/{name}.nii.gz", tmp_path / "scans")
        label = tmp_path / f"labels/{name}_seg.nii.gz"
        shutil.copy(tiny_cases / f"labelsTr/{name}.nii.gz", label)
    (tmp_path / "scans/broken.nii.gz").write_bytes(b"nothing of the kind")
    return tmp_path


def run(folder, **parameters) -> nbformat.NotebookNode:
    """The page with these parameters, run to its end."""
    return papermill.execute_notebook(
        root() / "notebooks/your_own_ct.ipynb", folder / "executed.ipynb",
        {"out": str(folder / "out"), "gpus": 0, **parameters},
        kernel_name="python3", progress_bar=False, cwd=str(root() / "notebooks"),
    )  # fmt: skip


def said(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """The text of every code cell's outputs."""
    return {
        cell.id: "\n".join(
            output.get("text") or output.get("data", {}).get("text/plain", "")
            for output in cell.outputs
        )
        for cell in notebook.cells
        if cell.cell_type == "code"
    }


def pictures(notebook: nbformat.NotebookNode) -> list[str]:
    """The cells that draw."""
    return [
        cell.id
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]


def test_a_small_folder_goes_all_the_way_and_what_is_broken_is_named(
    own, weights
) -> None:
    notebook = run(
        own, scans=str(own / "scans"), labels=str(own / "labels"),
        weights=str(weights), epochs=1,
    )  # fmt: skip
    text = said(notebook)
    assert "gz-mismatch" in text["look"]
    assert "liver_0_seg.nii.gz" in text["look"]
    for name in ("liver_0", "liver_1"):
        assert (own / f"out/masks/{name}.nii.gz").is_file()
        assert name in text["compare"]
    assert not (own / "out/masks/broken.nii.gz").exists()
    assert "after" in text["finetune"]
    assert pictures(notebook) == ["pictures", "tuned"]
    (tuned,) = (own / "out").glob("finetuned-*/before_after.csv")
    assert tuned.read_text().startswith("measure,before,after\n")


def test_without_labels_masks_are_all_there_is_and_the_page_says_so(
    own, weights
) -> None:
    notebook = run(own, scans=str(own / "scans"), weights=str(weights))
    text = said(notebook)
    assert "nothing to compare with" in text["compare"]
    assert "Not asked for" in text["finetune"]
    assert pictures(notebook) == ["pictures"]


def test_what_is_not_there_is_one_line_in_the_cell_that_looks_for_it(
    weights, tmp_path
) -> None:
    line = r"none: .*no such file\) \[folder-missing\]"
    with pytest.raises(PapermillExecutionError, match=line) as error:
        run(tmp_path, scans=str(tmp_path / "none"), weights=str(weights))
    assert "\n" not in error.value.evalue
    notebook = nbformat.read(tmp_path / "executed.ipynb", as_version=4)
    failed = [
        c.id
        for c in notebook.cells
        if c.cell_type == "code"
        for output in c.outputs
        if output.output_type == "error"
    ]
    assert failed == ["look"]
    assert not (tmp_path / "out").exists()
