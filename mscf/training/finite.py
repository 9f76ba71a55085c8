"""Numbers that are not finite: seen before they reach a weight, and named.

A NaN in one gradient would make Adam's moments and that weight NaN for good, and a
network of NaN looks like one that finds no tumour. So each step's totals are looked
at; on a GPU one step later, so that nothing waits for it: there the step itself was
masked on the device, and weights and moments are still good.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from mscf.data.dataset import SliceDataset, Step
from mscf.errors import DistributedError, MscfError, NumericalError
from mscf.replacing import write_text
from mscf.training.silence import Silence
from mscf.training.state import RunState

# Places in a vector of totals; BAD and on: a rank each.
LOSS, DRAWN, STOP, SAVE, BAD = range(5)


@dataclass(frozen=True)
class Observed:
    """A step with its totals on their way to the host."""

    step: Step
    totals: Tensor  # (BAD + world,)
    loss: Tensor  # this process's own part of it
    norms: Tensor  # of this process's gradients, one a parameter
    arrived: torch.cuda.Event | None


def gradient_norms(model: nn.Module) -> Tensor:
    """The norm of every gradient ``(parameters,)``; infinite where its square is."""
    gradients = [
        p.new_zeros(()) if p.grad is None else p.grad.detach()
        for p in model.parameters()
    ]
    # One kernel for all; torch's own clipping uses it, there is no public name.
    return torch.stack(torch._foreach_norm(gradients))


class Watch:
    """Reads every step's totals as soon as that costs nothing, and moves the state on.

    At once on a CPU, on a GPU when the next step has been sent to it.
    """

    def __init__(self, state: RunState, slices: SliceDataset) -> None:
        self.state, self.slices = state, slices
        self.silence = Silence(state, slices)
        self.wished = False  # to save, or to stop
        self.stop = False
        self._late = state.settings.device.type == "cuda"
        self._waiting: list[Observed] = []

    def totals(self, loss: Tensor, drawn: Tensor, norms: Tensor, stop: bool) -> Tensor:
        """This process's part ``(BAD + world,)``; the sum over ranks is the whole."""
        ranks = self.state.ranks
        totals = torch.zeros(BAD + ranks.world, device=loss.device)
        totals[LOSS] = loss
        totals[DRAWN] = drawn
        totals[STOP] = float(stop)
        totals[SAVE] = float(ranks.first and self.state.save_is_due)
        bad = ~(torch.isfinite(loss) & torch.isfinite(norms).all())
        totals[BAD + ranks.rank] = bad.float()
        return totals

    def look(self, step: Step, loss: Tensor, norms: Tensor, totals: Tensor) -> None:
        """A step was made; ``totals`` are those of all processes.

        Raises:
            NumericalError: of a step whose totals are there by now.
        """
        arrived = None
        if self._late:
            totals = totals.to("cpu", non_blocking=True)
            arrived = torch.cuda.Event()
            arrived.record()
        self._waiting.append(Observed(step, totals, loss, norms, arrived))
        self._read(all_but=1 if self._late else 0)

    def rest(self) -> None:
        """Reads what still waits, and the statistics; nothing may be saved before.

        Raises:
            NumericalError: of a step, or as ``check_statistics``.
        """
        self._read(all_but=0)
        state = self.state
        check_statistics(state.model, state.settings.out, state.position.epoch)

    def _read(self, all_but: int) -> None:
        while len(self._waiting) > all_but:
            seen = self._waiting.pop(0)
            if seen.arrived is not None:
                seen.arrived.synchronize()
            loss, drawn, stop, save, *bad = seen.totals.tolist()
            if any(bad):
                ranks = [rank for rank, flag in enumerate(bad) if flag]
                raise self._not_finite(seen, ranks)
            self.state.position = self.state.position.after(seen.step.n_slices, loss)
            self.silence.step(drawn > 0)
            self.stop = self.stop or stop > 0
            self.wished = self.stop or save > 0

    def _not_finite(self, seen: Observed, bad: list[int]) -> MscfError:
        """The error of a step, with ``failure.json`` of a process where it arose."""
        settings, rank = self.state.settings, self.state.ranks.rank
        where = f"epoch {self.state.position.epoch}, step {seen.step.number}"
        where += f" of rank {rank}" if self.state.ranks.world > 1 else ""
        if rank not in bad:
            return DistributedError(
                f"rank {bad[0]}", f"its numbers must be finite in {where}",
                "NaN or infinity", "rank-failed", "see the line of that rank",
            )  # fmt: skip
        names = [n for n, p in self.state.model.named_parameters()]
        finite = torch.isfinite(seen.norms).tolist()
        wrong = [n for n, good in zip(names, finite, strict=True) if not good][:3]
        keys = [key for part in seen.step.parts.values() for key in part]
        slices = [self.slices.name(key) for key in keys]
        loss, rate = float(seen.loss), self.state.schedule.rate
        failure = {
            "epoch": self.state.position.epoch,
            "step": seen.step.number,
            "rank": rank,
            "slices": slices,
            "loss": repr(loss),
            "gradient_norm": repr(float(seen.norms.norm())),
            "parameters": wrong,
            "learning_rate": rate,
        }
        leave_failure(settings.out, failure)
        on = f"on {', '.join(slices)}"
        advice = f"choose a rate below {rate:g}; --finetune-from keeps the last weights"
        if math.isfinite(loss):
            return NumericalError(
                settings.out, f"the gradients of {where} must be finite",
                f"NaN or infinity in {', '.join(wrong)} {on}", "gradient-finite",
                advice,
            )  # fmt: skip
        return NumericalError(
            settings.out, f"the loss of {where} must be finite", f"{loss} {on}",
            "loss-finite", advice,
        )  # fmt: skip


def leave_failure(folder: Path, facts: dict) -> None:
    """``failure.json`` of a run: where a number was not finite."""
    write_text(folder / "failure.json", json.dumps(facts, indent=2) + "\n")


def check_statistics(model: nn.Module, folder: Path, epoch: int) -> None:
    """Running means and variances, which no gradient shows, must be finite.

    Raises:
        NumericalError: names the first module.
    """
    bad = [
        name
        for name, buffer in model.named_buffers()
        if buffer.is_floating_point() and not torch.isfinite(buffer).all()
    ]
    if bad:
        leave_failure(folder, {"epoch": epoch, "statistics": bad[:3]})
        raise NumericalError(
            folder, f"the running statistics of epoch {epoch} must be finite",
            f"NaN or infinity in {bad[0]}", "statistics-finite",
            "choose a lower rate; --finetune-from keeps the last weights",
        )  # fmt: skip
