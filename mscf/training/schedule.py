"""When the rate falls and when training ends: the paper's rule as a state machine.

Section 3.1: the rate is "cut in half if there is no reduction in the next 10 epochs",
and training stops after 20 epochs without one or below 5e-7. The watched error is the
mean training loss, as in the first author's public code: there is no validation split,
and the test split is never looked at. Read so that a cut restarts the count of ten
(open point 22).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

CUT_AFTER = 10  # epochs without gain
STOP_AFTER = 20  # epochs without gain
LOWEST_RATE = 5e-7


@dataclass(frozen=True)
class Schedule:
    """The state after an epoch; ``after`` gives the next one."""

    rate: float
    best: float = math.inf
    since_best: int = 0  # epochs without gain
    since_cut: int = 0  # the same, counted anew after a cut

    def after(self, loss: float) -> Schedule:
        """The state once an epoch has ended with this mean training loss.

        Raises:
            ValueError: the loss is not finite; such a run has no next epoch.
        """
        if not math.isfinite(loss):
            raise ValueError(f"loss must be finite (found: {loss})")
        if loss < self.best:
            return replace(self, best=loss, since_best=0, since_cut=0)
        later = replace(
            self, since_best=self.since_best + 1, since_cut=self.since_cut + 1
        )
        if later.since_cut == CUT_AFTER and later.since_best < STOP_AFTER:
            return replace(later, rate=later.rate / 2, since_cut=0)
        return later

    @property
    def improved(self) -> bool:
        """Whether the last epoch was the best so far."""
        return self.since_best == 0

    @property
    def end(self) -> str | None:
        """Why training ends here; ``None`` while it goes on."""
        if self.since_best >= STOP_AFTER:
            return f"no gain in {STOP_AFTER} epochs"
        if self.rate < LOWEST_RATE:
            return f"learning rate below {LOWEST_RATE:g}"
        return None
