"""Claims of the page "What counts as reproduced", as far as some kept runs reach.

Those of Dice (C1, C2, C3, C6, C9) and of separation (C8); C4 is in ``rank_claim.py``,
C5 in ``lesion_claim.py``. Each looks at the runs that its own methods share, and
decides nothing unless these are on all folds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from mscf.errors import InputError
from mscf.evaluation.comparable import SLICE, of_runs, shared_runs
from mscf.evaluation.differences import over_seeds
from mscf.evaluation.outcome import MARGIN, UNDECIDED, on_all_folds, outcome, words_on
from mscf.evaluation.statistics import (
    draw_patients,
    holm,
    interval,
    leaning,
    redrawn_means,
    signed_rank_p,
)

# C3: the block by its branches, X twice in each; "gain" is the channel branch without
# context. Keys of `find_method`.
BRANCHES = {
    "both": "mscf", "spatial": "mscf+spatial+twice", "channel": "mscf+channel+twice",
    "neither": "mscf+neither", "gain": "mscf+gain",
}  # fmt: skip
# C9: the block on one skip, X twice on the others too.
ONE_SCALE = ("mscf+only-64+twice", "mscf+only-128+twice", "mscf+only-256+twice")
SEPARATION_MARGIN = 0.05  # C8
BY_SPLIT = ("cenet", "mscf")  # C6
SPLIT_MARGIN = 2.19  # C6: percentage points between the paper's first and its second


# Of Dice


def dice_claim(
    rows: pd.DataFrame,
    better: str,
    worse: str,
    paper: Mapping[str, float] | None = None,
) -> dict[str, object]:
    """That one method's Dice is at least a point above another's, by the rules.

    ``rows`` are those of ``per_slice.csv``; difference and interval in points.
    ``paper`` is its Dice in percent by method: its own difference, NaN where a method
    is not in it, and whether that lies in the interval stand beside the outcome.
    """
    rows = shared_rows(rows, [better, worse])
    dice = dice_of(rows)
    contrast = {"dice": dice[better] - dice[worse]}
    claim = judged_contrasts(contrast, [MARGIN], rows).loc["dice"].to_dict()
    claim["seeds"] = rows["seed"].nunique()
    if paper is None:
        return claim
    printed = paper.get(better, np.nan) - paper.get(worse, np.nan)
    within = claim["low"] <= printed <= claim["high"]
    inside = "" if np.isnan(printed) else "yes" if within else "no"
    return {**claim, "paper": printed, "in interval": inside}


def pairs_claim(
    rows: pd.DataFrame, pairs: Mapping[str, tuple[str, str]]
) -> pd.DataFrame:
    """Of each pair of methods the first a point of Dice above the second, by the rules.

    On the runs that all of them share; a row a pair, in points, p by Holm over all.

    Raises:
        InputError: two methods do not have the same slices.
    """
    rows = shared_rows(rows, {key for pair in pairs.values() for key in pair})
    dice = dice_of(rows)
    contrasts = {name: dice[one] - dice[other] for name, (one, other) in pairs.items()}
    return judged_contrasts(contrasts, [MARGIN] * len(pairs), rows)


def split_claim(
    by_slice: pd.DataFrame, by_patient: pd.DataFrame, methods: Sequence[str] = BY_SPLIT
) -> pd.DataFrame:
    """C6: the same slices score higher where others of their patient were trained on.

    Both are rows of ``per_slice.csv``; what counts is `under_both_splits`, seeds are
    averaged first. A row a method: means of either split, difference and interval in
    points of Dice, p by Holm over the methods. Decides nothing unless all methods are
    on all folds under both, with the same slices.

    Raises:
        InputError: a slice has another truth under the other split.
    """
    both = ["method", "seed", *SLICE]
    of_these = [of[of["method"].isin(methods)] for of in (by_slice, by_patient)]
    pairs = of_these[0].merge(of_these[1], on=both, validate="1:1")
    check_same_truth(pairs)
    seeds = pairs[["method", "seed"]].drop_duplicates()
    sides = [of.merge(seeds) for of in of_these]
    whole = {*pairs["method"]} == {*methods} and all(
        on_all_folds(of) and len(of) == len(pairs) for of in sides
    )
    dice = pairs.groupby(["method", *SLICE], sort=False)[["dice_x", "dice_y"]].mean()
    table = {}
    for method, of in (100 * dice).groupby("method", sort=False):
        patients = of.index.to_frame()["patient"]
        table[method] = {
            "slices": len(of), "by slice": of["dice_x"].mean(),
            "by patient": of["dice_y"].mean(),
            **with_interval(of["dice_x"] - of["dice_y"], patients),
        }  # fmt: skip
    return judged(table, [SPLIT_MARGIN] * len(table), whole, words_of(by_patient))


def check_same_truth(pairs: pd.DataFrame) -> None:
    """Both splits are of one store: a slice has one truth.

    Raises:
        InputError: names the first that has two.
    """
    differ = pairs[pairs["truth_px_x"] != pairs["truth_px_y"]]
    if len(differ):
        one = differ.iloc[0]
        raise InputError(
            f"{one['data_x']}: the two splits", "must be of one store",
            f"{one['truth_px_x']} and {one['truth_px_y']} tumour pixels in "
            + " ".join(map(str, one[SLICE])),
            "runs-data", "the store was made anew in between: train one split again",
        )  # fmt: skip


def under_both_splits(by_slice: pd.DataFrame, by_patient: pd.DataFrame) -> pd.DataFrame:
    """The rows of each method's slices that were tested under either split.

    By whichever fold, in the same seed; one row of each split.
    """
    rows = pd.concat([by_slice, by_patient], ignore_index=True)
    return rows[rows.duplicated(["method", "seed", *SLICE], keep=False)]


def channel_claim(rows: pd.DataFrame) -> pd.DataFrame:
    """C3: the channel branch brings the gain, by three contrasts of Dice in points.

    ``rows`` of ``per_slice.csv`` hold all of `BRANCHES`. a: the branch's effect, with
    and without the spatial one; b: that minus the spatial branch's; c: against as many
    parameters without context. Of all three, p by Holm.

    Raises:
        InputError: two methods do not have the same slices.
    """
    rows = shared_rows(rows, BRANCHES.values())
    dice = dice_of(rows)
    both, spatial, channel, neither, gain = (dice[key] for key in BRANCHES.values())
    contrasts = {
        "a: with the channel branch": (both - spatial + channel - neither) / 2,
        "b: more than by the spatial one": channel - spatial,
        "c: more than by a gain alone": both - gain,
    }
    return judged_contrasts(contrasts, (MARGIN, 0, MARGIN), rows)


def scales_claim(rows: pd.DataFrame) -> pd.DataFrame:
    """C9: three scales above each one of them, a row a scale, in points of Dice.

    ``rows`` of ``per_slice.csv`` hold ``mscf`` and `ONE_SCALE`; p by Holm.

    Raises:
        InputError: two methods do not have the same slices.
    """
    rows = shared_rows(rows, ["mscf", *ONE_SCALE])
    dice = dice_of(rows)
    contrasts = {key: dice["mscf"] - dice[key] for key in ONE_SCALE}
    return judged_contrasts(contrasts, [MARGIN] * len(ONE_SCALE), rows)


def shared_rows(rows: pd.DataFrame, methods: Iterable[str]) -> pd.DataFrame:
    """The rows of these methods in the folds and seeds that all of them have."""
    rows = rows[rows["method"].isin([*methods])]
    return rows[of_runs(rows, shared_runs(rows))]


def dice_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Dice in percent, averaged over seeds: a row a slice, a column a method."""
    tables = over_seeds(rows)
    return 100 * pd.DataFrame({key: table["dice"] for key, table in tables.items()})


# The rules' words


def judged_contrasts(
    contrasts: Mapping[str, pd.Series], margins: Sequence[float], rows: pd.DataFrame
) -> pd.DataFrame:
    """`judged` of contrasts slice by slice, made of ``rows``."""
    table = {
        name: with_interval(of, of.index.to_frame()["patient"])
        for name, of in contrasts.items()
    }
    return judged(table, margins, on_all_folds(rows), words_of(rows))


def judged(
    table: Mapping[str, dict[str, float]],
    margins: Sequence[float],
    whole: bool,
    words: Mapping[str, str],
) -> pd.DataFrame:
    """The comparisons of one claim with p by Holm over all, margin and word."""
    found = pd.DataFrame.from_dict(table, orient="index").assign(margin=margins)
    found["p"] = holm(found["p"])
    names = ["difference", "low", "high", "p", "side", "patients", "margin"]
    said = [words[outcome(*row, whole=whole)] for row in found[names].to_numpy()]
    return found.assign(outcome=said).drop(columns="side")


def words_of(rows: pd.DataFrame) -> dict[str, str]:
    """`words_on` the data that rows of ``per_slice.csv`` are of."""
    return words_on(rows["data"].iloc[0])


def word_of_all(table: pd.DataFrame) -> str:
    """Of a claim of several contrasts: holds if all do, does not if one does not."""
    words = table["outcome"]
    if words.nunique() == 1:
        return words.iloc[0]
    against = words[words.str.startswith("does not")]
    return words_on("")[UNDECIDED] if against.empty else against.iloc[0]


def with_interval(gains: pd.Series, patients: pd.Series) -> dict[str, float]:
    """Mean over slices, interval over patients, and the rank test's p and side."""
    there = gains.notna()
    gains, patients = gains[there], patients[there]
    n = patients.nunique()
    low = high = np.nan  # of one patient nothing can be said about others
    if n > 1:
        drawn = redrawn_means(gains.to_numpy()[:, None], patients, draw_patients(n))
        low, high = interval(drawn[:, 0])
    of_patients = gains.groupby(patients).mean()
    return {
        "difference": gains.mean(), "low": low, "high": high,
        "p": signed_rank_p(of_patients), "side": leaning(of_patients), "patients": n,
    }  # fmt: skip


# Of separation


def separation_claim(rows: pd.DataFrame, data: str = "") -> dict[str, object]:
    """C8: tumour stands out more after the blocks than before, over the scales.

    ``rows`` are those of ``separation.csv``, of all folds and seeds; ``data`` is
    ``<data>-<size>``, for the words. Without folds, as of a run just made, it is open.
    """
    slices = separation_of(rows)
    gains = pd.DataFrame({c: gain(slices, c) for c in scales_of(rows)})
    found = with_interval(gains.mean(axis=1), slices["patient"])  # scales of the slice
    word = outcome(*found.values(), margin=SEPARATION_MARGIN, whole=on_all_folds(rows))
    seeds = rows["seed"].nunique() if "seed" in rows else 1
    del found["side"]
    return {
        **found, "margin": SEPARATION_MARGIN, "seeds": seeds,
        "outcome": words_on(data)[word],
    }  # fmt: skip


def separation_table(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a scale: means of ``separation.csv``, and the gain with its interval."""
    table = {}
    slices = separation_of(rows)
    for channels in scales_of(rows):
        after = slices[f"after_{channels}"]
        table[channels] = {
            "slices": after.notna().sum(),
            "before": slices[f"before_{channels}"].mean(),
            "after": after.mean(),
            **with_interval(gain(slices, channels), slices["patient"]),
        }
    counts = {"slices": int, "patients": int}
    table = pd.DataFrame(table).T.astype(counts).rename_axis("channels")
    return table.drop(columns="side")


def separation_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Averaged over seeds slice by slice, before anything else."""
    columns = [f"{when}_{c}" for c in scales_of(rows) for when in ("before", "after")]
    return rows.groupby(SLICE, sort=False)[columns].mean().reset_index()


def scales_of(rows: pd.DataFrame) -> list[int]:
    """The channels of the blocks in ``separation.csv``."""
    return sorted(int(n.rpartition("_")[2]) for n in rows if n.startswith("after_"))


def gain(rows: pd.DataFrame, channels: int) -> pd.Series:
    """By how much tumour stands out more after the block than before."""
    return rows[f"after_{channels}"] - rows[f"before_{channels}"]
