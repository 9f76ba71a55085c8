"""What is kept of a network's attention, and read again by the book's pages.

``lesion_attention.csv``: numbers of every slice with several lesions.
``attention.npz``: a few slices with their voxels, so of phantoms only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from mscf.data.dataset import SliceDataset
from mscf.data.spreadsheet import as_csv
from mscf.data.volume import LIVER, TUMOUR
from mscf.errors import SettingsError
from mscf.kept.archives import arrays_of, take_scales, write_arrays
from mscf.kept.asking import (
    Pixel,
    attention_from,
    branch_of,
    channel_maps,
    landmarks,
    lesion_attention,
    pooled,
    with_most_lesions,
)
from mscf.replacing import write_text
from mscf.visualisation.attention import row_entropy

BRANCHES = ("spatial", "channel")
TISSUES = ("tumour", "liver", "rest")


@dataclass(frozen=True)
class Attention:
    """What one network looks at on a few slices: S of them, A pixels that ask."""

    case: NDArray[np.str_]  # (S,)
    slice: NDArray[np.int64]  # (S,)
    hu: NDArray[np.int16]  # (S, H, W)
    labels: NDArray[np.uint8]  # (S, H, W)
    of: NDArray[np.int64]  # (A,), which of the slices
    name: NDArray[np.str_]  # (A,), what asks
    pixel: NDArray[np.int64]  # (A, 2), row and column
    rows: dict[int, NDArray[np.float16]]  # channels: (A, h, w), times the even share
    affinity: dict[int, NDArray[np.float16]]  # channels: (S, C, C), Eq. 4


def look(
    network: nn.Module,
    slices: SliceDataset,
    chosen: Sequence[Mapping[str, Pixel]],
    branches: Sequence[str] = BRANCHES,
) -> Attention:
    """What pixels of each slice look at, and its channel maps.

    ``chosen``: for each slice names and pixels that ask, such as `landmarks` gives. Of
    a branch that is not among ``branches`` there is nothing in what comes out.

    Raises:
        SettingsError: a pixel outside its slice; a network without these contexts.
    """
    images = [slices[i][0] for i in range(len(slices))]
    looks, maps = [{}], [{}]
    if "spatial" in branches:
        looks = [
            attention_from(network, image, list(pixels.values()))
            for image, pixels in zip(images, chosen, strict=True)
        ]
    if "channel" in branches:
        maps = [channel_maps(network, image) for image in images]
    asked = [(i, n, p) for i, pixels in enumerate(chosen) for n, p in pixels.items()]
    of, name, pixel = (np.array(column) for column in zip(*asked, strict=True))
    rows = slices.index["row"].to_numpy()
    together = {c: np.concatenate([one[c] for one in looks]) for c in looks[0]}
    return Attention(
        slices.index["case"].to_numpy(str), slices.index["slice"].to_numpy(),
        slices.store.images[rows], slices.store.masks[rows], of, name, pixel,
        {c: (r * r[0].size).astype(np.float16) for c, r in together.items()},
        {c: np.stack([one[c] for one in maps]).astype(np.float16) for c in maps[0]},
    )  # fmt: skip


def where_it_goes(seen: Attention) -> pd.DataFrame:
    """How much of each row of M lies on tumour, liver and the rest, in percent.

    A row for each pixel that asks and scale; beside it what the slice's even share is.
    ``entropy`` is relative: 0 takes all from one position, 1 from all alike.
    """
    table = []
    for a, (i, name) in enumerate(zip(seen.of, seen.name, strict=True)):
        labels = seen.labels[i]
        even = dict(zip(TISSUES, 100 * tissues(labels).mean(axis=(1, 2)), strict=True))
        for channels, rows in seen.rows.items():
            weights = rows[a].astype(float) / rows[a].astype(float).sum()
            table.append({
                "case": seen.case[i], "slice": seen.slice[i], "asks": name,
                "channels": channels,
                **dict(zip(TISSUES, lies_on(weights, labels), strict=True)),
                **{f"{n}, even": share for n, share in even.items()},
                "entropy": row_entropy(weights.ravel()) / np.log(weights.size),
            })  # fmt: skip
    return pd.DataFrame(table)


def lies_on(rows: NDArray, labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How much of rows of M lies on each of `TISSUES`, in percent.

    ``rows`` ``(..., h, w)`` sum to 1, ``labels`` is the slice; gives ``(..., 3)``. A
    position on a border counts for each by the part of its pixels.
    """
    parts = pooled(tissues(labels), rows.shape[-2:]).numpy()
    return 100 * np.einsum("khw,...hw->...k", parts, rows)


def tissues(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The masks of `TISSUES` of a slice: ``(3, H, W)``."""
    return np.stack([labels == TUMOUR, labels == LIVER, labels < LIVER])


def keep_attention(
    network: nn.Module, slices: SliceDataset, folder: Path, voxels: bool
) -> None:
    """Writes what the book needs into the folder of a kept run.

    ``lesion_attention.csv`` of all slices, with ``voxels`` also ``attention.npz`` of
    three. Nothing where blocks lack a branch, or there are none.

    Raises:
        SettingsError: voxels of a person.
        StorageError: disk full or no permission.
    """
    blocks = getattr(network, "contexts", [])
    if not all(any(branch_of(b, name) for b in blocks) for name in BRANCHES):
        return
    table = lesion_attention(network, slices)
    write_text(folder / "lesion_attention.csv", as_csv(table))
    if voxels:
        few = with_most_lesions(slices)
        rows = few.index["row"]
        chosen = [landmarks(few.store.images[i], few.store.masks[i]) for i in rows]
        write_attention(network, few, chosen, folder / "attention.npz")


def write_attention(
    network: nn.Module,
    slices: SliceDataset,
    chosen: Sequence[Mapping[str, Pixel]],
    path: Path,
) -> None:
    """Keeps what `look` sees; for slices of phantoms only, their voxels are in it.

    Raises:
        SettingsError: slices of a person; and as `look`.
        StorageError: disk full or no permission; an older file is untouched.
    """
    if not slices.store.phantoms:
        raise SettingsError(
            "slices", "must be of phantoms: their voxels are kept", slices.store.folder,
            "examples", "look at them without keeping what is seen",
        )  # fmt: skip
    seen = look(network, slices, chosen)
    plain = ("case", "slice", "hu", "labels", "of", "name", "pixel")
    arrays = {name: getattr(seen, name) for name in plain}
    for kind in ("rows", "affinity"):
        arrays |= {f"{kind}{c}": values for c, values in getattr(seen, kind).items()}
    write_arrays(path, arrays)


def read_attention(path: Path) -> Attention:
    """What `write_attention` kept.

    Raises:
        InputError: there is none, or it is damaged.
    """
    with arrays_of(
        path, "must be the attention kept of a run", "attention-file",
        "keep the run again: data_scripts/keep_run.py",
    ) as arrays:  # fmt: skip
        scales = {kind: take_scales(arrays, kind) for kind in ("rows", "affinity")}
        seen = Attention(**arrays, **scales)
        check_parts(seen)
    return seen


def check_parts(seen: Attention) -> None:
    """Raises ValueError where the arrays of a file do not fit each other."""
    n_slices, n_asking = len(seen.case), len(seen.name)
    of_slices = [seen.slice, seen.hu, seen.labels, *seen.affinity.values()]
    of_asking = [seen.of, seen.pixel, *seen.rows.values()]
    if {len(a) for a in of_slices} != {n_slices} or seen.hu.shape != seen.labels.shape:
        raise ValueError("slices that do not fit")
    if {len(a) for a in of_asking} != {n_asking} or not (seen.of < n_slices).all():
        raise ValueError("rows that do not fit")
    if not all(np.isfinite(rows).all() for rows in seen.rows.values()):
        raise ValueError("rows that are not finite")
