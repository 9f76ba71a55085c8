"""How long a command of the page "How to reproduce" took: run, timed, kept as a row."""

from __future__ import annotations

import resource
import shlex
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from mscf.data.spreadsheet import as_csv
from mscf.errors import InputError, SettingsError
from mscf.replacing import write_text
from mscf.training.run_folder import commit, machine, now

# cpu_seconds of all its processes: what sharing the machine does not stretch.
KINDS = {
    "command": str, "seconds": float, "cpu_seconds": float, "device": str, "cores": int,
    "made": str, "commit": str,
}  # fmt: skip


def time_command(command: Sequence[str], table: Path, name: str = "") -> pd.DataFrame:
    """Runs a command to its end and keeps its times in the table, under ``name``.

    A row of the same name is replaced. Returns the table.

    Raises:
        SettingsError: the command cannot be started, or ends badly; no row is kept.
        InputError: the table is something else.
    """
    read_times(table)  # refused before the command runs, not after
    name = name or shlex.join(command)
    before, start = children_seconds(), time.monotonic()
    try:
        code: int | str = subprocess.run(command, check=False).returncode  # noqa: S603
    except OSError as error:
        code = str(error)
    if code:
        raise SettingsError(name, "must end well to be timed", code, "command")
    here = machine(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    row = {
        "command": name,
        "seconds": round(time.monotonic() - start, 1),
        "cpu_seconds": round(children_seconds() - before, 1),
        "device": here["device"],
        "cores": here["cores"],
        "made": now()[:10],
        "commit": commit(),
    }
    times = read_times(table)
    others = times[times["command"] != name].to_dict("records")
    times = pd.DataFrame([*others, row], columns=list(KINDS))
    write_text(table, as_csv(times))
    return times


def children_seconds() -> float:
    """Processor time of all ended processes that this one started, and theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def read_times(table: Path) -> pd.DataFrame:
    """The rows that `time_command` kept; none where there is no file.

    Raises:
        InputError: it is something else.
    """
    if not table.exists():
        return pd.DataFrame(columns=list(KINDS))
    try:
        times = pd.read_csv(table, dtype=KINDS)  # else "true" is no command
        return times[list(KINDS)]
    except (OSError, ValueError, LookupError) as error:
        raise InputError(
            table, "must be times of commands", error, "command-times",
            "make it anew: data_scripts/time_command.py",
        ) from error  # fmt: skip
