"""A network that a test can wait for, settings of a short run, and what equals it."""

import torch
from torch import nn

from mscf.checkpoint import read_checkpoint
from mscf.models.context import ContextBlock
from mscf.training.settings import TrainSettings


class SmallNetwork(nn.Sequential):
    """A network of the paper's kinds of layers that a test can wait for."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 4, 3, stride=4, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Dropout2d(0.2),
            nn.Conv2d(4, 64, 3, stride=4, padding=1),
            ContextBlock(64),
            nn.ConvTranspose2d(64, 4, 4, stride=4),
            nn.ConvTranspose2d(4, 4, 4, stride=4),
            nn.Conv2d(4, 1, 3, padding=1),
        )

    def heads(self) -> list[nn.Conv2d]:
        return [self[-1]]


def settings_for(tiny_store, out, **changes) -> TrainSettings:
    defaults = {"epochs": 3, "batch_size": 4, "pretrained": False, "gpus": 0}
    return TrainSettings(data=tiny_store, out=out, **{**defaults, **changes})


def same_run(one, other) -> None:
    """Tables byte for byte, weights, moments and state of two runs bit for bit."""
    assert differences(one, other) == []


def differences(one, other) -> list[str]:
    """What is not the same in two runs."""
    tables = {p.name for run in (one, other) for p in run.glob("*.csv")}
    found = [  # context.csv is there where the network has a context
        name
        for name in sorted(tables - {"timing.csv"})
        if (one / name).read_bytes() != (other / name).read_bytes()
    ]
    best, other_best = (read_checkpoint(run / "best.ckpt") for run in (one, other))
    last, other_last = (read_checkpoint(run / "last.ckpt") for run in (one, other))
    if best[1]["epoch"] != other_best[1]["epoch"] or unlike(best[0], other_best[0]):
        found.append("best weights")
    wrong = unlike(last[0], other_last[0])
    found += ["weights"] if any(n.startswith("model.") for n in wrong) else []
    found += ["moments"] if any(n.startswith("optimizer.") for n in wrong) else []
    state, other_state = last[1]["state"], other_last[1]["state"]
    found += [n for n in ("position", "schedule") if state[n] != other_state[n]]
    if best_epoch(state) != best_epoch(other_state):
        found.append("best epoch")
    return found


def unlike(tensors: dict, others: dict) -> list[str]:
    """The names of tensors that are not there in both, or not equal."""
    both = tensors.keys() & others.keys()
    wrong = [name for name in both if not torch.equal(tensors[name], others[name])]
    return sorted((tensors.keys() ^ others.keys()) | set(wrong))


def best_epoch(state: dict) -> int | None:
    """Which epoch's weights the state of a run takes for the best."""
    return state["best"]["epoch"] if state["best"] else None
