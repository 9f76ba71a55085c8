"""Executing the book's notebooks: which, with what, and what it took."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbformat
import psutil
from nbformat import NotebookNode
from stage import merge, tags, write_if_changed

from mscf.errors import InputError

AT_A_TIME = 2
# A port that was free when a kernel was given it may be another's when it starts.
STARTS, NOT_STARTED = 3, "Kernel died before replying to kernel_info"
CELL_SECONDS = 1800  # a cell that takes longer hangs
# Without its parent nobody waits for a child; kernels then end by themselves.
WITH_US = "from mscf.training.stopping import die_with_parent; die_with_parent(9); "
PAPERMILL = WITH_US + "from papermill.__main__ import papermill; papermill()"


@dataclass
class Execution:
    """One notebook of the book: what was done, and what it took when it ran."""

    notebook: str
    status: str  # executed, kept, failed
    key: str = ""
    seconds: float = 0
    peak_mb: float = 0  # resident, kernel and its processes together
    problem: str = ""


def execute_all(
    root: Path,
    notebooks: list[str],
    parameters: dict[str, dict[str, Any]],
    alone: set[str],
) -> list[Execution]:
    """Brings all up to date: two at a time, then one by one those in ``alone``."""

    def update(name: str, at_a_time: int = 1) -> Execution:
        return bring_up_to_date(root, name, parameters.get(name, {}), at_a_time)

    together = [name for name in notebooks if name not in alone]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        done = list(pool.map(lambda name: update(name, AT_A_TIME), together))
    done += [update(name) for name in notebooks if name in alone]
    return sorted(done, key=lambda execution: notebooks.index(execution.notebook))


def bring_up_to_date(
    root: Path, name: str, passed: dict[str, Any], at_a_time: int
) -> Execution:
    """Executes one notebook into the stage, unless the outputs there still hold."""
    source = nbformat.read(root / name, as_version=4)
    staged = root / "book/_stage" / name
    try:
        parameters = book_parameters(name, source, passed)
        key = content_key(root, name, source, parameters)
        if staged.is_file():
            earlier = nbformat.read(staged, as_version=4)
            record = earlier.metadata.get("mscf_book", {})
            if record.get("key") == key:
                write_if_changed(staged, merge(source, earlier, parameters, record))
                return Execution(name, "kept", **record)
        print(f"{name}: executing", flush=True)
        executed, took = execute(root, name, parameters, at_a_time)
    except InputError as error:
        return Execution(name, "failed", problem=str(error))
    problem = failure(name, executed)
    record = {"key": "" if problem else key, **took}  # a failed one runs again
    write_if_changed(staged, merge(source, executed, parameters, record))
    status = "failed" if problem else "executed"
    return Execution(name, status, **record, problem=problem)


def book_parameters(
    name: str, source: NotebookNode, passed: dict[str, Any]
) -> dict[str, Any]:
    """What papermill is given.

    Raises:
        InputError: the notebook has no such parameter; papermill would take any name.
    """
    cells = [cell.source for cell in source.cells if "parameters" in tags(cell)]
    lines = ast.parse("\n".join(cells)).body
    known = {line.targets[0].id for line in lines if isinstance(line, ast.Assign)}
    if "out" in known:
        passed = passed | {"out": f"runs/book/{Path(name).stem}"}
    if unknown := sorted(passed.keys() - known):
        must = f"must have every parameter that the book passes, {', '.join(unknown)}"
        raise InputError(name, must, ", ".join(sorted(known)) or "none", "parameters")
    return passed


def content_key(
    root: Path, name: str, source: NotebookNode, parameters: dict[str, Any]
) -> str:
    """A digest over all that decides the outputs: equal key, equal page.

    Code cells, what the book passes, the package, the files that the notebook says it
    reads (metadata ``mscf.inputs``, patterns from the root), and the versions of the
    packages that decide numbers and pictures.

    Raises:
        InputError: a pattern of ``mscf.inputs`` matches no file.
    """
    code = [(c.id, c.source, tags(c)) for c in source.cells if c.cell_type == "code"]
    versions = {name: version(name) for name in ("torch", "numpy", "matplotlib")}
    digest = hashlib.sha256()
    digest.update(json.dumps([code, parameters, versions], sort_keys=True).encode())
    files = {f for f in (root / "mscf").rglob("*") if "__pycache__" not in f.parts}
    for pattern in source.metadata.get("mscf", {}).get("inputs", []):
        found = set(root.glob(pattern))
        if not found:
            todo = "delete book/_stage, then the page that makes it runs again"
            todo = todo if pattern.startswith("runs/") else ""
            raise InputError(name, f"reads {pattern}", "no such file", "inputs", todo)
        files |= found
    for file in sorted(file for file in files if file.is_file()):
        digest.update(f"\n{file.relative_to(root)}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def execute(
    root: Path, name: str, parameters: dict[str, Any], at_a_time: int
) -> tuple[NotebookNode, dict[str, float]]:
    """Runs papermill; the notebook with outputs, seconds and peak memory.

    A process of its own, so that its memory can be measured and its end is an end.

    Raises:
        InputError: it left no notebook, or the kernel died.
    """
    if "out" in parameters:  # a run that is there would be resumed, with older code
        shutil.rmtree(root / parameters["out"], ignore_errors=True)
    threads = str(max(1, (os.cpu_count() or 1) // at_a_time))
    environment = {"OMP_NUM_THREADS": threads} | os.environ
    environment.pop("JUPYTER_PATH", None)  # its python3 kernel would win over ours
    with tempfile.TemporaryDirectory() as folder:
        output, log = Path(folder, "executed.ipynb"), Path(folder, "log")
        command = [
            *(sys.executable, "-c", PAPERMILL, str(root / name), str(output)),
            *("--parameters_yaml", json.dumps(parameters), "--kernel", "python3"),
            *("--cwd", str((root / name).parent), "--no-progress-bar"),
            *("--execution-timeout", str(CELL_SECONDS)),
        ]
        for _ in range(STARTS):
            code, took = watch(command, environment, log)
            said = log.read_text(errors="replace")
            if NOT_STARTED not in said:
                break
        executed = nbformat.read(output, as_version=4) if output.is_file() else None
        if executed is None or (code and not failed_cell(executed)):
            lines = said.strip().splitlines() or ["nothing"]
            found = f"papermill ended with {code}: {lines[-1]}"
            raise InputError(name, "must run to its end", found, "notebook")
    return executed, took


def watch(
    command: list[str], environment: dict[str, str], log: Path
) -> tuple[int, dict[str, float]]:
    """Runs a command to its end; its exit code, seconds and peak memory.

    What it says goes into ``log``.
    """
    start, peak = time.monotonic(), 0
    with log.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            env=environment,
        )  # fmt: skip
        try:
            while process.poll() is None:
                peak = max(peak, resident_bytes(process.pid))
                time.sleep(0.2)
        finally:
            process.terminate()  # where we are interrupted; else it has ended
    seconds = round(time.monotonic() - start, 1)
    return process.returncode, {"seconds": seconds, "peak_mb": round(peak / 1e6)}


def resident_bytes(pid: int) -> int:
    """Memory of a process and all below it."""
    total = 0
    try:
        parent = psutil.Process(pid)
        for process in [parent, *parent.children(recursive=True)]:
            total += process.memory_info().rss
    except psutil.NoSuchProcess:  # ended while we looked; the next look counts
        pass
    return total


def failed_cell(executed: NotebookNode) -> tuple[int, NotebookNode] | None:
    """Number, among the code cells of the source, and error of the cell that raised."""
    cells = [
        cell
        for cell in executed.cells
        if cell.cell_type == "code" and "injected-parameters" not in tags(cell)
    ]
    for number, cell in enumerate(cells, start=1):
        for output in cell.outputs:
            if output.output_type == "error":
                return number, output
    return None


def failure(name: str, executed: NotebookNode) -> str:
    """One line on the cell that raised, empty when all ran."""
    failed = failed_cell(executed)
    if failed is None:
        return ""
    number, error = failed
    must, found = f"code cell {number} must run", f"{error.ename}: {error.evalue}"
    return str(InputError(name, must, found, "notebook", f"see book/_stage/{name}"))
