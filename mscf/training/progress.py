"""How far a run is: a bar over the steps of an epoch, with the time left of all."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import timedelta

from tqdm import tqdm

from mscf.data.dataset import Step
from mscf.training.state import RunState


def shown(steps: Sequence[Step], state: RunState) -> tqdm:
    """The steps that are left of this epoch, drawn as they are done, at a terminal.

    The time left is that to the last epoch asked for; the schedule may end sooner.
    """
    epoch, epochs = state.position.epoch, state.settings.epochs
    words = f"epoch {epoch + 1}/{epochs}"
    if state.epoch_seconds:
        left = timedelta(seconds=round(state.epoch_seconds * (epochs - epoch)))
        words += f", at most {left} left"
    done = state.position.step
    hidden = not (state.ranks.first and sys.stderr.isatty())
    return tqdm(
        steps, words, done + len(steps), initial=done, leave=False, disable=hidden,
        unit="step", dynamic_ncols=True,
    )  # fmt: skip
