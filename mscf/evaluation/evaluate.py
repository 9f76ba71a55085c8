"""A network over a set of slices: masks, and one row of metrics a slice."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from mscf.data.dataset import SliceDataset, three_channels
from mscf.errors import InputError, NumericalError
from mscf.evaluation.metrics import slice_metrics
from mscf.evaluation_mode import evaluation_mode


def evaluate(
    model: nn.Module,
    slices: SliceDataset,
    batch_size: int = 8,
    device: torch.device | str | None = None,
) -> pd.DataFrame:
    """One row a slice, in the order of ``slices``: who it is, counts, rates, distances.

    The columns of ``per_slice.csv`` without those that ``tables.identify`` adds.
    Rates are those of the rule ``strict``; where the spacing is unknown there are no
    millimetres. For ``device`` and errors see ``predict``.
    """
    progress = tqdm(total=len(slices), leave=False, disable=not sys.stderr.isatty())
    rows = []
    with progress:
        for positions, masks in predict(model, slices, batch_size, device):
            for i, mask in zip(positions, masks, strict=True):
                truth = slices[i][1][0].numpy() > 0.5
                rows.append(slice_row(slices.index.iloc[i], mask, truth))
            progress.update(len(positions))
    return pd.DataFrame(rows)


def predict(
    model: nn.Module,
    slices: SliceDataset,
    batch_size: int = 8,
    device: torch.device | str | None = None,
) -> Iterator[tuple[range, NDArray[np.bool_]]]:
    """Batch by batch: positions in ``slices``, and the masks ``(B, H, W)`` drawn there.

    The model maps ``(B, 3, H, W)`` to logits. It is moved to ``device`` if one is
    given, works in evaluation mode, and has its modes back at the end. It sees one
    view of a slice, not several (open point 21). No random number is drawn. Mixed
    precision is the caller's context.

    Raises:
        InputError: there is no slice.
        NumericalError: a logit is not finite; as a mask it would pass for "no tumour".
    """
    if not len(slices):
        raise InputError(
            slices.store.folder,
            "must have slices with tumour to evaluate",
            0,
            "no-tumour",
            "choose another fold or split",
        )
    device = torch.device(device) if device is not None else device_of(model)
    model.to(device)
    with evaluation_mode(model):
        for start in range(0, len(slices), batch_size):
            positions = range(start, min(start + batch_size, len(slices)))
            images = torch.stack([slices[i][0] for i in positions]).to(device)
            with torch.inference_mode():
                logits = model(three_channels(images))  # (B, 1, H, W)
                finite = torch.isfinite(logits).flatten(1).all(dim=1).tolist()
                masks = tumour_mask(logits).cpu().numpy()  # (B, H, W)
            for i, good in zip(positions, finite, strict=True):
                if not good:
                    raise not_finite(slices.index.iloc[i])
            yield positions, masks


def tumour_mask(logits: Tensor) -> Tensor:
    """Where the tumour wins, ``(B, H, W)``; a tie is background.

    One logit wins above 0, the second of two above the first.
    """
    if logits.shape[1] == 1:
        return logits[:, 0] > 0
    return logits[:, 1] > logits[:, 0]


def slice_row(
    entry: pd.Series, prediction: NDArray[np.bool_], truth: NDArray[np.bool_]
) -> dict[str, float | int | str]:
    """The row of one slice; ``entry`` is its row in the store's index."""
    known = bool(entry["spacing_known"])
    spacing = (entry["spacing_y"], entry["spacing_x"]) if known else None
    height, width = truth.shape
    return {
        "case": entry["case"],
        "patient": entry["patient"],
        "slice": entry["slice"],
        "height": height,
        "width": width,
        "spacing_y": spacing[0] if known else np.nan,
        "spacing_x": spacing[1] if known else np.nan,
        **slice_metrics(prediction, truth, spacing, surface=True),
    }


def device_of(model: nn.Module) -> torch.device:
    """Where the model's weights lie; the CPU if it has none."""
    weight = next(model.parameters(), None)
    return torch.device("cpu") if weight is None else weight.device


def not_finite(entry: pd.Series) -> NumericalError:
    """The error that names the slice."""
    return NumericalError(
        f"case {entry['case']}, slice {entry['slice']}",
        "the network's output must be finite",
        "NaN or infinity",
        "logits-finite",
        "take an earlier checkpoint, or train with a lower rate",
    )
