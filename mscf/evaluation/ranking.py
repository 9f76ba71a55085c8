"""The place of each method among all, and how sure it is: ``ranks.csv``."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mscf.evaluation.differences import (
    LOWER_IS_BETTER,
    METRICS,
    over_seeds,
    redrawn_summary,
)
from mscf.evaluation.statistics import draw_patients, interval, ranks, share_first

RANKS_COLUMNS = ["metric", "method", "rank", "low", "high", "share_first"]


def ranking(rows: pd.DataFrame) -> pd.DataFrame:
    """Rank of every method of ``rows`` within each metric, 1 the best.

    The median over the draws of patients, percentiles 2.5 and 97.5, and the share of
    draws in which it is first. Of one patient the plain ranks, without percentiles.

    Raises:
        InputError: two methods do not have the same slices.
    """
    tables = over_seeds(rows)
    patients = next(iter(tables.values())).index.get_level_values("patient").nunique()
    one = patients == 1
    counts = np.ones((1, 1), dtype=np.int64) if one else draw_patients(patients)
    redrawn = {method: redrawn_summary(t, counts) for method, t in tables.items()}
    found = []
    for metric in METRICS:
        values = np.column_stack([drawn[metric] for drawn in redrawn.values()])
        ranked = ranks(values, lower_is_better=metric in LOWER_IS_BETTER)
        first = share_first(ranked)
        for i, method in enumerate(redrawn):
            low, high = (np.nan, np.nan) if one else interval(ranked[:, i])
            found.append({
                "metric": metric, "method": method,
                "rank": float(np.median(ranked[:, i])), "low": low, "high": high,
                "share_first": np.nan if one else float(first[i]),
            })  # fmt: skip
    return pd.DataFrame(found).reindex(columns=RANKS_COLUMNS)
