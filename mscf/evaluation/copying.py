"""What copying the truth of the most similar training slice reaches, with no network.

Where neighbours of a test slice were trained on, a method that only remembers can look
good: it need not know what a tumour is. This baseline does nothing but remember, so its
Dice under a split tells how much of any method's Dice there may be memory.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mscf.data.dataset import WINDOW
from mscf.data.resize import resize_images
from mscf.data.splits import FOLDS
from mscf.data.store import Store
from mscf.data.volume import TUMOUR
from mscf.evaluation.evaluate import slice_row

SIDE = 64  # pixels; finer ones see the noise that differs from slice to slice
STACK = 64  # slices in the memory at once


def nearest_training_rows(
    store: Store,
    training: NDArray[np.int64],
    test: NDArray[np.int64],
    window: tuple[float, float] = WINDOW,
) -> NDArray[np.int64]:
    """For every test row the training row whose image differs least from it.

    Least squared difference of the windowed images at `SIDE` pixels: of all training
    slices, whosever they are, and by the image alone. Of equals the first one.
    """
    known, asked = (small(store, rows, window) for rows in (training, test))
    # |a - b|^2 = |a|^2 - 2 ab + |b|^2, of which |a|^2 is the same for every b.
    difference = (known**2).sum(axis=1) - 2 * asked @ known.T  # (test, training)
    return np.asarray(training)[difference.argmin(axis=1)]


def small(
    store: Store, rows: NDArray[np.int64], window: tuple[float, float]
) -> NDArray[np.float64]:
    """HU of these rows, cut to the window, at `SIDE` pixels a side, a line a slice."""
    stacks = [
        resize_images(np.clip(store.images[part], *window), SIDE)
        for part in np.split(np.asarray(rows), range(STACK, len(rows), STACK))
    ]
    return np.concatenate(stacks).reshape(len(rows), -1).astype(np.float64)


def evaluate_copying(
    store: Store,
    training: NDArray[np.int64],
    test: NDArray[np.int64],
    window: tuple[float, float] = WINDOW,
) -> pd.DataFrame:
    """One row a test slice, the columns of ``evaluate.evaluate`` and of the copied one.

    ``copied_row`` of the store, ``same_patient``, ``same_case``, and ``slices_away``:
    how far along the body it lies, empty where it is of another scan.
    """
    copied = nearest_training_rows(store, training, test, window)
    rows = []
    for row, source in zip(test, copied, strict=True):
        entry, origin = store.index.iloc[row], store.index.iloc[source]
        same_case = entry["case"] == origin["case"]
        away = abs(int(entry["slice"]) - int(origin["slice"]))
        rows.append(
            slice_row(entry, store.masks[source] == TUMOUR, store.masks[row] == TUMOUR)
            | {
                "copied_row": int(source),
                "same_patient": entry["patient"] == origin["patient"],
                "same_case": same_case,
                "slices_away": away if same_case else None,
            }
        )
    return pd.DataFrame(rows).astype({"slices_away": "Int64"})


def expected_neighbours(slices: int, runs: int) -> float:
    """Share of test slices with a direct neighbour in training, split by slice.

    Of ``slices`` that lie in ``runs`` without a gap, each of two or more: one within a
    run lacks a neighbour in training only if both are tested too, one at an end if its
    only one is.
    """
    tested = 1 / FOLDS
    ends = 2 * runs / slices
    return 1 - (1 - ends) * tested**2 - ends * tested
