"""Running a notebook by its name: checked first, saved and signed at every end."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mscf.errors import SettingsError, cannot_write
from mscf.notebook.parameters import all_values, find_notebook
from mscf.paths import root
from mscf.replacing import replacing

if TYPE_CHECKING:
    from mscf.notebook.ending import Ending


def run_notebook(
    name: str, given: dict[str, str], output: Path | None = None
) -> Ending:
    """Runs ``notebooks/NAME.ipynb`` with the parameters given as text.

    The executed notebook is saved, and says how it ended, whatever the ending: as
    ``output``, or in the run's folder where the notebook has one (``out``), or in
    ``runs/notebooks``. An earlier one there is kept under the time at which it ended.

    Raises:
        SettingsError: no such notebook or parameter, or a value that it refuses;
            nothing was started or written.
        StorageError: the output cannot be written.
    """
    source = find_notebook(name)
    check_installed()
    values = all_values(source, given)
    target = find_output(source, values, output)
    passed = {parameter: values[parameter] for parameter in given}
    return execute_and_save(source, target, passed, values)


def check_installed() -> None:
    """Refuses to go on without the packages of the extra ``book``."""
    for package in ("papermill", "ipykernel"):
        if find_spec(package) is None:
            raise SettingsError(
                package, "must be installed to run notebooks", "no such package",
                "not-installed", "pip install 'mscf[book]'",
            )  # fmt: skip


def find_output(source: Path, values: dict[str, object], chosen: Path | None) -> Path:
    """Where the executed notebook goes.

    Raises:
        SettingsError: that is no place for an executed notebook.
    """
    folder = root() / str(values.get("out", "runs/notebooks"))
    target = folder / source.name if chosen is None else chosen
    if target.suffix != ".ipynb" or target.is_dir():
        raise SettingsError(
            target, "must be a file that ends in .ipynb", target.name, "output",
            f"give {target / source.name}",
        )  # fmt: skip
    if target.resolve().parent == source.resolve().parent:
        raise SettingsError(
            target, "must lie outside of notebooks/", target.name, "output",
            "the sources are there: choose another folder",
        )  # fmt: skip
    return target


def execute_and_save(
    source: Path,
    target: Path,
    passed: dict[str, object],
    values: dict[str, object],
) -> Ending:
    """Runs the cells under a temporary name, signs what came out, puts it in place."""
    import nbformat

    from mscf.notebook.ending import ending_of, keep_earlier, shown, sign
    from mscf.notebook.kernel import Echo, Stop, execute
    from mscf.training.run_folder import commit, now

    record = {"parameters": values, "commit": commit(), "start": now()}
    stdout, stderr = Echo(sys.stdout), Echo(sys.stderr)
    stop = Stop()
    # No .part: a training that starts in this folder takes such leftovers away.
    part = target.with_name(f".{target.name}.{os.getpid()}.running")
    stdout.write(f"{source.name}: running, to be saved as {shown(target)}\n")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        died = not execute(source, part, passed, stop, stdout, stderr)
        try:
            executed = nbformat.read(part, as_version=4)
        except (OSError, ValueError):  # stopped before the first saving, or within one
            executed = nbformat.read(source, as_version=4)
        ending = ending_of(executed, source, target, died, stop.asked is not None)
        record |= {"status": ending.status, "end": now()}
        sign(executed, source, target, record)
        with replacing(target) as file:
            nbformat.write(executed, file)
            keep_earlier(target)
    except OSError as error:
        raise cannot_write(target, error) from error
    finally:
        with suppress(OSError):  # there is none, where it could not be made
            part.unlink()
    how, _, _ = ending.status.partition(":")  # the error itself goes to stderr
    stdout.write(f"{source.name}: {how}, saved as {shown(target)}\n")
    return ending
