"""How far tumour stands out from liver in the maps that pass a skip, claim C8.

The paper shows pictures of feature maps before and after the context block; this is a
number for what they are meant to show.
"""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu
from torch import Tensor, nn

from mscf.data.dataset import SliceDataset, three_channels
from mscf.data.volume import LIVER, TUMOUR
from mscf.evaluation.evaluate import device_of
from mscf.evaluation_mode import evaluation_mode


def separation_rows(
    model: nn.Module, slices: SliceDataset, batch_size: int = 8
) -> pd.DataFrame:
    """A row a slice: ``before_<C>`` and ``after_<C>`` of each of ``model.contexts``.

    The separation is |2 A - 1| with A the area under the ROC curve of tumour against
    liver positions, in the mean over the C channels: 0 where they overlap, 1 where
    one lies wholly above the other, either way round; no positive factor changes it. A
    position is tumour, or liver, when at least half of its pixels are; empty where a
    slice lacks one of them at that scale. Works on the model's device.
    """
    means: dict[str, Tensor] = {}

    def look(_: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        channels = given[0].shape[1]
        for when, features in (("before", given[0]), ("after", made)):
            means[f"{when}_{channels}"] = features.float().mean(dim=1).cpu()

    rows = []
    with ExitStack() as hooks, evaluation_mode(model), torch.inference_mode():
        for block in model.contexts:
            hooks.enter_context(block.register_forward_hook(look))
        for start in range(0, len(slices), batch_size):
            batch = range(start, min(start + batch_size, len(slices)))
            images = torch.stack([slices[i][0] for i in batch])
            model(three_channels(images).to(device_of(model)))
            for n, i in enumerate(batch):
                entry = slices.index.iloc[i]
                labels = slices.store.masks[entry["row"]]
                rows.append({
                    **entry[["case", "patient", "slice"]],
                    **{k: separation(maps[n], labels) for k, maps in means.items()},
                })  # fmt: skip
    return pd.DataFrame(rows)


def separation(values: Tensor, labels: NDArray[np.uint8]) -> float:
    """|2 A - 1| of one map ``(h, w)`` under the labels ``(H, W)`` of its slice."""
    tumour, liver = (
        values[mostly(labels == label, values.shape)].numpy()
        for label in (TUMOUR, LIVER)
    )
    if not (tumour.size and liver.size):
        return float("nan")
    above = mannwhitneyu(tumour, liver).statistic / (tumour.size * liver.size)
    return abs(2 * float(above) - 1)


def mostly(pixels: NDArray[np.bool_], shape: torch.Size) -> Tensor:
    """Positions of a coarser map at least half of whose pixels are set."""
    share = F.adaptive_avg_pool2d(torch.from_numpy(pixels)[None].float(), shape)
    return share[0] >= 0.5
