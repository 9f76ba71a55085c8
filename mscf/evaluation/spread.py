"""How far single trainings scatter, beside what one of them is said to have gained.

A table with one run a method shows one draw of every difference. Another seed, or other
patients on both sides of the split, draw it again; a gain below that scatter says
nothing about the methods.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import t as student

from mscf.evaluation.comparable import RUN, SLICE
from mscf.evaluation.statistics import draw_patients, redrawn_means

INSIDE = 0.95  # of single runs lie within a band


def single_gains(
    rows: pd.DataFrame, ours: str, baselines: Sequence[str]
) -> pd.DataFrame:
    """Dice of ours minus each baseline's, once for each run that both have.

    ``rows`` are of ``per_slice.csv``; a run is a fold and a seed, and both methods are
    tested on its slices. Columns: baseline, fold, seed, difference of the means.
    """
    means = rows.groupby(["method", *RUN])["dice"].mean().unstack("method")
    if ours not in means:
        return pd.DataFrame(columns=["baseline", *RUN, "difference"])
    there = [key for key in baselines if key in means]
    differences = means[there].rsub(means[ours], axis=0).rename_axis("baseline", axis=1)
    pairs = differences.stack().dropna()  # runs that both have
    return pairs.rename("difference").reset_index()[["baseline", *RUN, "difference"]]


def scatter(gains: pd.DataFrame) -> pd.DataFrame:
    """A row a baseline: runs, lowest, highest, and their standard deviation.

    NaN for a single run. The row "all" pools the deviations of those with several. Its
    ``band`` (`reach`) is how far from the expected value `INSIDE` of all runs lie. All
    differences share the runs of ours, so they tell no more than those to one baseline:
    it has as many degrees of freedom as the one with most runs.
    """
    by = gains.groupby("baseline", sort=False)["difference"]
    table = by.agg(["size", "min", "max", "std"])
    table.columns = ["runs", "lowest", "highest", "deviation"]
    several = table[table["runs"] > 1]
    free = several["runs"] - 1
    pooled = np.sqrt((free * several["deviation"] ** 2).sum() / max(free.sum(), 1))
    pooled = pooled if len(several) else np.nan
    table.loc["all"] = [len(gains), gains["difference"].min(),
                        gains["difference"].max(), pooled]  # fmt: skip
    table.loc["all", "band"] = reach(pooled, free.max())
    return table.astype({"runs": int})


def reach(deviation: float, degrees: float) -> float:
    """The deviation times t's quantile: about two deviations if degrees are many.

    NaN without a degree of freedom.
    """
    return float(student.ppf((1 + INSIDE) / 2, degrees) * deviation)


def by_test_patients(rows: pd.DataFrame, ours: str, baselines: Sequence[str]) -> float:
    """The deviation "all" of `scatter`, if trainings were alike and only patients not.

    Each run tests other patients, few of them. Their mean's variance is that of draws
    of its own patients with replacement, pooled over runs as there; NaN where no
    baseline has several.
    """
    dice = rows.pivot(index=[*RUN, *SLICE], columns="method", values="dice")
    total = free = 0.0
    for baseline in dice.columns.intersection(baselines):
        gains = (dice[ours] - dice[baseline]).dropna().reset_index(name="gain")
        of_runs = [variance_over_patients(run) for _, run in gains.groupby(RUN)]
        if len(of_runs) > 1:
            total += (len(of_runs) - 1) * float(np.mean(of_runs))
            free += len(of_runs) - 1
    return math.sqrt(total / free) if free else math.nan


def variance_over_patients(gains: pd.DataFrame) -> float:
    """Of the mean of one run's slices, if its patients had been others."""
    patients = gains["patient"]
    n = patients.nunique()
    drawn = redrawn_means(gains[["gain"]], patients, draw_patients(n))
    return float(drawn.var()) * n / (n - 1) if n > 1 else math.nan


def expected_means(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a method: runs, mean Dice over all slices, lowest and highest run, noise.

    Within ``noise`` of that mean lies another run, as often as `INSIDE` says: the reach
    of all methods with several runs, and how far the mean itself may be off; NaN where
    none has two. Where all methods' runs move together with the patients that they are
    tested on, they count for fewer, and less lies within.
    """
    means = rows.groupby(["method", *RUN], sort=False)["dice"].mean().reset_index()
    table = scatter(means.set_axis(["baseline", *RUN, "difference"], axis=1))
    deviation = table.loc["all", "deviation"]
    table = table.drop(index="all", columns=["deviation", "band"]).rename_axis("method")
    band = reach(deviation, (table["runs"] - 1).sum())
    table.insert(1, "mean", rows.groupby("method")["dice"].mean())
    return table.assign(noise=band * np.sqrt(1 + 1 / table["runs"]))


def gain_verdicts(
    claimed: Mapping[str, float],
    scatters: Mapping[str, pd.DataFrame],
    titles: Mapping[str, str],
) -> str:
    """A line for each set of data: the claimed gains within its band, and those above.

    ``claimed`` are gains in percentage points by baseline, ``scatters`` tables of
    `scatter`, in fractions, by the name of the data.
    """
    lines = []
    for data, table in scatters.items():
        band = 100 * table.loc["all", "band"]
        if np.isnan(band):
            said = "no method has two runs to tell the scatter by"
            lines.append(f"- **{data}**: {said}.")
            continue
        within, above = [], []
        for key, gain in claimed.items():
            said = f"{titles.get(key, key)} ({gain:+.2f})"
            (above if abs(gain) > band else within).append(said)
        parts = [", ".join(some) or "none" for some in (within, above)]
        said = "within it {}; above it {}".format(*parts)
        lines.append(f"- **{data}, ± {band:.1f}**: {said}.")
    return "\n".join(lines)
