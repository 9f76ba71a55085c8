"""The slices of a case stacked to a volume again: overlap and lesions, a row a case."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mscf.data.dataset import SliceDataset
from mscf.data.volume import TUMOUR
from mscf.evaluation.lesions import components
from mscf.evaluation.masks import Mask
from mscf.evaluation.metrics import volume_metrics


def case_rows(slices: SliceDataset, masks: NDArray[np.bool_]) -> pd.DataFrame:
    """The columns of ``volume_metrics`` for each case of ``slices``, and who it is.

    ``masks`` ``(N, H, W)`` are the predictions of the N slices. Only these are stacked:
    where slices between them are missing, one empty slice keeps lesions apart. So with
    a store of tumour slices a false component elsewhere is not seen, and there are no
    surface distances: what lies far apart would seem near.
    """
    return pd.DataFrame(
        {**who, **volume_metrics(*volumes, surface=False)}
        for who, volumes in cases_of(slices, masks)
    )


def lesion_rows(slices: SliceDataset, masks: NDArray[np.bool_]) -> pd.DataFrame:
    """The `components` of each case of ``slices``, stacked as for `case_rows`."""
    tables = [
        components(*volumes).assign(case=who["case"], patient=who["patient"])
        for who, volumes in cases_of(slices, masks)
    ]
    table = pd.concat(tables, ignore_index=True)
    return table[["case", "patient", *table.columns[:-2]]]


def cases_of(
    slices: SliceDataset, masks: NDArray[np.bool_]
) -> Iterator[tuple[dict[str, object], tuple[Mask, Mask, tuple[float, ...] | None]]]:
    """Who each case is, with its prediction, truth ``(H, W, Z)`` and spacing if known.

    The spacing is mm a voxel on each axis.
    """
    index = slices.index.reset_index(drop=True)
    for case, of_case in index.groupby("case", sort=True):
        of_case = of_case.sort_values("slice")
        numbers = of_case["slice"].to_numpy()
        truth = slices.store.masks[of_case["row"].to_numpy()] == TUMOUR
        entry = of_case.iloc[0]
        spacing = entry[["spacing_y", "spacing_x", "spacing_z"]].astype(float)
        who = {"case": case, "patient": entry["patient"], "slices": len(of_case)}
        yield (
            who,
            (
                stacked(masks[of_case.index], numbers),
                stacked(truth, numbers),
                tuple(spacing) if entry["spacing_known"] else None,
            ),
        )


def stacked(slices: Sequence[Mask] | NDArray[np.bool_], numbers: NDArray) -> Mask:
    """``(H, W, Z)`` of slices ``(N, H, W)``, an empty one wherever numbers jump."""
    gaps = np.flatnonzero(np.diff(numbers) > 1) + 1
    return np.insert(np.asarray(slices), gaps, False, axis=0).transpose(1, 2, 0)
