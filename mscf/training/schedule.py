"""When the rate falls and when training ends: two rules as one state machine.

``paper``, Section 3.1: the rate is "cut in half if there is no reduction in the next 10
epochs", and training stops after 20 epochs without one or below 5e-7. Read so that a
cut restarts the count of ten (open point 22).

``release``: CE-Net's public code (main.py, 2019) and, after it, TA-Net's (2020) by the
paper's first author, which agree with the paper's wording too. A cut restarts nothing,
so from the eleventh epoch without gain on every epoch halves the rate, and each cut
goes back to the best weights.

The watched error is the mean training loss, as in both codes: there is no validation
split, and the test split is never looked at. Its NaN counted as a gain; ours ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

RULES = ("paper", "release")
PATIENCE = 10  # epochs without gain that change nothing
STOP_AFTER = 20  # epochs without gain
LOWEST_RATE = 5e-7


@dataclass(frozen=True)
class Schedule:
    """The state after an epoch; ``after`` gives the next one."""

    rate: float
    rule: str = "paper"
    best: float = math.inf
    since_best: int = 0  # epochs without gain
    since_cut: int = 0  # the same, counted anew after a cut
    end: str | None = None  # why training ends here; None while it goes on

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
        return RULE[self.rule](later)

    @property
    def improved(self) -> bool:
        """Whether the last epoch was the best so far."""
        return self.since_best == 0

    @property
    def back_to_best(self) -> bool:
        """Whether the next epoch starts from the best weights (``release``)."""
        return self.rule == "release" and self.since_best > PATIENCE


def paper_rule(now: Schedule) -> Schedule:
    """After an epoch without gain, by the paper's words."""
    if now.since_best >= STOP_AFTER:
        return replace(now, end=f"no gain in {STOP_AFTER} epochs")
    if now.since_cut < PATIENCE:
        return now
    return ended_if_slow(replace(now, rate=now.rate / 2, since_cut=0))


def release_rule(now: Schedule) -> Schedule:
    """After an epoch without gain, as the released code does it."""
    if now.since_best > STOP_AFTER:
        return replace(now, end=f"no gain in {STOP_AFTER} epochs")
    if now.since_best <= PATIENCE:
        return now
    tested = ended_if_slow(now)  # before the cut: a rate below the limit trains once
    return tested if tested.end else replace(now, rate=now.rate / 2, since_cut=0)


RULE = {"paper": paper_rule, "release": release_rule}


def ended_if_slow(now: Schedule) -> Schedule:
    """The end where the rate has fallen below the lowest."""
    if now.rate >= LOWEST_RATE:
        return now
    return replace(now, end=f"learning rate below {LOWEST_RATE:g}")
