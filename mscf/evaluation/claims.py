"""Claims of the page "What counts as reproduced", as far as some kept runs reach."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from mscf.evaluation.comparable import SLICE
from mscf.evaluation.differences import against_baselines, over_seeds
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
    holm,
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
# C3: the block by its branches, X twice in each; "gain" is the channel branch without
# context. Keys of `find_method`.
BRANCHES = {
    "both": "mscf", "spatial": "mscf+spatial+twice", "channel": "mscf+channel+twice",
    "neither": "mscf+neither", "gain": "mscf+gain",
}  # fmt: skip
# C9: the block on one skip, X twice on the others too.
ONE_SCALE = ("mscf+only-64+twice", "mscf+only-128+twice", "mscf+only-256+twice")
SEPARATION_MARGIN = 0.05  # C8
SPLIT_MARGIN = 2.19  # C6: percentage points between the paper's first and its second


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


def split_claim(by_slice: pd.DataFrame, by_patient: pd.DataFrame) -> pd.DataFrame:
    """C6: the same slices score higher where others of their patient were trained on.

    Both are rows of ``per_slice.csv``. A slice counts if it was tested under either
    split, by whichever fold, in the same seed; seeds are averaged first. A row a
    method: means of either split, difference and interval in points of Dice, p by Holm
    over the methods.
    """
    pairs = by_slice.merge(by_patient, on=["method", "seed", *SLICE], validate="1:1")
    dice = pairs.groupby(["method", *SLICE], sort=False)[["dice_x", "dice_y"]].mean()
    table = {}
    for method, of in (100 * dice).groupby("method", sort=False):
        patients = of.index.to_frame()["patient"]
        table[method] = {
            "slices": len(of), "by slice": of["dice_x"].mean(),
            "by patient": of["dice_y"].mean(),
            **with_interval(of["dice_x"] - of["dice_y"], patients),
            "margin": SPLIT_MARGIN,
        }  # fmt: skip
    found = pd.DataFrame.from_dict(table, orient="index")
    found["p"] = holm(found["p"])
    words = [
        HERE[outcome(*row, margin=SPLIT_MARGIN)]
        for row in found[["difference", "low", "high", "p", "patients"]].to_numpy()
    ]
    return found.assign(outcome=words)


def channel_claim(rows: pd.DataFrame) -> pd.DataFrame:
    """C3: the channel branch brings the gain, by three contrasts of Dice in points.

    ``rows`` of ``per_slice.csv`` hold all of `BRANCHES`. a: the branch's effect, with
    and without the spatial one; b: that minus the spatial branch's; c: against as many
    parameters without context. Of all three, p by Holm.

    Raises:
        InputError: two methods do not have the same slices.
    """
    dice = dice_of(rows, BRANCHES.values())
    both, spatial, channel, neither, gain = (dice[key] for key in BRANCHES.values())
    contrasts = {
        "a: with the channel branch": (both - spatial + channel - neither) / 2,
        "b: more than by the spatial one": channel - spatial,
        "c: more than by a gain alone": both - gain,
    }
    return judged(contrasts, margins=(MARGIN, 0, MARGIN))


def scales_claim(rows: pd.DataFrame) -> pd.DataFrame:
    """C9: three scales above each one of them, a row a scale, in points of Dice.

    ``rows`` of ``per_slice.csv`` hold ``mscf`` and `ONE_SCALE`; p by Holm.

    Raises:
        InputError: two methods do not have the same slices.
    """
    dice = dice_of(rows, ["mscf", *ONE_SCALE])
    contrasts = {key: dice["mscf"] - dice[key] for key in ONE_SCALE}
    return judged(contrasts, margins=(MARGIN,) * len(ONE_SCALE))


def dice_of(rows: pd.DataFrame, methods: Iterable[str]) -> pd.DataFrame:
    """Dice in percent, averaged over seeds: a row a slice, a column a method."""
    tables = over_seeds(rows[rows["method"].isin(list(methods))])
    return 100 * pd.DataFrame({key: table["dice"] for key, table in tables.items()})


def judged(
    contrasts: Mapping[str, pd.Series], margins: Sequence[float]
) -> pd.DataFrame:
    """Each contrast with interval, p by Holm over all, margin and the rules' word."""
    table = {
        name: with_interval(of, of.index.to_frame()["patient"])
        for name, of in contrasts.items()
    }
    found = pd.DataFrame.from_dict(table, orient="index").assign(margin=margins)
    found["p"] = holm(found["p"])
    asked = found[["difference", "low", "high", "p", "patients", "margin"]].to_numpy()
    return found.assign(outcome=[HERE[outcome(*row)] for row in asked])


def word_of_all(table: pd.DataFrame) -> str:
    """Of a claim of several contrasts: holds if all do, does not if one does not."""
    words = set(table["outcome"])
    if words == {HERE[REPRODUCED]}:
        return HERE[REPRODUCED]
    return HERE[CONTRADICTED if HERE[CONTRADICTED] in words else UNDECIDED]


def separation_claim(rows: pd.DataFrame) -> dict[str, object]:
    """C8: tumour stands out more after the blocks than before, over the scales.

    ``rows`` are those of ``separation.csv``, of all folds.
    """
    gains = pd.DataFrame({c: gain(rows, c) for c in scales_of(rows)})
    found = with_interval(gains.mean(axis=1), rows["patient"])  # scales of the slice
    word = outcome(*found.values(), margin=SEPARATION_MARGIN)
    return {**found, "margin": SEPARATION_MARGIN, "outcome": HERE[word]}


def separation_table(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a scale: means of ``separation.csv``, and the gain with its interval."""
    table = {}
    for channels in scales_of(rows):
        after = rows[f"after_{channels}"]
        table[channels] = {
            "slices": after.notna().sum(),
            "before": rows[f"before_{channels}"].mean(),
            "after": after.mean(),
            **with_interval(gain(rows, channels), rows["patient"]),
        }
    counts = {"slices": int, "patients": int}
    return pd.DataFrame(table).T.astype(counts).rename_axis("channels")


def scales_of(rows: pd.DataFrame) -> list[int]:
    """The channels of the blocks in ``separation.csv``."""
    return sorted(int(n.rpartition("_")[2]) for n in rows if n.startswith("after_"))


def gain(rows: pd.DataFrame, channels: int) -> pd.Series:
    """By how much tumour stands out more after the block than before."""
    return rows[f"after_{channels}"] - rows[f"before_{channels}"]


def with_interval(gains: pd.Series, patients: pd.Series) -> dict[str, float]:
    """Mean over slices, interval over patients, and the rank test's p."""
    there = gains.notna()
    gains, patients = gains[there], patients[there]
    n = patients.nunique()
    low = high = np.nan  # of one patient nothing can be said about others
    if n > 1:
        drawn = redrawn_means(gains.to_numpy()[:, None], patients, draw_patients(n))
        low, high = interval(drawn[:, 0])
    p = signed_rank_p(gains.groupby(patients).mean())
    return {"difference": gains.mean(), "low": low, "high": high, "p": p, "patients": n}


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
