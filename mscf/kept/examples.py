"""The few slices of a run that the book's pictures show, kept beside its tables.

``examples.npz`` holds, for ``n`` slices: ``row`` in the store, ``case``, ``slice``;
``hu``, ``truth``, ``liver`` ``(n, H, W)``, the tumour's ``probability`` in 1/255. For
each context block k, ``channel<k>`` ``(n, CHANNELS)``, the maps ``before<k>`` and
``after<k>`` ``(n, CHANNELS, h, w)``, in each of them the separation of tumour from
liver, ``apart_before<k>`` and ``apart_after<k>``, and ``times<k>``, how often the block
counts its input.
"""

from __future__ import annotations

from numbers import Integral
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from mscf.data.dataset import SliceDataset, three_channels
from mscf.data.volume import LIVER, TUMOUR
from mscf.errors import SettingsError
from mscf.evaluation.separation import separation, separation_rows
from mscf.evaluation_mode import evaluation_mode
from mscf.kept.archives import arrays_of, write_arrays
from mscf.kept.finished_run import open_run
from mscf.kept.parameters import check_at_least
from mscf.visualisation.feature_maps import least_alike, skip_features

CHANNELS = 6  # feature maps kept of each scale, half of them by either rule

Examples = dict[str, NDArray]


def choose_examples(index: pd.DataFrame, n: int) -> NDArray[np.int64]:
    """Positions of the slice with most tumour of ``n`` patients: by the truth alone."""
    index = index.reset_index(drop=True)
    return np.sort(index.groupby("patient")["stored_tumour_px"].idxmax())[:n]


def examples(
    network: nn.Module, slices: SliceDataset, chosen: NDArray[np.int64]
) -> Examples:
    """What a network on the CPU makes of the slices at ``chosen``, as in the file."""
    index = slices.index.iloc[chosen]
    rows = index["row"].to_numpy()
    labels = slices.store.masks[rows]
    images = torch.stack([slices[int(i)][0] for i in chosen])
    with evaluation_mode(network), torch.no_grad():
        probability = network(three_channels(images)).sigmoid()[:, 0].numpy()
    kept: Examples = {
        "row": rows,
        "case": index["case"].to_numpy(str),
        "slice": index["slice"].to_numpy(),
        "hu": slices.store.images[rows],
        "truth": labels == TUMOUR,
        "liver": labels == LIVER,
        "probability": (probability * 255).round().astype(np.uint8),
    }
    maps = [skip_features(network, three_channels(image[None])) for image in images]
    for k, skips in enumerate(zip(*maps, strict=True)):
        pairs = [
            pair_of_maps(*skip, mask) for skip, mask in zip(skips, labels, strict=True)
        ]
        for name in pairs[0]:
            kept[f"{name}{k}"] = np.stack([pair[name] for pair in pairs])
        kept[f"times{k}"] = np.array(getattr(network.contexts[k], "times_input", 1))
    return kept


def pair_of_maps(
    before: NDArray[np.float32], after: NDArray[np.float32], labels: NDArray[np.uint8]
) -> Examples:
    """The channels of one skip worth showing, and how far tumour stands out in them.

    Half are those that the block changed most, half those in which tumour stands out
    most after it; none twice. Where tumour or liver holds no position at this scale,
    the others are the next that the block changed. Maps are ``(C, h, w)``.
    """
    apart_before, apart_after = (
        np.array([separation(torch.from_numpy(one), labels) for one in features])
        for features in (before, after)
    )
    changed = least_alike(before, after)
    known = np.isfinite(apart_after).any()
    rest = np.argsort(-np.nan_to_num(apart_after), kind="stable") if known else changed
    first = changed[: CHANNELS // 2]
    others = rest[~np.isin(rest, first)][: CHANNELS - len(first)]
    channel = np.concatenate([first, others])
    return {
        "channel": channel,
        "before": before[channel].astype(np.float16),
        "after": after[channel].astype(np.float16),
        "apart_before": apart_before[channel],
        "apart_after": apart_after[channel],
    }


def shown_example(kept: Examples, example: int | None) -> int:
    """Which of the examples is shown: the one asked for, or the one with most tumour.

    Raises:
        SettingsError: there is none of this number; a negative one would count from the
            end.
    """
    if example is None:
        return int(kept["truth"].sum(axis=(1, 2)).argmax())
    n = len(kept["truth"])
    if not (isinstance(example, Integral) and 0 <= example < n):
        raise SettingsError(
            "example", f"must be a whole number from 0 to {n - 1}", example, "example",
            "None shows the one with most tumour",
        )  # fmt: skip
    return int(example)


def examples_of_run(
    folder: Path, n: int, data: Path | str | None = None
) -> tuple[Examples, pd.DataFrame]:
    """Made now by a finished run's network; and `separation.csv`, of all test slices.

    ``data``: where its store lies now, see `open_run`.

    Raises:
        CheckpointError: the run is not finished, or its store is gone or another.
        SettingsError: a method without context blocks; ``n`` is below 1.
    """
    check_at_least(1, n=n)
    run = open_run(folder, data)
    network = run.network()
    run.check_contexts(network)
    chosen = choose_examples(run.test.index, n)
    return examples(network, run.test, chosen), separation_rows(network, run.test)


def write_examples(
    network: nn.Module, slices: SliceDataset, n: int, folder: Path
) -> None:
    """``examples.npz`` of ``n`` slices."""
    network.cpu()
    kept = examples(network, slices, choose_examples(slices.index, n))
    write_arrays(folder / "examples.npz", kept)


def read_examples(folder: Path, needed: str = "probability") -> Examples:
    """The kept examples of a run.

    Raises:
        InputError: there are none, they are damaged, or lack the array ``needed``.
    """
    with arrays_of(
        folder / "examples.npz", "must hold examples", "examples-read",
        "keep the run of phantoms again: data_scripts/keep_run.py --examples 8",
    ) as kept:  # fmt: skip
        if needed not in kept:
            raise ValueError(f"no {needed}, but {', '.join(kept)}")
    return kept
