"""How a notebook ended: read from its outputs, and written into it.

Papermill leaves a notebook whose kernel died, or that was interrupted, as if it had
completed.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from mscf import errors
from mscf.errors import Finding, printable
from mscf.paths import root

STOPPED = os.EX_TEMPFAIL  # 75: stopped on request, run again


@dataclass(frozen=True)
class Ending:
    """How a notebook ended; ``lines`` and ``traceback`` are for stderr."""

    status: str  # completed, failed in cell N: message, kernel died, interrupted
    exit_code: int = 0
    lines: tuple[str, ...] = ()
    traceback: str = ""


def ending_of(
    executed: NotebookNode, source: Path, target: Path, died: bool, stopped: bool
) -> Ending:
    """What the outputs, the kernel (``died``) and the signals (``stopped``) say."""
    failed = failed_cell(executed)
    if stopped and not all_ran(executed):
        what = f"{shown(target)} holds what ran; the same command runs it again"
        return Ending("interrupted", STOPPED, (f"stopped: {what}",), trace_of(failed))
    if died:
        line = Finding(
            f"notebooks/{source.name}", "its kernel must live to the end", "it died",
            "kernel", f"often too little memory; {shown(target)} holds what ran",
        )  # fmt: skip
        return Ending("kernel died", 1, (f"error: {line}",))
    if failed is None:
        return Ending("completed")
    return ending_by_error(failed, source, target)


def ending_by_error(failed: NotebookNode, source: Path, target: Path) -> Ending:
    """A cell raised: the exit code is that of the error's class, ours or not."""
    number, error = failed.execution_count, error_of(failed)
    code, trace = exit_code(error.ename), trace_of(failed)
    said = [printable(line) for line in error.evalue.splitlines()] or [""]
    if code == STOPPED:
        return Ending("interrupted", code, (f"stopped: {said[0]}",), trace)
    if is_ours(error.ename):  # it has our shape; several findings, several lines
        lines = tuple(f"error: {line}" for line in said)
        return Ending(f"failed in cell {number}: {said[0]}", code, lines, trace)
    found = f"{error.ename}: {said[0]}".removesuffix(": ")
    line = Finding(
        f"notebooks/{source.name}", f"cell {number} must run", found, "notebook",
        f"see {shown(target)}",
    )  # fmt: skip
    status = f"failed in cell {number}: {found}"
    return Ending(status, code, (f"error: {line}",), trace)


def failed_cell(executed: NotebookNode) -> NotebookNode | None:
    """The cell that raised, if one did."""
    return next((cell for cell in executed.cells if error_of(cell)), None)


def error_of(cell: NotebookNode) -> NotebookNode | None:
    """The error among a cell's outputs, if there is one."""
    outputs = cell.get("outputs", [])
    return next((o for o in outputs if o.output_type == "error"), None)


def trace_of(failed: NotebookNode | None) -> str:
    """Its traceback without IPython's colours."""
    if failed is None:
        return ""
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error_of(failed).traceback))


def all_ran(executed: NotebookNode) -> bool:
    """Every cell with code was run, and none raised."""
    code = [c for c in executed.cells if c.cell_type == "code" and c.source.strip()]
    return all(c.execution_count for c in code) and failed_cell(executed) is None


def is_ours(name: str) -> bool:
    """There is an error of this name with an exit code in `mscf.errors`."""
    return hasattr(getattr(errors, name, None), "exit_code")


def exit_code(name: str) -> int:
    """What a command would exit with that raised the error of this name."""
    if name == "KeyboardInterrupt":
        return STOPPED
    return getattr(errors, name).exit_code if is_ours(name) else 1


def sign(executed: NotebookNode, source: Path, target: Path, record: dict) -> None:
    """Writes what happened into ``metadata.mscf`` and into a first cell."""
    executed.metadata["mscf"] = executed.metadata.get("mscf", {}) | record
    lines = {key: record[key] for key in ("status", "start", "end", "commit")}
    table = "\n".join(
        f"{name:14} {printable(str(value))}"
        for name, value in (lines | record["parameters"]).items()
    )
    note = new_markdown_cell(f"~~~text\n{source.name}\n\n{table}\n~~~")
    note.metadata["tags"] = ["mscf-ending"]
    executed.cells.insert(0, note)
    if "papermill" in executed.metadata:  # it knows absolute and temporary names
        paths = {"input_path": shown(source), "output_path": shown(target)}
        executed.metadata["papermill"].update(paths)


def shown(path: Path) -> str:
    """The path from the repository's folder, where it lies there."""
    return str(path.relative_to(root()) if path.is_relative_to(root()) else path)


def keep_earlier(target: Path) -> None:
    """Renames an executed notebook that lies there to the time at which it ended."""
    if not target.exists():
        return
    time = end_time(target).strftime("%Y-%m-%dT%H-%M-%SZ")
    kept, number = target.with_stem(f"{target.stem}-{time}"), 1
    while kept.exists():
        number += 1
        kept = target.with_stem(f"{target.stem}-{time}-{number}")
    target.rename(kept)


def end_time(executed: Path) -> datetime:
    """When it ended, by its own words; by the file's time where it has none."""
    try:
        content = json.loads(executed.read_text(encoding="utf-8"))
        end = datetime.fromisoformat(content["metadata"]["mscf"]["end"])
    except (ValueError, KeyError, TypeError):
        end = datetime.fromtimestamp(executed.stat().st_mtime, UTC)
    return end.astimezone(UTC)
