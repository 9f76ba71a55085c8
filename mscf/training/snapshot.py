"""What ``last.ckpt`` holds of a run, and how it is put back, all of it or nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mscf.checkpoint import check_weights
from mscf.errors import CheckpointError


@dataclass(frozen=True)
class Position:
    """Where a run stands: between two steps of an epoch."""

    epoch: int = 0  # this one is not done
    step: int = 0  # steps of it that are done
    slices: int = 0  # that these have seen
    loss_sum: float = 0.0  # over these slices
    seconds: float = 0.0  # that these took, in earlier sittings

    def after(self, n_slices: int, loss: float) -> Position:
        """One step further; ``loss`` is its mean."""
        return replace(
            self,
            step=self.step + 1,
            slices=self.slices + n_slices,
            loss_sum=self.loss_sum + loss * n_slices,
        )

    @property
    def loss(self) -> float:
        """The mean cross entropy of the epoch so far."""
        return self.loss_sum / self.slices

    def __str__(self) -> str:
        inside = f", step {self.step}" if self.step else ""
        return f"epoch {self.epoch}{inside}"


def snapshot(model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """Weights, running statistics, Adam's moments and steps, by name."""
    tensors = {f"model.{name}": t for name, t in model.state_dict().items()}
    for i, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{name}": t for name, t in moments.items()}
    return tensors


def restore(
    tensors: dict[str, Tensor], model: nn.Module, optimizer: Optimizer, path: Path
) -> None:
    """The inverse of ``snapshot``.

    Raises:
        CheckpointError: a tensor is missing, too many, of another shape or type, or not
            finite; neither model nor optimizer has changed.
    """
    weights = {
        name.removeprefix("model."): t
        for name, t in tensors.items()
        if name.startswith("model.")
    }
    check_weights(model, weights, path)
    moments = {n: t for n, t in tensors.items() if not n.startswith("model.")}
    (group,) = optimizer.param_groups
    expected = {
        f"optimizer.{i}.{name}": shape
        for i, parameter in enumerate(group["params"])
        for name, shape in (
            ("step", torch.Size()),
            ("exp_avg", parameter.shape),
            ("exp_avg_sq", parameter.shape),
        )
    }
    wrong = [name for name in moments if name not in expected]
    wrong += [n for n, t in moments.items() if t.shape != expected.get(n, t.shape)]
    wrong += [n for n, t in moments.items() if not torch.isfinite(t).all()]
    wrong += partly(expected, moments)
    if wrong:
        raise CheckpointError(
            path, "must hold Adam's finite moments of this network",
            ", ".join(wrong[:3]), "checkpoint-optimizer",
            "start anew, or take its weights with --finetune-from",
        )  # fmt: skip
    model.load_state_dict(weights)
    optimizer.state.clear()
    for full_name, saved in moments.items():
        _, i, name = full_name.split(".")
        parameter = group["params"][int(i)]
        if name == "step":
            moment = saved.to(parameter.device)
        else:  # in the parameter's own memory order, which the fused step relies on
            moment = torch.empty_like(parameter).copy_(saved)
        optimizer.state[parameter][name] = moment


def partly(expected: dict[str, torch.Size], moments: dict[str, Tensor]) -> list[str]:
    """What is missing of a parameter of which something is there.

    A parameter that has never had a gradient has no moments at all.
    """
    there = {name.rpartition(".")[0] for name in moments}
    return [
        name
        for name in expected
        if name not in moments and name.rpartition(".")[0] in there
    ]
