"""Two masks compared: the paper's seven metrics, those of a volume, and their means.

The paper names Dice, Hausdorff distance, Jaccard, precision, recall, specificity and
F1 and defines none of them (Table 1). Here rates are fractions of 1 and distances are
in pixels of the evaluated grid, with a ``spacing`` also in mm; what a fraction 0/0 and
a distance to an empty mask are is chosen by name. Arrays come in, numbers go out.

Legend: H rows, W columns, N slices; TP, FP, FN, TN count pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mscf.evaluation.distances import (
    Box,
    farthest_corner,
    hausdorff,
    joint_box,
    surface_distances,
)
from mscf.evaluation.lesions import LESION_SIZES, compare_lesions
from mscf.evaluation.masks import Mask, as_masks, as_spacings

RATES = ("dice", "jaccard", "precision", "recall", "specificity", "f1")
HAUSDORFF = ("hd", "hd_diagonal", "hd_farthest")
SURFACE = ("hd_edge", "hd95", "assd")
EMPTY_RULES = ("strict", "nan", "one", "zero")


# One slice, or a stack of them


def slice_metrics(
    prediction: ArrayLike,
    truth: ArrayLike,
    spacing: ArrayLike | None = None,
    empty: str = "strict",
    surface: bool = False,
) -> dict[str, NDArray] | dict[str, float | int | str]:
    """Outcome, counts, rates and distances of masks ``(H, W)`` or ``(N, H, W)``.

    Masks are boolean or integers 0 and 1. ``spacing`` is (rows, columns) in mm, one
    pair or one a slice, and adds the columns ``*_mm``; ``surface`` adds ``hd_edge``,
    ``hd95`` and ``assd``; ``empty`` is the rule for 0/0: "strict" (1 where the masks
    are equal, else 0), "nan", "one" or "zero". Gives a scalar a name for one slice, an
    array of length N for a stack.

    ``hd`` is NaN where exactly one mask is empty, as are the three of ``surface``;
    there ``hd_diagonal`` is the image's diagonal and ``hd_farthest`` the worst that
    any mask could have scored. All are 0 where both masks are empty. ``hd95`` is the
    larger of the two directions' 95th percentiles, as MONAI has it; medpy takes one
    percentile of both together.

    Raises:
        ValueError: shapes differ, no pixels, other values than 0 and 1, a spacing
            that is not positive, an unknown rule.
    """
    prediction, truth = as_masks(prediction, truth, dimensions=(2, 3))
    check_rule(empty)
    single = prediction.ndim == 2
    stack = (-1, *truth.shape[-2:])
    predictions, truths = prediction.reshape(stack), truth.reshape(stack)
    spacings = as_spacings(spacing, len(truths), axes=2)
    rows = [
        one_slice(a, t, mm, surface)
        for a, t, mm in zip(predictions, truths, spacings, strict=True)
    ]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    tp, fp, fn, tn = (columns[name] for name in ("tp", "fp", "fn", "tn"))
    columns = {"outcome": outcomes(tp, fp, fn)} | columns
    columns |= rates(tp, fp, fn, tn, empty)
    return {n: c[0].item() for n, c in columns.items()} if single else columns


def one_slice(
    prediction: Mask, truth: Mask, spacing: Sequence[float] | None, surface: bool
) -> dict[str, float]:
    """Counts and distances of one slice ``(H, W)``."""
    box = joint_box(prediction, truth)  # all but TN happens inside it
    a, t = prediction[box], truth[box]
    row = count(a, t, pixels=truth.size)
    pixels = slice_distances(a, t, box, truth.shape, (1.0, 1.0), surface)
    row |= pixels
    if spacing is None:
        return row
    if spacing[0] == spacing[1]:
        mm = {name: value * spacing[0] for name, value in pixels.items()}
    else:  # the nearest pixel may be another one
        mm = slice_distances(a, t, box, truth.shape, spacing, surface)
    return row | {f"{name}_mm": value for name, value in mm.items()}


def count(prediction: Mask, truth: Mask, pixels: int) -> dict[str, int]:
    """The four counts and both sizes; ``pixels`` is the whole image's number."""
    tp = int(np.count_nonzero(prediction & truth))
    fp = int(np.count_nonzero(prediction)) - tp
    fn = int(np.count_nonzero(truth)) - tp
    tn = pixels - int(np.count_nonzero(prediction | truth))
    assert tp + fp + fn + tn == pixels
    sizes = {"truth_px": tp + fn, "predicted_px": tp + fp}
    return sizes | {"tp": tp, "fp": fp, "fn": fn, "tn": tn}


def outcomes(tp: NDArray, fp: NDArray, fn: NDArray) -> NDArray[np.str_]:
    """What happened on each slice, in a word."""
    cases = {
        "overlap": tp > 0,
        "clean": fp + fn == 0,
        "missed": fp == 0,
        "false_alarm": fn == 0,
    }
    return np.select(list(cases.values()), list(cases), "elsewhere")


def rates(
    tp: NDArray, fp: NDArray, fn: NDArray, tn: NDArray, empty: str = "strict"
) -> dict[str, NDArray[np.float64]]:
    """The six rates of each slice from its counts, arrays ``(N,)``.

    A fraction 0/0 becomes under ``strict`` 1 where the masks are equal and else 0, so
    that predicting nothing gains no precision; under ``nan`` it is undefined; under
    ``one`` and ``zero`` what they say. Other values are the same under all four.
    """
    check_rule(empty)
    equal = (fp == 0) & (fn == 0)
    undefined = {
        "strict": equal.astype(float),
        "nan": np.full(equal.shape, np.nan),
        "one": np.ones(equal.shape),
        "zero": np.zeros(equal.shape),
    }[empty]

    def ratio(part: NDArray, whole: NDArray) -> NDArray[np.float64]:
        return np.divide(part, whole, out=undefined.copy(), where=whole > 0)

    dice = ratio(2 * tp, 2 * tp + fp + fn)
    return {
        "dice": dice,
        "jaccard": ratio(tp, tp + fp + fn),
        "precision": ratio(tp, tp + fp),
        "recall": ratio(tp, tp + fn),
        "specificity": ratio(tn, tn + fp),
        "f1": dice.copy(),  # on one slice the same fraction
    }


def slice_distances(
    prediction: Mask,
    truth: Mask,
    box: Box,
    shape: tuple[int, int],
    spacing: Sequence[float],
    surface: bool,
) -> dict[str, float]:
    """Distances of two masks cut to their joint ``box``, in the unit of ``spacing``."""
    names = HAUSDORFF + SURFACE if surface else HAUSDORFF
    n_empty = (not prediction.any()) + (not truth.any())
    if n_empty == 2:
        return dict.fromkeys(names, 0.0)
    if n_empty == 1:
        diagonal = math.hypot(shape[0] * spacing[0], shape[1] * spacing[1])
        farthest = farthest_corner(prediction | truth, box, shape, spacing)
        return dict.fromkeys(names, math.nan) | {
            "hd_diagonal": diagonal,
            "hd_farthest": farthest,
        }
    found = dict.fromkeys(HAUSDORFF, float(hausdorff(prediction, truth, spacing)))
    if surface:
        there, back = surface_distances(prediction, truth, spacing)
        found["hd_edge"] = float(max(there.max(), back.max()))
        found["hd95"] = float(max(np.percentile(there, 95), np.percentile(back, 95)))
        found["assd"] = float((there.sum() + back.sum()) / (there.size + back.size))
    return found


def summarise(rows: Mapping[str, ArrayLike]) -> dict[str, float]:
    """Means over slices, every slice with equal weight, undefined values left out.

    ``rows`` holds columns of ``slice_metrics``. ``f1`` is made of mean precision and
    mean recall, as nine of the ten rows of Table 1 are; the mean of the slices' own
    F1, which equals the mean Dice, is ``f1_mean``.
    """
    metrics = (*RATES, *HAUSDORFF, *SURFACE)
    names = [n for m in metrics for n in (m, f"{m}_mm") if n in rows]
    means = {name: mean_of_defined(rows[name]) for name in names}
    means["f1_mean"] = means["f1"]
    means["f1"] = float(f1_of(means["precision"], means["recall"]))
    return means


def f1_of(precision: ArrayLike, recall: ArrayLike) -> NDArray[np.float64]:
    """The harmonic mean 2PR / (P + R); 0 where both are 0."""
    precision, recall = np.asarray(precision, float), np.asarray(recall, float)
    total = precision + recall
    zero = np.zeros(total.shape)
    return np.divide(2 * precision * recall, total, out=zero, where=total != 0)


def mean_of_defined(values: ArrayLike) -> float:
    """The mean without NaN; NaN if nothing is left."""
    values = np.asarray(values, dtype=float)
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else math.nan


# One volume


def volume_metrics(
    prediction: ArrayLike,
    truth: ArrayLike,
    spacing: ArrayLike | None,
    surface: bool = True,
) -> dict[str, float | int]:
    """Overlap, surface distances and lesions of one case, masks ``(X, Y, Z)``.

    ``spacing`` is mm a voxel on each axis; None, where it is unknown, leaves out the
    distances and the classes of lesion size; without ``surface`` the distances are left
    out alone. Lesions are connected by faces. One is detected when one predicted
    component overlaps it by more than half of their union; there can be only one such
    component.

    Raises:
        ValueError: as ``slice_metrics``.
    """
    prediction, truth = as_masks(prediction, truth, dimensions=(3,))
    (mm,) = as_spacings(spacing, 1, axes=3)
    box = joint_box(prediction, truth)
    a, t = prediction[box], truth[box]
    c = count(a, t, pixels=truth.size)
    union = c["tp"] + c["fp"] + c["fn"]
    size_a, size_t = c["predicted_px"], c["truth_px"]
    row = {
        "truth_voxels": size_t,
        "predicted_voxels": size_a,
        "tp": c["tp"],
        "dice": 2 * c["tp"] / (size_a + size_t) if union else 1.0,
        "voe": 1 - c["tp"] / union if union else 0.0,
        "rvd": (size_a - size_t) / size_t if size_t else math.nan,
    }
    if mm is not None and surface:
        row |= volume_distances(a, t, mm)
    return row | compare_lesions(a, t, mm)


def volume_distances(
    prediction: Mask, truth: Mask, spacing: Sequence[float]
) -> dict[str, float]:
    """Mean, root mean square and maximum of the surface distances both ways, in mm."""
    names = ("assd_mm", "rmsd_mm", "msd_mm")
    if not (prediction.any() and truth.any()):
        both_empty = not (prediction.any() or truth.any())
        return dict.fromkeys(names, 0.0 if both_empty else math.nan)
    pooled = np.concatenate(surface_distances(prediction, truth, spacing))
    values = pooled.mean(), np.sqrt(np.mean(pooled**2)), pooled.max()
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def summarise_volumes(cases: Mapping[str, ArrayLike]) -> dict[str, float]:
    """Means over cases; Dice, lesion precision and recall from sums over all cases.

    ``cases`` holds columns of ``volume_metrics``; ``false_50`` becomes the number of
    false components a case, and ``recall_<size>`` appears where sizes are known.
    """
    means = ("dice", "voe", "rvd", "assd_mm", "rmsd_mm", "msd_mm", "false_50")
    row = {name: mean_of_defined(cases[name]) for name in means if name in cases}

    def share(part: str, *whole: str, times: int = 1) -> float:
        total = sum(np.nansum(cases[name]) for name in whole)
        return float(times * np.nansum(cases[part]) / total) if total else math.nan

    row["dice_global"] = share("tp", "truth_voxels", "predicted_voxels", times=2)
    row["lesion_precision"] = share("detected_50", "lesions_predicted")
    row["lesion_recall"] = share("detected_50", "lesions_truth")
    for size in LESION_SIZES:
        if f"lesions_{size}" in cases:
            row[f"recall_{size}"] = share(f"detected_{size}", f"lesions_{size}")
    return row


def check_rule(empty: str) -> None:
    """The rule for 0/0 must be one of the four."""
    if empty not in EMPTY_RULES:
        raise ValueError(f"empty must be one of {', '.join(EMPTY_RULES)}, not {empty}")
