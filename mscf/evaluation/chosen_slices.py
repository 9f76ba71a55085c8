"""Which slices a picture of several methods shows: by a rule, not by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class ChosenSlices:
    """Labels of the table that they were chosen from; the last three may be in both."""

    random: list
    best: object  # highest mean over the methods
    worst: object  # lowest mean
    disputed: object  # largest standard deviation between the methods

    def all(self) -> list:
        """Each slice once, the random ones first."""
        return list(dict.fromkeys([*self.random, self.best, self.worst, self.disputed]))


def choose_slices(dice: pd.DataFrame, n: int = 7, seed: int = 0) -> ChosenSlices:
    """``n`` slices at random, and the best, the worst and the most disputed of all.

    ``dice`` has a row a slice and a column a method. Random ones are drawn without
    replacement and stand in the table's order; all there are where there are fewer. Of
    equals the first counts.

    Raises:
        ValueError: no slice to choose from, or ``n`` below 1.
    """
    if dice.empty or n < 1:
        raise ValueError(f"{n} slices cannot be chosen from {dice.shape} of Dice")
    drawn = np.sort(np.random.default_rng(seed).permutation(len(dice))[:n])
    mean, spread = dice.mean(axis=1), dice.std(axis=1, ddof=0)
    return ChosenSlices(
        list(dice.index[drawn]), mean.idxmax(), mean.idxmin(), spread.idxmax()
    )
