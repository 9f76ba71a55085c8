"""What a notebook can be asked for, looked at before anything starts.

Papermill takes any name, and a wrong value shows only when a kernel has started.
"""

from __future__ import annotations

import ast
import difflib
import json
from collections.abc import Iterable
from pathlib import Path

from mscf.errors import SettingsError
from mscf.paths import root


def find_notebook(name: str) -> Path:
    """The notebook of this name.

    Raises:
        SettingsError: there is none; names the nearest.
    """
    found = {path.stem: path for path in sorted((root() / "notebooks").glob("*.ipynb"))}
    if not found:
        raise SettingsError(
            "notebooks", "must be a folder here or above", "none", "notebook",
            "run this in a clone of the repository",
        )  # fmt: skip
    if name not in found:
        raise SettingsError(
            "notebook", "must be the name of one in notebooks/", name, "notebook",
            suggestion(name, found),
        )  # fmt: skip
    return found[name]


def all_values(source: Path, given: dict[str, str]) -> dict[str, object]:
    """The notebook's parameters, with what was given in place of their defaults.

    Raises:
        SettingsError: the notebook has no such parameter, or refuses its value.
    """
    values = defaults(source)
    for name, text in given.items():
        if name not in values:
            raise SettingsError(
                "parameter", f"must be one of notebooks/{source.name}", name,
                "parameters", suggestion(name, values),
            )  # fmt: skip
        value = value_of(text)
        if source.stem != "train":
            value = of_kind(name, value, values[name])
        values[name] = value
    if source.stem == "train":  # the fields of its settings have rules of their own
        from mscf.training.notebook import notebook_settings

        notebook_settings(root(), **values)
    return values


def defaults(source: Path) -> dict[str, object]:
    """Name and value of every line in the cell tagged ``parameters``."""
    cells = json.loads(source.read_text(encoding="utf-8"))["cells"]
    tagged = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
    lines = ast.parse("\n".join("".join(cell["source"]) for cell in tagged)).body
    return {
        line.targets[0].id: ast.literal_eval(line.value)
        for line in lines
        if isinstance(line, ast.Assign)
    }


def value_of(text: str) -> object:
    """A value from the command line, read as papermill's ``-p`` reads it."""
    words = {"True": True, "False": False, "None": None}
    if text in words:
        return words[text]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def of_kind(name: str, value: object, default: object) -> object:
    """The value as one of its default's kind; where that is None anything goes.

    Raises:
        SettingsError: it is of another kind.
    """
    if default is None or isinstance(default, str):
        return value if default is None else str(value)
    if isinstance(default, (list, tuple)):
        found = several(value)
        fits = isinstance(default, list) or len(found) == len(default)
        if found and fits:
            return found
    elif isinstance(default, float) and type(value) in (int, float):
        return float(value)
    elif type(value) is type(default):
        return value
    raise SettingsError(name, f"must be like {default!r}", value, "parameters")


def several(value: object) -> list:
    """The values of a list or tuple written as Python writes them; none of else."""
    try:
        found = ast.literal_eval(str(value))
    except (ValueError, SyntaxError):
        return []
    return list(found) if isinstance(found, (list, tuple)) else []


def suggestion(word: str, known: Iterable[str]) -> str:
    """The nearest known word; all of them where none is near."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else f"use one of {', '.join(known)}"
