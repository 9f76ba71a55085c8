"""Claims of the page "What counts as reproduced", as far as some kept runs reach."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mscf.evaluation.differences import against_baselines
from mscf.evaluation.metrics import summarise_volumes
from mscf.evaluation.outcome import (
    CONTRADICTED,
    MARGIN,
    REPRODUCED,
    UNDECIDED,
    outcome,
)
from mscf.evaluation.statistics import (
    draw_patients,
    interval,
    redrawn_means,
    signed_rank_p,
)

# What the rules' outcomes are called where they speak about other data than LiTS.
HERE = {
    REPRODUCED: "holds here",
    CONTRADICTED: "does not hold here",
    UNDECIDED: "undecided at this size",
}
SEPARATION_MARGIN = 0.05  # C8


def dice_claim(rows: pd.DataFrame, better: str, worse: str) -> dict[str, object]:
    """That one method's Dice is at least a point above another's, by the rules.

    ``rows`` are those of ``per_slice.csv``; difference and interval in points.
    """
    table = against_baselines(rows, better, [worse])
    row = table[table["metric"] == "dice"].iloc[0]
    difference, low, high = (100 * row[name] for name in ("difference", "low", "high"))
    word = outcome(difference, low, high, row["p_holm"], int(row["patients"]))
    return {
        "difference": difference, "low": low, "high": high, "margin": MARGIN,
        "p": row["p_holm"], "patients": int(row["patients"]), "outcome": HERE[word],
    }  # fmt: skip


def separation_claim(rows: pd.DataFrame) -> dict[str, object]:
    """C8: tumour stands out more after the blocks than before, over the scales.

    ``rows`` are those of ``separation.csv``, of all folds.
    """
    scales = sorted(
        {int(name.rpartition("_")[2]) for name in rows if name.startswith("after_")}
    )
    gains = pd.DataFrame({c: rows[f"after_{c}"] - rows[f"before_{c}"] for c in scales})
    gain = gains.mean(axis=1)  # of the scales that a slice has
    there = gain.notna()
    gain, patients = gain[there], rows.loc[there, "patient"]
    n = patients.nunique()
    drawn = redrawn_means(gain.to_numpy()[:, None], patients, draw_patients(n))
    low, high = interval(drawn[:, 0])
    p = signed_rank_p(gain.groupby(patients).mean())
    word = outcome(gain.mean(), low, high, p, n, margin=SEPARATION_MARGIN)
    return {
        "difference": gain.mean(), "low": low, "high": high,
        "margin": SEPARATION_MARGIN, "p": p, "patients": n,
        "outcome": HERE[word],
    }  # fmt: skip


def lesions_table(cases: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Volumes and lesions of each method, from the rows of its ``per_case.csv``.

    Means over cases in percent, numbers of lesions, and the share found of each size
    where the spacing is known.
    """
    found = {}
    for method, table in cases.items():
        summary = summarise_volumes(table)
        found[method] = {
            "Dice of a case": 100 * summary["dice"],
            "Dice of all voxels": 100 * summary["dice_global"],
            "lesions": table["lesions_truth"].sum(),
            "found": table["detected_50"].sum(),
            "false": table["false_50"].sum(),
        }
        for size in ("below_10", "10_20", "above_20"):
            if f"lesions_{size}" in table:
                n = np.nansum(table[f"lesions_{size}"])
                hit = np.nansum(table[f"detected_{size}"])
                found[method][size] = f"{hit:.0f} of {n:.0f}"
    return pd.DataFrame(found).T
