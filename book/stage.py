"""The stage: the tree that Jupyter Book reads, at the repository's paths.

Sphinx reads again what has a new time, so what is equal stays untouched.
"""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

GENERATED = {"_build", "_stage", "_pictures", "__pycache__", ".ipynb_checkpoints"}


def fill_stage(root: Path, notebooks: list[str]) -> None:
    """Makes the stage hold the book's files, ``notebooks`` (executed) and no others.

    Settings, contents, extension and style stand on every page, and Sphinx does not
    notice them all: a change of these starts from an empty output.
    """
    stage = root / "book/_stage"
    wanted = {"_config.yml", "_toc.yml", *(file.name for file in root.glob("*.cff"))}
    wanted |= files_in(root, "book") | files_in(root, "results")
    changed = {n for n in wanted if differs(stage / n, (root / n).read_bytes())}
    gone = files_in(stage, ".") - wanted - set(notebooks) - {"report.json"}
    if any(name.startswith(("_", "book/_")) for name in changed | gone):
        shutil.rmtree(root / "book/_build", ignore_errors=True)
    for name in gone:
        (stage / name).unlink()
    for name in changed:
        write_if_changed(stage / name, (root / name).read_bytes())


def files_in(root: Path, folder: str) -> set[str]:
    """Names from ``root`` of the files below one of its folders, generated ones not."""
    files = (file for file in (root / folder).rglob("*") if file.is_file())
    names = (file.relative_to(root) for file in files)
    return {name.as_posix() for name in names if not GENERATED & set(name.parts)}


def write_if_changed(path: Path, content: bytes) -> None:
    """Writes only other bytes, for the sake of the file's time."""
    if differs(path, content):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def differs(path: Path, content: bytes) -> bool:
    """Whether the file is missing or holds something else."""
    return not path.is_file() or path.read_bytes() != content


def merge(
    source: NotebookNode,
    executed: NotebookNode,
    parameters: dict[str, Any],
    record: dict[str, Any],
) -> bytes:
    """The source's cells with the outputs of the same cells as they were executed.

    So a changed sentence needs no execution. The cell with the book's parameters is
    kept for who downloads the page's notebook; on the page a sentence stands for it.
    """
    ran = {cell.id: cell for cell in executed.cells}
    staged = copy.deepcopy(source)
    staged.cells = []
    for cell in copy.deepcopy(source.cells):
        staged.cells.append(cell)
        if cell.cell_type == "code" and cell.id in ran:
            cell.outputs = ran[cell.id].outputs
            cell.execution_count = ran[cell.id].execution_count
        if "parameters" in tags(cell) and parameters:
            values = ", ".join(f"`{k} = {v!r}`" for k, v in parameters.items())
            text = f"```{{note}}\nThis page was computed with {values}.\n```"
            staged.cells.append(nbformat.v4.new_markdown_cell(text, id="book-values"))
            for injected in executed.cells:
                if "injected-parameters" in tags(injected):
                    injected.metadata.tags = ["injected-parameters", "remove-cell"]
                    staged.cells.append(injected)
    staged.metadata.language_info = executed.metadata.get("language_info", {})
    staged.metadata.mscf_book = record
    return nbformat.writes(staged).encode()


def tags(cell: NotebookNode) -> list[str]:
    """The tags of a cell."""
    return cell.metadata.get("tags", [])
