"""The three outcomes of the page "What counts as reproduced", as one function."""

from __future__ import annotations

from mscf.evaluation.statements import ENOUGH_PATIENTS
from mscf.evaluation.statistics import LEVEL

MARGIN = 1.0  # percentage points of Dice
REPRODUCED, CONTRADICTED, UNDECIDED = OUTCOMES = (
    "reproduced", "contradicted", "undecided",
)  # fmt: skip


def outcome(
    difference: float,
    low: float,
    high: float,
    p: float,
    patients: int,
    margin: float = MARGIN,
    at_least: int = ENOUGH_PATIENTS,
) -> str:
    """What the rule says of one difference, its interval and its p after Holm.

    In the margin's unit, with the sign that makes the claim positive. With fewer
    patients than ``at_least`` nothing is decided.
    """
    if patients < at_least:
        return UNDECIDED
    if difference >= margin and low > 0 and p < LEVEL:
        return REPRODUCED
    return CONTRADICTED if high < margin else UNDECIDED
