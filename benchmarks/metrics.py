"""How long do the metrics of a test set take, ours beside MONAI's?

``python benchmarks/metrics.py`` times in turns, on one core, the seven metrics of 1,438
synthetic mask pairs at 448 x 448 (the paper's number of test slices), then MONAI's
seven calls slice by slice on 280 of them, and the pairs that are worst for us.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import warnings
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.ndimage import gaussian_filter

from mscf.evaluation.metrics import slice_metrics, summarise

SIZE = 448


def mask_pairs(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Lesions and predictions ``(N, H, W)`` of about Table 1's scores, 3.5 % missed."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    truth = np.zeros((n, SIZE, SIZE), dtype=bool)
    prediction = np.zeros_like(truth)
    for i in range(n):
        for _ in range(rng.integers(1, 4)):
            centre, radius = rng.uniform(100, 348, 2), rng.lognormal(2.4, 0.5)
            wave = 3 * gaussian_filter(rng.normal(size=64), 4, mode="wrap")
            angle = np.arctan2(rows - centre[0], columns - centre[1])
            edge = radius * (1 + wave[((angle / np.pi + 1) * 31.9).astype(int)] / 4)
            truth[i] |= np.hypot(rows - centre[0], columns - centre[1]) < edge
            shift = rng.normal(0, 0.12 * radius, 2)
            distance = np.hypot(
                rows - centre[0] - shift[0], columns - centre[1] - shift[1]
            )
            prediction[i] |= distance < edge * rng.uniform(1.0, 1.25) + 0.7
        if rng.uniform() < 0.1:  # a false positive elsewhere
            y, x = rng.uniform(50, 398, 2)
            prediction[i] |= np.hypot(rows - y, columns - x) < rng.uniform(1, 8)
    prediction[rng.choice(n, round(0.035 * n), replace=False)] = False
    return prediction, truth


def monai_metrics(prediction: np.ndarray, truth: np.ndarray) -> None:
    """The same seven by MONAI, slice by slice as its users do."""
    import torch
    from monai import metrics

    names = ("precision", "recall", "specificity", "f1 score")
    for a, t in zip(prediction, truth, strict=True):
        a, t = (torch.from_numpy(mask)[None, None].float() for mask in (a, t))
        metrics.compute_dice(a, t)
        metrics.compute_iou(a, t)
        metrics.compute_hausdorff_distance(a, t, include_background=True)
        matrix = metrics.get_confusion_matrix(a, t, include_background=True)
        for name in names:
            metrics.compute_confusion_matrix_metric(name, matrix)


def seconds(function: Callable, *arguments: object, **options: object) -> float:
    """Wall seconds of one call."""
    start = time.perf_counter()
    function(*arguments, **options)
    return time.perf_counter() - start


def worst_pairs() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What untrained networks predict, and masks that defeat one of the three ways."""
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    lesion = np.hypot(rows - 200, columns - 260) < 12
    far = lesion.copy()
    far[0, 0] = True
    noise = rng.random((2, SIZE, SIZE)) < 0.5
    sparse = rng.random((2, SIZE, SIZE)) < 0.08
    board = (rows + columns) % 2 == 0
    return {
        "half-filled noise, lesion": (noise[0], lesion),
        "whole slice, lesion": (np.ones_like(lesion), lesion),
        "noise, noise": (noise[0], noise[1]),
        "sparse noise, sparse noise": (sparse[0], sparse[1]),
        "one far pixel": (far, lesion),
        "checkerboard, its complement": (board, ~board),
        "half-filled noise, nothing": (noise[0], np.zeros_like(lesion)),
    }


def main() -> None:
    """Prints medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--slices", type=int, default=1438)
    options = parser.parse_args()
    import torch

    import mscf.compat  # noqa: F401

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # MONAI's, one an empty mask
    prediction, truth = mask_pairs(options.slices)
    means = summarise(slice_metrics(prediction, truth))
    print("the pairs:", {name: round(value, 3) for name, value in means.items()})

    whole, surface, ours, theirs = [], [], [], []
    part = slice(0, min(280, options.slices))
    monai_metrics(prediction[:2], truth[:2])  # imports
    for _ in range(options.turns):
        whole.append(seconds(slice_metrics, prediction, truth))
        surface.append(seconds(slice_metrics, prediction, truth, surface=True))
        ours.append(seconds(slice_metrics, prediction[part], truth[part]))
        theirs.append(seconds(monai_metrics, prediction[part], truth[part]))
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    print(f"{options.slices} slices: {statistics.median(whole):.2f} s")
    print(f"with surface distances: {statistics.median(surface):.2f} s")
    print(
        f"MONAI over ours, {part.stop} slices: {statistics.median(ratios):.1f} "
        f"({min(ratios):.1f} to {max(ratios):.1f})"
    )
    for name, pair in worst_pairs().items():
        times = [1000 * seconds(slice_metrics, *pair) for _ in range(options.turns)]
        with_surface = [
            1000 * seconds(slice_metrics, *pair, surface=True)
            for _ in range(options.turns)
        ]
        print(
            f"{name}: {statistics.median(times):.1f} ms, with surface distances "
            f"{statistics.median(with_surface):.1f} ms"
        )


if __name__ == "__main__":
    main()
