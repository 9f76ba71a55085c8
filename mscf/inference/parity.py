"""How far an exported form is from the network that it was made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mscf.errors import NumericalError

TOLERANCE = 1e-4  # of a logit, over the largest logit, or over 1 where that is less

Runner = Callable[[Tensor], Tensor]  # slices (B, 3, H, W) to logits (B, 1, H, W)


@dataclass(frozen=True)
class Parity:
    """One form's logits beside the network's, for one input of noise."""

    form: str  # the file's name
    shape: tuple[int, ...]
    difference: float  # the largest of any logit
    largest: float  # logit of the network

    @property
    def relative(self) -> float:
        """The difference over the largest logit, or over 1 where that is less."""
        return self.difference / max(1.0, self.largest)

    @property
    def holds(self) -> bool:
        """Whether the form may be called the same network; NaN may not."""
        return self.relative <= TOLERANCE


def compare(
    form: str, run: Runner, network: nn.Module, shapes: Sequence[tuple[int, ...]]
) -> list[Parity]:
    """One comparison for each shape.

    Raises:
        NumericalError: the logits differ by more than ``TOLERANCE``.
    """
    found = []
    for shape in shapes:
        x = noise(shape)
        with torch.inference_mode():
            expected = network(x)
        difference = (run(x) - expected).abs().max().item()
        found.append(Parity(form, shape, difference, expected.abs().max().item()))
    if wrong := [parity for parity in found if not parity.holds]:
        raise NumericalError(
            form, f"must give the network's logits to {TOLERANCE:g} of the largest",
            f"{wrong[0].relative:.1e} for slices of {wrong[0].shape}", "export-parity",
            "nothing was written; leave this form out",
        )  # fmt: skip
    return found


def noise(shape: tuple[int, ...]) -> Tensor:
    """Numbers in the range of windowed slices, -1.6 to 1.6, the same each time."""
    random = torch.Generator().manual_seed(0)
    return torch.rand(shape, generator=random) * 3.2 - 1.6
