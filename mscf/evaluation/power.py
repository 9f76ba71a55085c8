"""How often the rule for claims decides: trials drawn from differences that were seen.

A trial is five folds, for each a training of two networks drawn from those that were
kept, and its patients drawn with all their slices. Interval, test and rule are the
functions that the pages use; only the patients are drawn, and the truth is known.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mscf.evaluation.differences import SLICE, over_seeds
from mscf.evaluation.outcome import CONTRADICTED, OUTCOMES, REPRODUCED, outcome
from mscf.evaluation.statistics import (
    ENOUGH_PATIENTS,
    can_decide,
    draw_patients,
    holm,
    interval,
    leaning,
    redrawn_means,
    signed_rank_p,
)

LITS = 118  # patients with tumour that all of it is assumed to have
PATIENTS = (5, 9, 12, 22, LITS)  # one fold; Holm over nine; a phantom fold; all; LiTS
TRUE = (0.0, 1.0, 2.0, 3.75, 5.0, 10.0)  # points of Dice; 3.75 is the paper's C1
FOLDS = 5
NINE = 9  # comparisons of C4

# Of a training its patients, of a patient a row a slice: its difference if the truth
# is 0, and how far each point of a true difference moves it.
Training = list[NDArray[np.float64]]


# What is drawn from


def slice_differences(
    rows: pd.DataFrame, pairs: Sequence[tuple[str, str]]
) -> pd.DataFrame:
    """Dice of the first minus the second of each pair, in points, a row a slice.

    A ``pair`` and ``seed`` is one training of each; ``rows`` are of ``per_slice.csv``.
    ``found`` is whether either has any of the slice's tumour.
    """
    found = []
    for ours, baseline in pairs:
        both = rows[rows["method"].isin([ours, baseline])]
        for seed, of_seed in both.groupby("seed"):
            tables = over_seeds(of_seed)
            dice = pd.DataFrame({key: tables[key]["dice"] for key in (ours, baseline)})
            each = pd.DataFrame(
                {
                    "difference": 100 * (dice[ours] - dice[baseline]),
                    "found": dice.gt(0).any(axis=1),
                }
            )
            named = each.reset_index().assign(pair=f"{ours} - {baseline}", seed=seed)
            found.append(named)
    columns = ["pair", "seed", *SLICE, "difference", "found"]
    return pd.concat(found, ignore_index=True)[columns]


def trainings(
    differences: pd.DataFrame,
    same: Sequence[str],
    times: float = 1,
    only_found: bool = False,
) -> list[Training]:
    """The trainings with their mean over slices taken out, and spread so many times.

    ``same`` says of what the mean is taken out: of ``pair`` and ``seed``, so that only
    patients differ; of ``pair`` alone, so that a training's luck stays in. A true
    difference moves every slice alike or, with ``only_found``, those alone on which one
    of the two finds something, the further the fewer they are: where both find nothing
    they stay equal.
    """
    centred = differences.assign(moves=1.0)
    if only_found:
        centred["moves"] = differences["found"].astype(float)
    means = centred.groupby(list(same))[["difference", "moves"]].transform("mean")
    centred["moves"] /= means["moves"]
    centred["difference"] -= means["difference"] * centred["moves"]
    centred["difference"] *= times
    return [
        [d.to_numpy() for _, d in of_one.groupby("patient")[["difference", "moves"]]]
        for _, of_one in centred.groupby(["pair", "seed"])
    ]


def patient_spread(differences: pd.DataFrame) -> float:
    """Standard deviation of the patients' means within a training, pooled."""
    means = differences.groupby(["pair", "seed", "patient"])["difference"].mean()
    return float(np.sqrt(means.groupby(["pair", "seed"]).var().mean()))


def dice_spread(rows: pd.DataFrame) -> float:
    """Standard deviation of the patients' mean Dice within a training, pooled."""
    means = 100 * rows.groupby(["seed", "patient"])["dice"].mean()
    return float(np.sqrt(means.groupby("seed").var().mean()))


def error_over_patients(differences: pd.DataFrame) -> float:
    """Standard error of the mean over slices of one pair, from draws of patients."""
    patients = differences["patient"]
    counts = draw_patients(patients.nunique())
    return float(redrawn_means(differences[["difference"]], patients, counts).std())


# Trials


@dataclass(frozen=True)
class Seen:
    """What an experiment has in hand, in points."""

    of_patients: NDArray[np.float64]  # each patient's mean difference
    difference: float  # the mean over slices
    low: float
    high: float

    def p(self) -> float:
        """Wilcoxon's p."""
        return signed_rank_p(self.of_patients)

    def says(self, p: float, at_least: int = ENOUGH_PATIENTS) -> str:
        """The rule's word."""
        return outcome(
            self.difference, self.low, self.high, p, leaning(self.of_patients),
            len(self.of_patients), at_least=at_least,
        )  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """An experiment before it is said what is true.

    Of each mean a column if the true difference is 0, in points, and one of how far
    each point of it moves the mean.
    """

    of_patients: NDArray[np.float64]  # (patients, 2)
    over_slices: NDArray[np.float64]  # (2,)
    redrawn: NDArray[np.float64]  # (draws, 2)

    def seen(self, true: float) -> Seen:
        """What it has in hand if the true difference is ``true``."""
        at = np.array([1, true])
        low, high = interval(self.redrawn @ at)
        return Seen(self.of_patients @ at, float(self.over_slices @ at), low, high)


def draw_trials(
    kept: Sequence[Training], patients: int, trials: int, seed: int
) -> Iterator[Trial]:
    """Experiments with so many tested patients: five patients are one fold."""
    random = np.random.default_rng(seed)
    counts = draw_patients(patients)
    parts = np.array_split(np.arange(patients), FOLDS if patients > FOLDS else 1)
    for _ in range(trials):
        drawn: Training = []
        for part in parts:
            training = kept[random.integers(len(kept))]
            drawn += [
                training[k] for k in random.integers(len(training), size=len(part))
            ]
        owner = np.repeat(np.arange(patients), [len(slices) for slices in drawn])
        slices = np.concatenate(drawn)
        of_patients = np.array([of_one.mean(axis=0) for of_one in drawn])
        # Who is drawn twice is two patients, who would not differ by the very same.
        apart = random.uniform(-1e-9, 1e-9, patients)
        of_patients[:, 0] += np.where(of_patients[:, 1] == 0, 0, apart)
        yield Trial(
            of_patients, slices.mean(axis=0), redrawn_means(slices, owner, counts)
        )


# What they say


def power(trials: Sequence[Trial], true: float) -> dict[str, float]:
    """Shares of trials: the three outcomes, and what else the page tells.

    ``alone_reproduced``, ``alone_contradicted``: interval and test alone, as if fewer
    than 20 patients were enough; ``reproduced_of_nine``: the p multiplied by nine, as
    Holm does to the smallest; ``covered``: the interval holds the true difference.
    """
    seen = [trial.seen(true) for trial in trials]
    p = [one.p() for one in seen]
    bound = 0 if can_decide(len(seen[0].of_patients)) else ENOUGH_PATIENTS
    said, alone, of_nine = (
        [one.says(its, least) for one, its in zip(seen, ps, strict=True)]
        for ps, least in (
            (p, ENOUGH_PATIENTS), (p, bound), (corrected(p, NINE), ENOUGH_PATIENTS)
        )
    )  # fmt: skip
    return {
        **{word: share(said, word) for word in OUTCOMES},
        "alone_reproduced": share(alone, REPRODUCED),
        "alone_contradicted": share(alone, CONTRADICTED),
        "reproduced_of_nine": share(of_nine, REPRODUCED),
        "covered": float(np.mean([one.low <= true <= one.high for one in seen])),
    }


def corrected(p: Sequence[float], comparisons: int) -> list[float]:
    """Each p after Holm's correction, if it is the smallest of so many."""
    return [float(holm([one] + [1.0] * (comparisons - 1))[0]) for one in p]


def share(said: Sequence[str], word: str) -> float:
    """How many of them are that word."""
    return float(np.mean([one == word for one in said]))


def smallest_reproduced(trials: Sequence[Trial], comparisons: int = 1) -> float:
    """The smallest true difference, in steps of 0.1, reproduced by 80 % of trials.

    NaN where none is below 50 points: always with too few patients.
    """
    most = 500  # tenths of a point
    low, high = 0, most
    while low < high:
        true = (low + high) // 2 / 10
        seen = [trial.seen(true) for trial in trials]
        p = corrected([one.p() for one in seen], comparisons)
        said = [one.says(its) for one, its in zip(seen, p, strict=True)]
        if share(said, REPRODUCED) >= 0.8:
            high = (low + high) // 2
        else:
            low = (low + high) // 2 + 1
    return low / 10 if low < most else math.nan


def power_table(
    scenarios: dict[str, list[Training]],
    patients: Sequence[int] = PATIENTS,
    true: Sequence[float] = TRUE,
    trials: int = 1000,
    seed: int = 0,
) -> Iterator[dict[str, object]]:
    """A row for each scenario, number of patients and true difference."""
    for name, kept in scenarios.items():
        for n in patients:
            drawn = list(draw_trials(kept, n, trials, seed))
            for difference in true:
                yield {
                    "scenario": name, "patients": n, "true": difference,
                    **power(drawn, difference),
                }  # fmt: skip


def in_one_view(table: pd.DataFrame) -> pd.DataFrame:
    """Reproduced / contradicted in percent, a column for each true difference.

    In brackets where the rule decides nothing and interval and test alone would.
    """
    prefix = np.where(table["patients"] < ENOUGH_PATIENTS, "alone_", "")
    cells = [
        f"{100 * row[p + REPRODUCED]:.0f} / {100 * row[p + CONTRADICTED]:.0f}"
        for p, (_, row) in zip(prefix, table.iterrows(), strict=True)
    ]
    cells = [f"({c})" if p else c for p, c in zip(prefix, cells, strict=True)]
    wide = table.assign(cell=cells).pivot(
        index=["scenario", "patients"], columns="true", values="cell"
    )
    order = table[["scenario", "patients"]].drop_duplicates()
    wide = wide.loc[list(order.itertuples(index=False, name=None))].reset_index()
    return wide.rename(columns=lambda c: c if isinstance(c, str) else f"{c:g}")
