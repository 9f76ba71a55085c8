"""``best.ckpt``: the weights of the lowest training loss, and which they must be.

It is written before ``last.ckpt``, which keeps its mark. A run killed between the two
leaves weights that are newer than the state: they are torn.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import nn

from mscf.checkpoint import load_weights, read_checkpoint, write_checkpoint
from mscf.errors import CheckpointError
from mscf.training.settings import is_whole


class BestWeights:
    """The file and its ``mark``, epoch and digest; None before the first."""

    def __init__(self, path: Path, mark: Mapping[str, int | str] | None = None) -> None:
        self.path, self.mark = path, mark

    def write(self, model: nn.Module, header: Mapping[str, object]) -> None:
        """The model's weights, of the epoch that ``header`` names."""
        digest = write_checkpoint(self.path, model.state_dict(), header)
        self.mark = {"epoch": header["epoch"], "digest": digest}

    def load(self, model: nn.Module) -> int:
        """Puts the weights into the model; the epoch that they are of.

        Raises:
            CheckpointError: the file is damaged, or not the one of the mark.
        """
        weights, header = read_checkpoint(self.path)
        epoch = header.get("epoch")
        if not is_whole(epoch) or epoch < 0:
            raise CheckpointError(
                self.path, "must say its epoch", repr(epoch), "checkpoint-state"
            )
        if self.mark and header["digest"] != self.mark["digest"]:
            raise self._other(header)
        load_weights(model, weights, self.path)
        return epoch

    def are_torn(self, epoch: int) -> bool:
        """Whether they are of a killed attempt of ``epoch``, which is made again.

        Raises:
            CheckpointError: they are neither those of the mark nor of that epoch.
        """
        if self.mark is None:
            return False
        _, header = read_checkpoint(self.path)
        if header["digest"] == self.mark["digest"]:
            return False
        if header["epoch"] != epoch:
            raise self._other(header)
        return True

    def _other(self, header: Mapping[str, object]) -> CheckpointError:
        return CheckpointError(
            self.path, f"must be of epoch {self.mark['epoch']}, as last.ckpt says",
            f"epoch {header['epoch']}, digest {header['digest'][:12]}",
            "checkpoint-best",
            "take back the file that belongs to this run, or start anew",
        )  # fmt: skip
