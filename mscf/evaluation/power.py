"""How often the rules for claims decide: experiments drawn from seen differences.

An experiment draws patients with all their slices from kept runs of two methods, whose
mean difference is taken out, and adds a difference that is then the true one. Interval,
test and rule are the functions that the pages use.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mscf.evaluation.differences import over_seeds
from mscf.evaluation.outcome import OUTCOMES, outcome
from mscf.evaluation.statistics import (
    draw_patients,
    holm,
    interval,
    redrawn_means,
    signed_rank_p,
)

Patients = list[NDArray[np.float64]]  # the differences of each patient's slices


def patients_seen(rows: pd.DataFrame, ours: str, baseline: str) -> Patients:
    """Differences in points of Dice of every patient and run, their mean taken out."""
    found: Patients = []
    both = rows[rows["method"].isin([ours, baseline])]
    for _, run in both.groupby(["fold", "seed"]):
        tables = over_seeds(run)
        difference = 100 * (tables[ours]["dice"] - tables[baseline]["dice"])
        difference -= difference.mean()
        found += [d.to_numpy() for _, d in difference.groupby("patient")]
    return found


def spread_of(seen: Patients) -> float:
    """Standard deviation of the patients' mean differences, in points."""
    return float(np.std([of_one.mean() for of_one in seen], ddof=1))


def experiments(
    seen: Patients, patients: int, true: Sequence[float], trials: int, seed: int = 0
) -> Iterator[dict[str, object]]:
    """A row a trial and true difference: the rule's word, alone and first of nine."""
    random = np.random.default_rng(seed)
    counts = draw_patients(patients)
    for trial in range(trials):
        drawn = [seen[k] for k in random.integers(len(seen), size=patients)]
        owner = np.repeat(np.arange(patients), [len(of_one) for of_one in drawn])
        slices = np.concatenate(drawn)
        low, high = interval(redrawn_means(slices[:, None], owner, counts)[:, 0])
        means = np.array([of_one.mean() for of_one in drawn])
        for d in true:
            p = signed_rank_p(means + d)
            seen_here = slices.mean() + d, low + d, high + d
            yield {
                "trial": trial, "patients": patients, "true": d,
                "alone": outcome(*seen_here, p, patients),
                "of nine": outcome(*seen_here, holm([p] + [1.0] * 8)[0], patients),
            }  # fmt: skip


def power_table(
    scenarios: dict[str, Patients],
    patients: Sequence[int],
    true: Sequence[float],
    trials: int,
) -> pd.DataFrame:
    """Percent of each outcome, by scenario, number of patients and true difference."""
    found = []
    for name, seen in scenarios.items():
        for n in patients:
            table = pd.DataFrame(experiments(seen, n, true, trials))
            for d, of_one in table.groupby("true"):
                row = {"scenario": name, "patients": n, "true difference": d}
                row |= {o: 100 * (of_one["alone"] == o).mean() for o in OUTCOMES}
                row["reproduced, of nine"] = (
                    100 * (of_one["of nine"] == OUTCOMES[0]).mean()
                )
                found.append(row)
    return pd.DataFrame(found)
