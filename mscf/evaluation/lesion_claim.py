"""Lesions of the kept runs, and C5 of the page "What counts as reproduced".

Made of ``per_case.csv``, read by ``read_beside`` with its ``fold`` and ``seed``, of a
split by patient: there a seed tests each case once.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mscf.evaluation.claims import judged, shared_rows
from mscf.evaluation.lesions import LESION_SIZES
from mscf.evaluation.metrics import summarise_volumes
from mscf.evaluation.outcome import on_all_folds, words_on
from mscf.evaluation.statistics import (
    ENOUGH_PATIENTS,
    draw_patients,
    interval,
    leaning,
    redrawn_means,
    signed_rank_p,
)

OURS, BASELINE = "mscf", "cenet"
FOUND_MARGIN = 5.0  # percentage points more of the small lesions
FALSE_MARGIN = 10.0  # percent fewer components that find nothing


def lesions_table(cases: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Volumes and lesions of each method, from the rows of its ``per_case.csv``.

    On the runs that all methods share, a case averaged over seeds first: means over
    cases in percent, numbers of lesions, and the share found of each size where the
    spacing is known.
    """
    found = {}
    for method, table in cases_over_seeds(shared_cases(cases)).items():
        summary = summarise_volumes(table)
        found[method] = {
            "Dice of a case": 100 * summary["dice"],
            "Dice of all voxels": 100 * summary["dice_global"],
            "lesions": table["lesions_truth"].sum(),
            "found": table["detected_50"].sum(),
            "false": table["false_50"].sum(),
        }
        for size in LESION_SIZES:
            if f"lesions_{size}" in table:
                n = np.nansum(table[f"lesions_{size}"])
                hit = np.nansum(table[f"detected_{size}"])
                found[method][size] = f"{round(hit, 1):g} of {n:.0f}"
    # Of one seed whole numbers, and shown as such.
    return pd.DataFrame(found).T.infer_objects().convert_dtypes()


def lesion_claim(cases: Mapping[str, pd.DataFrame], data: str = "") -> pd.DataFrame:
    """C5: more of the small lesions are found, and fewer components find nothing.

    ``cases`` holds the ``per_case.csv`` of ``mscf`` and ``cenet``, ``data`` is
    ``<data>-<size>``, for the words. First the share found of the lesions below 10 mm,
    Ours minus CE-Net in percentage points, over the patients that have one; the test is
    on the patients' shares. Second by how many percent of CE-Net's Ours has fewer
    components that find nothing, over all patients; the test is on their numbers, as a
    patient without any has no percent. p by Holm over both. With fewer than 20 patients
    of the first, which takes a known spacing, neither decides. `word_of_all` is the
    claim's word.
    """
    rows = shared_cases({key: cases[key] for key in (OURS, BASELINE)})
    of = {
        key: table.groupby("patient").sum()  # a patient may have several cases
        for key, table in cases_over_seeds(rows).items()
    }
    ours, other = of[OURS], of[BASELINE]
    size = next(iter(LESION_SIZES))
    columns = [f"lesions_{size}", f"detected_{size}"]
    small = ours.reindex(columns=columns)  # of no case: spacing is known nowhere
    small = small[small[f"lesions_{size}"] > 0]
    lesions, found = (small[name] for name in columns)
    more = found - other.reindex(small.index, columns=columns)[f"detected_{size}"]
    fewer = other["false_50"] - ours["false_50"]
    table = {
        "small lesions found, points": in_percent(more, lesions, more / lesions),
        "fewer false components, %": in_percent(fewer, other["false_50"], fewer),
    }
    decides = on_all_folds(rows) and len(small) >= ENOUGH_PATIENTS
    return judged(table, (FOUND_MARGIN, FALSE_MARGIN), decides, words_on(data))


def shared_cases(cases: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The rows of all methods, in the folds and seeds that all have."""
    signed = [table.assign(method=key) for key, table in cases.items()]
    return shared_rows(pd.concat(signed, ignore_index=True), cases)


def cases_over_seeds(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Of each method a row a case, averaged over the seeds that tested it."""
    return {
        method: of.drop(columns=["method", "fold", "seed"])
        .groupby(["patient", "case"])
        .mean()
        for method, of in rows.groupby("method", sort=False)
    }


def in_percent(part: pd.Series, whole: pd.Series, tested: pd.Series) -> dict:
    """Sums over patients, the part in percent of the whole, with interval and p.

    All are one number a patient; ``tested`` is what the rank test is made on.
    """
    n = len(part)
    low = high = np.nan  # of one patient nothing can be said about others
    if n > 1:
        values = np.column_stack([part, whole])
        drawn = redrawn_means(values, part.index, draw_patients(n)).T
        low, high = interval(100 * ratio(*drawn))
    difference = 100 * ratio(np.array(part.sum()), np.array(whole.sum()))
    return {
        "difference": float(difference), "low": low, "high": high,
        "p": signed_rank_p(tested), "side": leaning(tested), "patients": n,
    }  # fmt: skip


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """NaN where there is nothing to take a part of."""
    nothing = np.full(part.shape, np.nan)
    return np.divide(part, whole, out=nothing, where=whole > 0)
