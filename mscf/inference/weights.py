"""A trained network and what its slices must look like, from the run that made it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from mscf.checkpoint import load_weights, read_checkpoint
from mscf.errors import CheckpointError, SettingsError
from mscf.models import find_method

IN_FOLDERS = ("best.ckpt", "model.safetensors")  # of a run; of an export


@dataclass(frozen=True)
class Trained:
    """A network in evaluation mode, with the size and window that it was trained at."""

    network: nn.Module
    method: str
    image_size: int  # pixels a side
    window: tuple[float, float]  # HU
    digest: str  # of the checkpoint
    record: dict  # what the checkpoint says of itself


def load(where: Path | str) -> nn.Module:
    """A trained network in evaluation mode, on the CPU.

    ``where`` is the folder of a run or of an export, or a checkpoint in one.

    >>> network = mscf.load("runs/mine")
    >>> logits = network(torch.zeros(1, 3, 448, 448))  # (1, 1, 448, 448)

    Raises:
        SettingsError: there is none; weights under a name are not released yet.
        CheckpointError: a folder without a checkpoint, a damaged file, weights of
            another network.
    """
    return open_weights(where).network


def open_weights(where: Path | str) -> Trained:
    """The network of a run's or an export's folder, or of a checkpoint.

    Raises:
        SettingsError: there is none; weights under a name are not released yet.
        CheckpointError: a folder without a checkpoint, a damaged file, weights of
            another network.
    """
    path = weights_file(where)
    weights, record = read_checkpoint(path)
    method, image_size, window = settings_of(record, path)
    network = find_method(method).build(classes=1)
    load_weights(network, weights, path)
    return Trained(network.eval(), method, image_size, window, record["digest"], record)


def weights_file(where: Path | str) -> Path:
    """The checkpoint that ``where`` names, or that lies in the folder it names.

    Raises:
        SettingsError: there is none; weights under a name are not released yet.
        CheckpointError: a folder without a checkpoint.
    """
    path = Path(where)
    if path.is_dir():
        there = [path / name for name in IN_FOLDERS if (path / name).is_file()]
        if not there:
            raise CheckpointError(
                where, "must be the folder of a run or of an export",
                f"no {' and no '.join(IN_FOLDERS)}", "weights-missing",
                "train at least one epoch, or name a checkpoint",
            )  # fmt: skip
        return there[0]
    if not path.is_file():
        raise SettingsError(
            "weights", "must be a run's folder or a checkpoint", f"no {where}",
            "weights-missing", "no weights are released under a name yet",
        )  # fmt: skip
    return path


def settings_of(record: dict, path: Path) -> tuple[str, int, tuple[float, float]]:
    """Method, image size and window that a checkpoint was trained with.

    Raises:
        CheckpointError: it does not say them, or not so that they make sense.
    """
    try:
        method, size = record["method"], record["image_size"]
        low, high = (float(hu) for hu in record["settings"]["window"])
        known = find_method(method)
        good = type(size) is int and size >= known.minimum_size
        good = good and size % known.multiple == 0 and record["classes"] == 1
        good = good and low < high and math.isfinite(high - low)
    except (KeyError, TypeError, ValueError, AttributeError, SettingsError):
        good = False
    if not good:
        found = {k: record.get(k) for k in ("method", "classes", "image_size")}
        raise CheckpointError(
            path, "must say its method, one class, image size and window",
            ", ".join(f"{name} {value}" for name, value in found.items()),
            "weights-record", "give the best.ckpt of a run of this mscf",
        )  # fmt: skip
    return method, size, (low, high)
