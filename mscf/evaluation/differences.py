"""Ours against each baseline: paired differences, intervals and tests over patients.

The rows of ``comparison.csv``. A slice is averaged over seeds first, then everything
is paired: the same slices, and in each draw of the bootstrap the same patients.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mscf.errors import InputError
from mscf.evaluation.metrics import f1_of
from mscf.evaluation.statistics import (
    LEVEL,
    draw_patients,
    holm,
    interval,
    leaning,
    redrawn_means,
    signed_rank_p,
)

# Those of Table 1 in its order, then the other two rules for a missed slice.
METRICS = ("dice", "hd_diagonal", "jaccard", "precision", "recall", "specificity",
           "f1", "hd", "hd_farthest")  # fmt: skip
LOWER_IS_BETTER = frozenset({"hd_diagonal", "hd", "hd_farthest"})
SLICE = ["patient", "case", "slice"]
COMPARISON_COLUMNS = ["metric", "baseline", "difference", "low", "high", "p", "p_holm",
                      "p_slices", "patients", "side"]  # fmt: skip


def over_seeds(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Of each method a row a slice, its metrics averaged over the seeds it was in.

    ``rows`` are of ``per_slice.csv``; undefined values are left out.

    Raises:
        InputError: two methods do not have the same slices.
    """
    tables = {
        method: of_one.groupby(SLICE)[list(METRICS)].mean()
        for method, of_one in rows.groupby("method", sort=False)
    }
    (first, reference), *others = tables.items()
    for method, table in others:
        if not table.index.equals(reference.index):
            unknown = table.index.symmetric_difference(reference.index)[0]
            raise InputError(
                method, f"must have the slices of {first}",
                " ".join(map(str, unknown)), "runs-slices",
            )  # fmt: skip
    return tables


def redrawn_summary(
    slices: pd.DataFrame, counts: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """Every metric's mean in each draw of patients, F1 from the redrawn P and R."""
    patients = slices.index.get_level_values("patient")
    means = redrawn_means(slices.to_numpy(), patients, counts)
    redrawn = dict(zip(slices.columns, means.T, strict=True))
    redrawn["f1"] = f1_of(redrawn["precision"], redrawn["recall"])
    return redrawn


def paired(
    ours: pd.DataFrame, baseline: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both without what is undefined for either, as ``hd`` where one draws nothing."""
    defined = ours.notna() & baseline.notna()
    return ours.where(defined), baseline.where(defined)


def by_patient(slices: pd.DataFrame) -> pd.DataFrame:
    """Each patient's own summary, F1 from his mean P and R: a row a patient."""
    table = slices.groupby(level="patient").mean()
    return table.assign(f1=f1_of(table["precision"], table["recall"]))


def against_baselines(
    rows: pd.DataFrame, ours: str, baselines: Sequence[str]
) -> pd.DataFrame:
    """Ours minus each baseline, a row for each metric and baseline; none without Ours.

    ``low`` to ``high`` is the 95 % interval over patients; ``p`` Wilcoxon's on the
    patients' mean differences, ``p_holm`` corrected over the baselines within a metric;
    ``side`` is 1 or -1, where their ranks lean to; ``p_slices`` the same test on
    slices, for a footnote: they are not independent. Of one patient there are
    differences only. Distances are better when negative; what is undefined for either
    method, as ``hd`` where one draws nothing, is left out of both, and ``patients``
    are those who have a slice on which it is defined.

    Raises:
        InputError: two methods do not have the same slices.
    """
    if ours not in set(rows["method"]) or not baselines:
        return pd.DataFrame(columns=COMPARISON_COLUMNS)
    tables = over_seeds(rows[rows["method"].isin([ours, *baselines])])
    n_patients = tables[ours].index.get_level_values("patient").nunique()
    everyone = np.ones((1, n_patients), dtype=np.int64)
    drawn = draw_patients(n_patients) if n_patients > 1 else everyone
    found = []
    for baseline in baselines:
        pair = paired(tables[ours], tables[baseline])
        mean, redrawn = (
            [redrawn_summary(slices, counts) for slices in pair]
            for counts in (everyone, drawn)
        )
        of_patients = by_patient(pair[0]) - by_patient(pair[1])
        of_slices = pair[0] - pair[1]
        for metric in METRICS:
            row = {"metric": metric, "baseline": baseline}
            row["patients"] = int(of_patients[metric].notna().sum())
            row["difference"] = float((mean[0][metric] - mean[1][metric])[0])
            if n_patients > 1:
                row["low"], row["high"] = interval(
                    redrawn[0][metric] - redrawn[1][metric]
                )
                row["p"] = signed_rank_p(of_patients[metric])
                row["side"] = leaning(of_patients[metric])
                row["p_slices"] = signed_rank_p(of_slices[metric])
            found.append(row)
    table = pd.DataFrame(found).reindex(columns=COMPARISON_COLUMNS)
    table = table.sort_values(
        "metric", key=lambda names: names.map(METRICS.index), kind="stable"
    )
    numbers = table.columns.drop(["metric", "baseline", "patients"])
    table[numbers] = table[numbers].astype(float)
    for _, of_one in table.groupby("metric"):
        table.loc[of_one.index, "p_holm"] = holm(of_one["p"])
    return table.reset_index(drop=True)


def told_apart(comparison: pd.DataFrame) -> pd.Series:
    """Of each row of ``against_baselines`` 1 or -1: Ours has more, or less; else 0.

    Interval and corrected test must agree, and the patients' ranks lean to that side.
    """
    beyond = (comparison["low"] > 0).astype(int) - (comparison["high"] < 0)
    tested = comparison["p_holm"] < LEVEL
    return beyond.where(tested & (beyond == comparison["side"]), 0)


def patient_differences(
    rows: pd.DataFrame, ours: str, baselines: Sequence[str], metric: str
) -> pd.DataFrame:
    """What the test of one metric is made of: baseline, patient, difference."""
    columns = ["baseline", "patient", "difference"]
    if ours not in set(rows["method"]) or not baselines:
        return pd.DataFrame(columns=columns)
    tables = over_seeds(rows[rows["method"].isin([ours, *baselines])])
    found = []
    for baseline in baselines:
        one, other = map(by_patient, paired(tables[ours], tables[baseline]))
        difference = (one - other)[metric].rename("difference").reset_index()
        found.append(difference.assign(baseline=baseline))
    return pd.concat(found, ignore_index=True)[columns]
