"""C4 of the page "What counts as reproduced": Ours is best of ten in every metric."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mscf.evaluation.claims import shared_rows, words_of
from mscf.evaluation.differences import against_baselines
from mscf.evaluation.outcome import (
    CONTRADICTED,
    REPRODUCED,
    UNDECIDED,
    on_all_folds,
)
from mscf.evaluation.ranking import ranking
from mscf.evaluation.results_table import GROUPS, SEVEN, THREE_RULES
from mscf.evaluation.statistics import ENOUGH_PATIENTS, LEVEL

TEN = tuple(key for keys in GROUPS.values() for key in keys)
OURS = "mscf"
ALWAYS, NEVER = 0.95, 0.05  # shares of draws in which Ours is first


def rank_claim(rows: pd.DataFrame) -> pd.DataFrame:
    """C4: the place of Ours among the ten in each of the seven metrics, and the word.

    ``rows`` are of ``per_slice.csv``; of other methods they are left out. ``rank`` is
    the median over draws of patients with percentiles 2.5 and 97.5, ``share_first`` the
    share of draws in which Ours is first. Of Dice ``p`` is the largest of the tests
    against the nine, after Holm: it holds if all nine are below 0.05 as well, and lean
    to Ours. Hausdorff
    distance is undecided if the rank is another by another rule for empty predictions.
    `word_of_all` is the claim's word: one metric against it is enough.

    Raises:
        InputError: two methods do not have the same slices.
    """
    rows = shared_rows(rows, TEN)
    there = {*rows["method"]}
    nine = [key for key in TEN if key in there - {OURS}]
    tested = against_baselines(rows, OURS, nine)
    of_dice = tested[tested["metric"] == "dice"]
    p = of_dice["p_holm"].max()
    better = p < LEVEL and (of_dice["side"] > 0).all()
    places = ranking(rows)
    places = places[places["method"] == OURS].set_index("metric")
    patients = rows["patient"].nunique()
    decides = there == {*TEN} and patients >= ENOUGH_PATIENTS and on_all_folds(rows)
    moved = places.loc[[*THREE_RULES], "rank"].nunique() > 1
    found = places.loc[[*SEVEN], ["rank", "low", "high", "share_first"]].assign(
        p=np.nan, patients=patients
    )
    found.loc["dice", "p"] = p
    words = []
    for metric, share in found["share_first"].items():
        open_ = not decides or (metric == "hd_diagonal" and moved)
        sure = better if metric == "dice" else True
        words.append(UNDECIDED if open_ else of_share(share, sure))
    return found.assign(outcome=[words_of(rows)[word] for word in words])


def of_share(share: float, sure: bool) -> str:
    """The rule's word of a share of draws; ``sure``: what else it takes is there."""
    if share < NEVER:
        return CONTRADICTED
    return REPRODUCED if share >= ALWAYS and sure else UNDECIDED
