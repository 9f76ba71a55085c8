"""The outcomes of the page "What counts as reproduced", as functions.

What the rule says of one difference, whether its runs are whole, and in which words it
is said where the data are not those that the rule was written for.
"""

from __future__ import annotations

import re

import pandas as pd

from mscf.data.splits import FOLDS
from mscf.evaluation.statistics import ENOUGH_PATIENTS, LEVEL

MARGIN = 1.0  # percentage points of Dice
REPRODUCED, CONTRADICTED, UNDECIDED = OUTCOMES = (
    "reproduced", "contradicted", "undecided",
)  # fmt: skip
# Other data by their name.
IN_WORDS = {
    "excerpt": "the excerpt", "lits_excerpt": "the excerpt", "": "these data",
}  # fmt: skip


def outcome(
    difference: float,
    low: float,
    high: float,
    p: float,
    side: int,
    patients: int,
    margin: float = MARGIN,
    at_least: int = ENOUGH_PATIENTS,
    whole: bool = True,
) -> str:
    """What the rule says of one difference, its interval and its p after Holm.

    In the margin's unit, with the sign that makes the claim positive. Interval and test
    must agree: ``side`` is the one that the patients' ranks lean to. With fewer
    patients than ``at_least``, or of runs that are not ``whole`` (`on_all_folds`),
    nothing is decided.
    """
    if patients < at_least or not whole:
        return UNDECIDED
    if difference >= margin and low > 0 and p < LEVEL and side > 0:
        return REPRODUCED
    return CONTRADICTED if high < margin else UNDECIDED


def on_all_folds(rows: pd.DataFrame) -> bool:
    """Whether each seed of each method was tested on all folds: each patient once.

    Another seed is another split, so a fold of each of three seeds can test as many
    patients as the rule wants, and is no whole stage. ``rows`` have ``fold`` and
    ``seed``, and ``method`` if they are of several; without, as of a run just made,
    they are of one fold.
    """
    if not {"fold", "seed"} <= {*rows} or rows.empty:
        return False
    each = rows.groupby([name for name in ("method", "seed") if name in rows])["fold"]
    return all({*folds} == {*range(FOLDS)} for _, folds in each)


def words_on(data: str) -> dict[str, str]:
    """What the outcomes are called on these data, ``<data>-<size>``.

    None is a word about the paper: for that the rule wants LiTS, three seeds and its
    whole recipe. Those of the excerpt stand on the page.
    """
    name = re.sub(r"-\d+$", "", data)
    name = IN_WORDS.get(name, name)
    return {
        REPRODUCED: f"holds on {name}",
        CONTRADICTED: f"does not hold on {name}",
        UNDECIDED: "undecided at this size",
    }
