"""Rows of ``per_slice.csv`` of a few methods whose differences are known."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

OTHERS = ("jaccard", "precision", "recall", "specificity", "f1", "hd", "hd_diagonal",
          "hd_farthest", "hd95", "assd")  # fmt: skip


def rows(gain: float, patients: int = 22, noise: float = 0.01) -> pd.DataFrame:
    """Two methods on two slices a patient, the second better by ``gain``.

    One seed and all folds: the patients take turns.
    """
    random = np.random.default_rng(0)
    found = []
    for n in range(patients):
        base = random.uniform(0.2, 0.7)
        for z in range(2):
            dice = {"cenet": base, "mscf": base + gain + random.normal(0, noise)}
            found += [
                {
                    "data": "excerpt-448", "split": "patient", "fold": n % 5, "seed": 0,
                    "method": method, "case": f"c{n}", "patient": f"p{n}", "slice": z,
                    "tp": 1, "fp": 1, "fn": 1, "tn": 1, "truth_px": 2, "dice": value,
                    **dict.fromkeys(OTHERS, 0.5),
                }
                for method, value in dice.items()
            ]  # fmt: skip
    return pd.DataFrame(found)


def of_methods(
    means: Mapping[str, float], patients: int = 22, noise: float = 0.005
) -> pd.DataFrame:
    """Every method on the same slices, its Dice around its own mean."""
    one = rows(0.0, patients)
    one = one[one["method"] == "cenet"]
    random = np.random.default_rng(1)
    return pd.concat(
        one.assign(
            method=key, dice=one["dice"] + mean + random.normal(0, noise, len(one))
        )
        for key, mean in means.items()
    )


def by_first_folds(rows: pd.DataFrame) -> pd.DataFrame:
    """The same slices as three seeds test them of which only the first fold was run.

    Another seed is another split: its first fold has other patients.
    """
    return rows.assign(seed=rows["fold"] % 3, fold=0)
