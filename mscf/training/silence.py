"""A network that draws no tumour at all: said once, with what helps.

Tumour is a percent of the pixels or less, so the first thing that any network learns is
that everything is background. Its loss falls, its Dice is 0, and nothing says why.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mscf.data.dataset import SliceDataset
from mscf.errors import Finding
from mscf.training.start import tumour_share
from mscf.training.state import RunState

PATIENCE = 300  # steps; below about 200 nothing is learned on phantoms


def drawn_pixels(outputs: Tensor | tuple[Tensor, ...]) -> Tensor:
    """How many pixels are drawn as tumour, on the device; of DANet by its first map."""
    logits = outputs[0] if isinstance(outputs, tuple) else outputs
    return torch.count_nonzero(logits.detach() > 0)


class Silence:
    """Counts the steps since a pixel was last drawn; a resumed run counts anew."""

    def __init__(self, state: RunState, slices: SliceDataset) -> None:
        self.state, self.slices = state, slices

    def step(self, drew: bool) -> None:
        """A step was made. After ``PATIENCE`` of them in silence it is said, once."""
        state = self.state
        state.silent_steps = 0 if drew else state.silent_steps + 1
        if state.silent_steps < PATIENCE or not state.ranks.first:
            return
        if "nothing_drawn" in state.record.content:
            return
        share = tumour_share(self.slices)
        state.record.update(
            nothing_drawn={"epoch": state.position.epoch, "tumour_share": share}
        )
        state.log.warn(
            Finding(
                state.settings.method,
                f"should have drawn some tumour in its last {PATIENCE} steps",
                f"not a pixel; tumour is {100 * share:.2g} % of the training pixels",
                "nothing-drawn",
                advice(state.settings.log_odds_bias),
            )
        )


def advice(log_odds_bias: bool) -> str:
    """What helps a network that still answers background."""
    begin = "" if log_odds_bias else "begin anew with --log-odds-bias, or "
    return f"{begin}go on: some need a thousand steps"
