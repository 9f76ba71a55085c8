"""Notebooks as they are committed: stripped, runnable everywhere, thin."""

import ast
import re
from pathlib import Path

import nbformat
import papermill
import pytest
import yaml

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EVERY = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
TRAIN = [
    "data", "method", "gpus", "epochs", "batch_size", "learning_rate", "image_size",
    "split", "fold", "seed", "window", "slices", "pretrained", "processes", "workers",
    "precision", "resume", "out",
]  # fmt: skip


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def tags(cell: nbformat.NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


@EVERY
def test_a_notebook_is_stripped(path) -> None:
    for cell in code_cells(path):
        assert cell.outputs == [], "run `make format`"
        assert cell.execution_count is None, "run `make format`"
    assert read(path).metadata.keys() <= {"kernelspec", "language_info", "mscf"}


@EVERY
def test_no_output_has_a_role_which_sphinx_would_show_as_it_is_written(path) -> None:
    for cell in code_cells(path):
        roles = re.findall(r"\{(?:ref|cite:?\w*|res|doc|numref)\}+`", cell.source)
        assert not roles, "an output is plain Markdown: refer to it from a text cell"


@EVERY
def test_a_notebook_runs_with_any_python_kernel(path) -> None:
    metadata = read(path).metadata
    assert metadata.kernelspec.name == "python3"
    assert metadata.kernelspec.language == "python"  # papermill asks for it
    assert "version" not in metadata.get("language_info", {})


@EVERY
def test_cells_have_ids_that_outputs_can_be_matched_by(path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)


@EVERY
def test_a_notebook_names_the_results_that_it_reads(path) -> None:
    """Else its page would stay as it is when they change."""
    named = read(path).metadata.get("mscf", {}).get("inputs", [])
    watched = {file for pattern in named for file in ROOT.glob(pattern)}
    for cell in code_cells(path):
        for place in re.findall(r"\"(results(?:/[^\"]+)?)\"", cell.source):
            inside = {
                file for file in watched if (ROOT / place) in (file, *file.parents)
            }
            assert inside or not (ROOT / place).exists(), place


@EVERY
def test_papermill_reads_every_parameter(path) -> None:
    (cell,) = [cell for cell in code_cells(path) if "parameters" in tags(cell)]
    lines = ast.parse(cell.source).body
    assert all(isinstance(line, ast.Assign) for line in lines)
    assert all(line.lineno == line.end_lineno for line in lines)
    found = papermill.inspect_notebook(path)
    for line in lines:
        parameter = found.pop(line.targets[0].id)
        assert ast.literal_eval(parameter["default"]) == ast.literal_eval(line.value)
        assert parameter["help"]
    assert found == {}


@EVERY
def test_a_cell_calls_and_defines_nothing(path) -> None:
    for cell in code_cells(path):
        for node in ast.walk(
            ast.parse(cell.source)
        ):  # no magics and shell lines either
            assert not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda)
            assert not (isinstance(node, ast.Attribute) and node.attr == "exit")


@EVERY
def test_a_notebook_opens_with_a_title_that_pages_can_link_to(path) -> None:
    first = read(path).cells[0]
    assert first.cell_type == "markdown"
    assert re.match(r"\(nb-[\w-]+\)=\n+# \w", first.source)


@EVERY
def test_a_page_opens_with_no_screen_of_imports(path) -> None:
    for cell in code_cells(path):
        if "import " in cell.source and len(cell.source.splitlines()) >= 10:
            assert "hide-input" in tags(cell)  # a click shows them


@EVERY
def test_a_notebook_is_a_page_of_the_book(path) -> None:
    text = (ROOT / "_toc.yml").read_text()
    pages = [
        c["file"] for part in yaml.safe_load(text)["parts"] for c in part["chapters"]
    ]
    assert f"notebooks/{path.stem}" in pages


@pytest.mark.skipif(
    ROOT / "notebooks/train.ipynb" not in NOTEBOOKS, reason="no notebook train"
)
def test_train_takes_the_parameters_it_is_known_by() -> None:
    assert list(papermill.inspect_notebook(ROOT / "notebooks/train.ipynb")) == TRAIN
