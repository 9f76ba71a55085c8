"""What a step needs in memory, told before the first one, and when it did not fit."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mscf.errors import Finding, MemoryLimitError, out_of_memory
from mscf.models.cost import parameters
from mscf.training.batch_norm import unmoved_statistics
from mscf.training.settings import TrainSettings
from mscf.training.state import RunState

FLOAT32 = 4  # bytes
FULL = 0.9  # of what is free; above it there is a warning
CGROUP = Path("/sys/fs/cgroup")  # of a container on Linux


def step_memory(model: nn.Module, image: Tensor, slices: int) -> int:
    """Bytes that a step of ``slices`` takes: an estimate, from one slice.

    Weights, gradients and two moments, and what one forward pass of ``image``
    ``(1, 3, H, W)`` keeps for the backward pass, times the slices. What single layers
    need on the way is not in it.
    """
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.detach())  # the tensor itself would keep what made it
        return kept[-1]

    saved = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with unmoved_statistics(model), saved:
        model(image)
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage() for t in kept}
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    each_slice = sum(s.nbytes() for at, s in storages.items() if at not in weights)
    return 4 * FLOAT32 * parameters(model) + slices * each_slice


def free_memory(device: torch.device) -> int | None:
    """Bytes to be had: on the GPU, else in this machine or container; None: unknown."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(x.split()[1]) * 1024 for x in lines if "MemAvailable" in x)
    except (OSError, StopIteration, ValueError):
        return None
    with contextlib.suppress(OSError, ValueError):  # "max" where there is no limit
        limit = int((CGROUP / "memory.max").read_text())
        used = int((CGROUP / "memory.current").read_text())
        free = min(free, limit - used)
    return free


def room_for(settings: TrainSettings, needed: int) -> Finding | None:
    """What to say where the estimate is close to what is free, or above it."""
    free = free_memory(settings.device)
    beside = 1 if settings.device.type == "cuda" else settings.processes or 1
    if free is None or needed * beside <= FULL * free:
        return None
    return Finding(
        settings.method,
        f"a step of {settings.batch_size} slices should fit into free memory",
        f"about {gib(needed * beside)} needed, {gib(free)} free",
        "memory",
        lower(settings),
    )


@contextlib.contextmanager
def memory_errors(settings: TrainSettings, needed: int = 0) -> Iterator[None]:
    """Turns "out of memory" into one line that says what to lower.

    Raises:
        MemoryLimitError: exit code 6. Nothing is tried again behind the user's back.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        estimate = f"; its estimate is {gib(needed)}" if needed else ""
        raise MemoryLimitError(
            settings.method,
            f"a step must fit into memory{estimate}",
            str(error).partition("\n")[0][:200],
            "memory",
            lower(settings),
        ) from error


@contextlib.contextmanager
def worker_errors(loader: DataLoader, state: RunState) -> Iterator[None]:
    """Turns the death of a loading process into one line with the slices waited for.

    PyTorch raises it wherever this process just is, so it may be in mid-step.

    Raises:
        MemoryLimitError: exit code 6.
    """
    if not loader.num_workers:
        yield
        return
    lost = ConnectionError, EOFError
    try:
        try:
            yield
        except lost:  # closed a moment before its end is told
            time.sleep(1)  # PyTorch raises in here what ended it
            raise
    except (RuntimeError, *lost) as error:
        if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
            raise
        loader.batch_sampler.set_position(state.position.epoch, state.position.step)
        steps = loader.batch_sampler.steps()[:1]  # none: the epoch's last one is done
        keys = [key for step in steps for part in step.parts.values() for key in part]
        names = ", ".join(map(loader.dataset.name, keys)) or "the next epoch"
        raise MemoryLimitError(
            "workers", f"must live; {state.position} waits for {names}",
            str(error).partition("\n")[0].strip() or "no answer", "worker-died",
            "short of memory or of shared memory (/dev/shm), or an error of the script,"
            " see above: try --workers 0",
        ) from error  # fmt: skip


def lower(settings: TrainSettings) -> str:
    """What helps, in the order in which it costs least."""
    parts = (settings.processes or 1) * settings.accumulate
    room = settings.batch_size // parts > 1
    more = f"--accumulate {2 * settings.accumulate} (batch_size in more passes)"
    ways = [more] if room else []
    ways += ["--precision bf16"] if settings.precision == "float32" else []
    ways += ["a store of a smaller image_size"]
    ways += ["fewer --workers"] if settings.workers else []
    return f"lower it by {', '.join(ways)}"


def gib(n: int) -> str:
    """Bytes in GiB."""
    return f"{n / 2**30:.1f} GiB"
