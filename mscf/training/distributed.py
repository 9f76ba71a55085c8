"""The processes of one run, as torchrun starts them: who this is, sums over all.

Every process holds the whole network and forwards its own part of each batch. Once a
step their gradients are added up in one message, weighted by true numbers of slices,
so that uneven parts and a process without a slice need no special case. In the same
message go what decides how the run goes on (a stop asked for, a number that is not
finite), so all of them do the same at the same step; and the running statistics of
batch normalisation, so all hold the same network and one of them can save it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mscf.errors import DistributedError, MscfError, StorageError
from mscf.training.settings import TrainSettings, joined_processes
from mscf.training.stopping import StopRequest, die_with_parent

LAUNCHED = "MSCF_LAUNCHED"  # set where our launcher, not the user, speaks for the ranks


class Ranks:
    """The processes of a run; of one process too, where every sum is its own."""

    def __init__(self, rank: int = 0, world: int = 1, store: object = None) -> None:
        self.rank, self.world = rank, world
        self._store = store
        self._parent = os.getppid()

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def add_up(self, model: nn.Module, share: float, totals: Tensor) -> None:
        """One message: gradients and totals summed, running statistics averaged.

        ``share`` is the part of the step's slices that this process has seen; a process
        without one adds nothing.
        """
        if self.world == 1:
            return
        for parameter in model.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        statistics = [b for b in model.buffers() if b.is_floating_point()]
        for buffer in statistics:
            buffer.mul_(share)
        tensors = [*(p.grad for p in model.parameters()), *statistics, totals]
        flat = torch.cat([tensor.reshape(-1).float() for tensor in tensors])
        with self._named():
            dist.all_reduce(flat)
        sums = flat.split([tensor.numel() for tensor in tensors])
        for tensor, total in zip(tensors, sums, strict=True):
            tensor.copy_(total.view(tensor.shape))

    def wait(self) -> None:
        """Until every process is here."""
        if self.world > 1:
            with self._named():
                dist.barrier()

    def gather(self, value: object) -> list:
        """What every process gave, on each of them."""
        if self.world == 1:
            return [value]
        values = [None] * self.world
        with self._named():
            dist.all_gather_object(values, value)
        return values

    def agree(self, what: str, value: object) -> None:
        """All processes must have been given the same.

        Raises:
            DistributedError: shows a digest of both.
        """
        text = json.dumps(value, sort_keys=True, default=str)
        digests = self.gather(hashlib.sha256(text.encode()).hexdigest()[:12])
        for rank, digest in enumerate(digests):
            if digest != digests[0]:
                raise DistributedError(
                    f"rank {rank}", f"must have the {what} of rank 0",
                    f"{digest} instead of {digests[0]}", "ranks-differ",
                    "start all of them with the same command, code and data",
                )  # fmt: skip

    def arrived(self, where: str) -> None:
        """Notes for the others how far this process is; ends it without its parent."""
        if self.world == 1:
            return
        if os.getppid() != self._parent:  # for systems without die_with_parent
            raise DistributedError(
                f"rank {self.rank}", "must have the launcher that started it",
                "it is gone", "launcher-gone", "start again with --resume",
            )  # fmt: skip
        with contextlib.suppress(RuntimeError):  # the next sum will name the loss
            self._store.set(f"step-{self.rank}", where)

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Turns a lost or late process into one line that names it."""
        try:
            yield
        except RuntimeError as error:
            late = "Timed out" in str(error) or "timeout" in str(error).lower()
            raise DistributedError(
                f"rank {self.rank}",
                "must hear from every process",
                f"{'no answer in time from' if late else 'lost:'} {self._who(late)}",
                "rank-hangs" if late else "rank-lost",
                "start again with --resume",
            ) from error

    def _who(self, late: bool) -> str:
        """The processes that do not say that they wait too, with their last step."""
        if not late:
            return "another process"
        self._store.set(f"waits-{self.rank}", "")
        silent = [r for r in range(self.world) if self._noted(f"waits-{r}") is None]
        names = [f"rank {r} since step {self._noted(f'step-{r}')}" for r in silent]
        return ", ".join(names) or "another process"

    def _noted(self, key: str) -> str | None:
        """What a process has noted; None where it did not."""
        try:
            self._store.wait([key], timedelta(seconds=2))
            return self._store.get(key).decode()
        except RuntimeError:
            return None


def launched() -> bool:
    """Whether this is a process of our launcher, which speaks for it."""
    return LAUNCHED in os.environ


@contextlib.contextmanager
def joined(settings: TrainSettings, stop: StopRequest) -> Iterator[Ranks]:
    """The processes that torchrun started with this one; alone if it started none.

    A failure in one of several is left in ``rank-N.json`` of the run's folder, because
    torchrun itself ends with 1 whatever its processes returned. So is a request to stop
    that was obeyed at once: it is no failure, and the launcher must be able to tell.

    Raises:
        DistributedError: a process is lost, late, or was started otherwise.
    """
    if joined_processes() < 2:
        yield Ranks()
        return
    rank, world = int(os.environ["RANK"]), joined_processes()
    file = settings.out / f"rank-{rank}.json"
    try:
        file.unlink(missing_ok=True)
        die_with_parent(signal.SIGKILL)
        yield connected(settings, rank, world)
    except BaseException as error:
        code = leave_cause(file, stop.reason(error, settings.out))
        if launched():
            leave(code)
        raise
    else:
        dist.destroy_process_group()


def connected(settings: TrainSettings, rank: int, world: int) -> Ranks:
    """Joins the group; a port that is taken or a launcher that is gone is one line."""
    device, late = settings.device, timedelta(seconds=settings.timeout)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        store, _, _ = next(dist.rendezvous("env://", timeout=late))
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(
            backend, store=store, rank=rank, world_size=world, timeout=late
        )
    except (RuntimeError, ValueError) as error:
        raise DistributedError(
            f"rank {rank}", "must reach the other processes",
            str(error).partition("\n")[0], "ranks-connect",
            "is the port free, and the address of the first machine right?",
        ) from error  # fmt: skip
    return Ranks(rank, world, dist.PrefixStore("mscf", store))


def leave_cause(file: Path, error: BaseException) -> int:
    """Writes exit code and line of a process that fails; gives the code."""
    known = isinstance(error, MscfError)
    code = error.exit_code if known else 1
    line = str(error) if known else f"{type(error).__name__}: {error}"
    cause = {"code": code, "line": line, "check": ""}
    if known:
        cause |= {"check": error.finding.check, "finding": asdict(error.finding)}
    else:
        cause["traceback"] = traceback.format_exc()
    with contextlib.suppress(OSError, StorageError):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(cause) + "\n", encoding="utf-8")
    return code


def leave(code: int) -> None:
    """Ends this process at once: what is left of the group may wait for the others."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
