"""The folder of a run: who works in it, and run.json, the record of what happened."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from mscf.data.one_at_a_time import try_lock
from mscf.data.processes import cores
from mscf.data.store import Store
from mscf.errors import CheckpointError, cannot_write
from mscf.models.cost import parameters
from mscf.replacing import write_text
from mscf.training.settings import LAST_BITS, TrainSettings
from mscf.training.start import has_imagenet

IMAGENET = {True: "loaded", False: "not loaded", None: "none to load"}
KINDS = {
    "settings": dict,
    "store": dict,
    "epochs_done": int,
    "seconds": (int, float),
    "resumed": list,
    "inexact": list,
}
PACKAGES = ("mscf", "torch", "torchvision", "numpy", "scipy", "pandas", "nibabel")


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Makes the folder and keeps every other run out of it until the block ends.

    A lock of the kernel, not a file with a number in it: it ends with the process,
    whatever ends that.

    Raises:
        CheckpointError: another run is at work there.
        StorageError: the folder cannot be written or locked.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "run.lock").open("a+")
    except OSError as error:
        raise cannot_write(folder, error, "must be a writable folder") from error
    with lock:
        try:
            alone = try_lock(lock, folder)
        except OSError as error:
            raise cannot_write(folder, error, "must be locked") from error
        if not alone:
            lock.seek(0)
            raise CheckpointError(
                folder, "must be used by one run at a time",
                lock.read().strip() or "in use", "run-lock",
                "wait for it, or choose another --out",
            )  # fmt: skip
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()} since {now()}\n")
        lock.flush()
        yield


class RunRecord:
    """run.json: settings, versions, machine, what was had, durations, status."""

    def __init__(self, path: Path, content: dict) -> None:
        self.path = path
        self.content = content
        self._clock = time.monotonic()
        self._before = content.get("seconds", 0.0)  # of earlier sittings

    def update(self, **values: object) -> None:
        """Sets entries and writes the file anew."""
        self.content.update(values)
        self.content["seconds"] = round(
            self._before + time.monotonic() - self._clock, 1
        )
        self.content["updated"] = now()
        write_text(self.path, json.dumps(self.content, indent=2) + "\n")


def read_record(path: Path) -> dict:
    """The content of a run.json.

    Raises:
        CheckpointError: it is no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            path, "must be the record of a run", type(error).__name__, "run-record"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(
            path, "must be the record of a run", type(content).__name__, "run-record"
        )
    for name, kind in KINDS.items():
        if name in content and not isinstance(content[name], kind):
            raise CheckpointError(
                path, f"its {name} must be of the kind that a run writes",
                type(content[name]).__name__, "run-record",
            )  # fmt: skip
    return content


def machine(device: torch.device) -> dict:
    """What computed: device, cores, threads, system. No user, host or path."""
    gpu = torch.cuda.get_device_name() if device.type == "cuda" else None
    return {
        "device": gpu or "cpu",
        "cpu": processor(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


@functools.cache
def processor() -> str:
    """The processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.processor()


@functools.cache  # a run asks often, and reading takes milliseconds each
def versions() -> dict[str, str]:
    """The packages that decide the numbers."""
    return {name: version(name) for name in PACKAGES}


def exactly(settings: TrainSettings) -> dict:
    """What must be the same for a resumed run to give the same bits."""
    there, given = machine(settings.device), settings.recorded()
    # On a GPU the processor only loads: another one, of another node, may go on there.
    computes = ("cpu", "threads") if settings.device.type == "cpu" else ()
    return {
        "torch": version("torch"),
        "numpy": version("numpy"),  # augments
        "device": there["device"],
        **{name: there[name] for name in computes},
        **{name: given[name] for name in sorted(LAST_BITS)},
    }


def same_everywhere(settings: TrainSettings, store: Store) -> dict:
    """What all processes of a run must share.

    Between machines paths may differ, and loading processes, of which one with more
    cores takes more: they change no number.
    """
    own = ("data", "out", "workers")
    words = {name: v for name, v in settings.recorded().items() if name not in own}
    return {"settings": words, "store": store.checksum, "code": [versions(), commit()]}


def first_record(settings: TrainSettings, store: Store, model: nn.Module) -> dict:
    """What run.json says before the first step."""
    return {
        "settings": settings.recorded(),
        "store": {
            "checksum": store.checksum,
            "size": store.size,
            "phantoms": store.phantoms,
        },
        "pretrained": IMAGENET[has_imagenet(model)],
        "parameters": parameters(model),
        "loading": {
            "channels_last": True,
            "fused_adam": True,
            "pinned": settings.device.type == "cuda",
            "persistent": bool(settings.workers),
        },
        "machine": machine(settings.device),
        "versions": versions(),
        "commit": commit(),
        "started": now(),
    }


def sitting() -> dict[str, str]:
    """When and by which code a run goes on."""
    return {"at": now(), "commit": commit()}


def commit() -> str:
    """The commit of this code, with "-dirty" where its tracked files were changed.

    Empty without git, and where the package is no part of a repository.
    """
    try:
        git(
            "ls-files", "--error-unmatch", "."
        )  # a .venv may lie in another's repository
        changed = git("status", "--porcelain", "--untracked-files=no", ".")
        return git("rev-parse", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def git(*words: str) -> str:
    """What git answers in the package's folder."""
    return subprocess.run(  # noqa: S603
        ["git", *words],  # noqa: S607
        cwd=Path(__file__).parents[1],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
