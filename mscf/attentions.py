"""What a network's context blocks look at: any pixel asked, lesions, the channel maps.

Kept of a run as ``attention.npz``, a few slices with their voxels (phantoms only), and
``lesion_attention.csv``, numbers of every slice with several lesions. Nothing here
forms the whole map M: rows are computed for the positions that ask, some hundreds at a
time.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch import Tensor, nn
from tqdm import tqdm

from mscf.data.case_slices import LIVER, TUMOUR
from mscf.data.dataset import SliceDataset, three_channels
from mscf.data.spreadsheet import as_csv, as_named
from mscf.errors import InputError, SettingsError
from mscf.evaluation.lesion_attention import PAIR, lesions_of, pair_rows
from mscf.models.context import (
    SpatialContext,
    as_sequence,
    attention_rows,
    channel_affinity,
)
from mscf.replacing import replacing
from mscf.visualisation.attention import position_of, row_entropy
from mscf.visualisation.feature_maps import skip_features

BONE = 250  # HU; above it there is bone, or contrast as dense
BRANCHES = ("spatial", "channel")
AT_A_TIME = 512  # rows of M in memory: 50 MB at 112 x 112 positions, in double
COLUMNS = ("case", "patient", "slice", "channels", "lesions", "pairs", *PAIR)
DAMAGED = (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error)

Pixel = tuple[int, int]  # row and column of the slice


# Any network with context blocks


def block_inputs(
    network: nn.Module, image: Tensor, branch: str
) -> list[tuple[nn.Module, Tensor]]:
    """Each block's "spatial" or "channel" branch, and the ``(1, C, h, w)`` it is given.

    ``image`` ``(1, H, W)`` is a slice as `SliceDataset` gives it.

    Raises:
        SettingsError: the network has no such branch, as CE-Net.
    """
    blocks = [getattr(b, branch, None) for b in getattr(network, "contexts", [])]
    if not any(blocks):
        raise SettingsError(
            "method", f"must have a {branch} context to look at",
            type(network).__name__, "no-context", f"choose mscf or mscf+{branch}",
        )  # fmt: skip
    weight = next(network.parameters())
    entering = skip_features(network, three_channels(image[None]).to(weight))
    return [
        (block, torch.from_numpy(before[None]).to(weight))
        for block, (before, _) in zip(blocks, entering, strict=True)
        if block
    ]


def attention_from(
    network: nn.Module, image: Tensor, pixels: Sequence[Pixel]
) -> dict[int, NDArray[np.float32]]:
    """Where pixels of a slice look: by channels of the scale, ``(P, h, w)``.

    Each of the P maps is the row of M (Eq. 2) of the position in which the pixel lies,
    and sums to 1.

    Raises:
        SettingsError: a pixel outside the slice; a network without spatial context.
    """
    size = tuple(image.shape[-2:])
    for pixel in pixels:
        check_pixel(pixel, size)
    looks = {}
    for block, x in block_inputs(network, image, "spatial"):
        shape = tuple(x.shape[-2:])
        asking = torch.tensor([position_of(p, shape, size) for p in pixels])
        with torch.no_grad():
            rows = attention_rows(block, x, asking.to(x.device))[0]
        looks[x.shape[1]] = rows.unflatten(1, shape).cpu().numpy()
    return looks


def check_pixel(pixel: Pixel, size: tuple[int, int]) -> None:
    """Refuses what is no pixel of a slice; a negative one would count from the end."""
    if not all(0 <= place < side for place, side in zip(pixel, size, strict=True)):
        raise SettingsError(
            "pixel", f"must lie in the slice of {size[0]} x {size[1]}", tuple(pixel),
            "pixel", "give row and column, counted from 0",
        )  # fmt: skip


def channel_maps(network: nn.Module, image: Tensor) -> dict[int, NDArray[np.float32]]:
    """The maps of Eq. 4 of a slice, ``(C, C)`` by C; each row sums to 1.

    Raises:
        SettingsError: a network without channel context.
    """
    maps = {}
    for block, x in block_inputs(network, image, "channel"):
        affinity = channel_affinity(as_sequence(x), block.softmax)[0]
        maps[x.shape[1]] = affinity.cpu().numpy()
    return maps


# From lesion to lesion


def lesion_attention(network: nn.Module, slices: SliceDataset) -> pd.DataFrame:
    """A row for each slice with several lesions, and scale: means over its pairs.

    Columns are those of `mscf.evaluation.lesion_attention.pair_rows` and who it is. A
    slice in which no pair has enough other places to compare with gives no row.

    Raises:
        SettingsError: a network without spatial context.
    """
    rows = []
    for i in tqdm(range(len(slices)), desc="lesions", leave=False, disable=None):
        entry = slices.index.iloc[i]
        labels = slices.store.masks[entry["row"]]
        lesions = lesions_of(labels)
        if len(lesions) < 2:
            continue
        for block, x in block_inputs(network, slices[i][0], "spatial"):
            pairs = pair_rows(labels, lesions, *lesion_maps(block, x, labels, lesions))
            if pairs:
                rows.append({
                    **entry[["case", "patient", "slice"]], "channels": x.shape[1],
                    "lesions": len(lesions), "pairs": len(pairs),
                    **pd.DataFrame(pairs).mean(),
                })  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def lesion_maps(
    block: SpatialContext,
    x: Tensor,
    labels: NDArray[np.uint8],
    lesions: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What each lesion gives to each pixel, and gets from it: ``(K, H, W)`` both.

    A lesion asks with all its pixels alike; a pixel shares what its position gets with
    the position's other pixels. What pixels outside of the liver give is NaN.
    """
    shape = tuple(x.shape[-2:])
    covered = pooled(lesions, shape).flatten(1).to(x.device)  # (K, N)
    asking = covered / covered.sum(dim=1, keepdim=True)
    liver = pooled(labels[None] >= LIVER, shape).flatten()
    touched = liver.nonzero()[:, 0].to(x.device)
    given = torch.zeros_like(covered)
    got = torch.full_like(covered, torch.nan)
    with torch.no_grad():
        for positions in touched.split(AT_A_TIME):
            rows = attention_rows(block, x, positions)[0].double()  # (P, N)
            given += asking[:, positions] @ rows
            got[:, positions] = covered @ rows.mT
    pixels = labels.size / covered.shape[1]  # of a position
    gives, gets = (
        F.interpolate(values.unflatten(1, shape)[None], labels.shape)[0].cpu().numpy()
        for values in (given / pixels, got)
    )
    return gives, gets


def with_several_lesions(slices: SliceDataset, n: int) -> SliceDataset:
    """The slices with several lesions, or ``n`` of them spread evenly over all."""
    rows = slices.index.loc[slices.index["lesions"] > 1, "row"].to_numpy()
    step = max(1, -(-len(rows) // n))
    return SliceDataset(slices.store, rows[::step], slices.window)


def pooled(masks: NDArray[np.bool_], shape: tuple[int, int]) -> Tensor:
    """The part of each position of a grid that each mask covers: ``(K, h, w)``."""
    return F.adaptive_avg_pool2d(torch.from_numpy(masks).double(), shape)


# What is kept of a run


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
    network: nn.Module, slices: SliceDataset, chosen: Sequence[Mapping[str, Pixel]]
) -> Attention:
    """What pixels of each slice look at, and its channel maps.

    ``chosen``: for each slice names and pixels that ask, such as `landmarks` gives.

    Raises:
        SettingsError: a pixel outside its slice; a network without these contexts.
    """
    images = [slices[i][0] for i in range(len(slices))]
    looks = [
        attention_from(network, image, list(pixels.values()))
        for image, pixels in zip(images, chosen, strict=True)
    ]
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
        masks = {"tumour": labels == TUMOUR, "liver": labels == LIVER}
        masks["rest"] = labels < LIVER
        for channels, rows in seen.rows.items():
            weights = rows[a].astype(float) / rows[a].astype(float).sum()
            parts = pooled(np.stack(list(masks.values())), weights.shape).numpy()
            on = dict(zip(masks, (100 * parts * weights).sum(axis=(1, 2)), strict=True))
            table.append({
                "case": seen.case[i], "slice": seen.slice[i], "asks": name,
                "channels": channels, **on,
                **{f"{n}, even": 100 * m.mean() for n, m in masks.items()},
                "entropy": row_entropy(weights.ravel()) / np.log(weights.size),
            })  # fmt: skip
    return pd.DataFrame(table)


def with_most_lesions(slices: SliceDataset, n: int = 3) -> SliceDataset:
    """Slices of ``n`` patients with most lesions, one of each: by the truth alone."""
    most = slices.index.sort_values(
        ["lesions", "stored_tumour_px"], ascending=False, kind="stable"
    ).drop_duplicates("patient")
    return SliceDataset(slices.store, most["row"].to_numpy()[:n], slices.window)


def landmarks(hu: NDArray[np.int16], labels: NDArray[np.uint8]) -> dict[str, Pixel]:
    """Pixels to ask: the innermost of the two largest lesions, of liver and of bone.

    Raises:
        InputError: no lesion in the slice.
    """
    lesions = lesions_of(labels)
    if not len(lesions):
        raise InputError(
            "the slice", "must have a tumour that can ask", 0, "no-tumour",
            "choose another slice",
        )  # fmt: skip
    regions = {"lesion": lesions[0]}
    if len(lesions) > 1:
        regions["other lesion"] = lesions[1]
    regions |= {"liver": labels == LIVER, "bone": hu > BONE}
    return {name: innermost(mask) for name, mask in regions.items() if mask.any()}


def innermost(mask: NDArray[np.bool_]) -> Pixel:
    """The pixel of a mask that is farthest from its border, of several the first."""
    depth = distance_transform_edt(mask)
    row, column = np.unravel_index(depth.argmax(), mask.shape)
    return int(row), int(column)


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
    if not all(any(getattr(b, name, None) for b in blocks) for name in BRANCHES):
        return
    table = lesion_attention(network, slices)
    with replacing(folder / "lesion_attention.csv") as file:
        file.write(as_csv(table))
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
            "examples", "keep lesion_attention.csv alone",
        )  # fmt: skip
    seen = look(network, slices, chosen)
    plain = ("case", "slice", "hu", "labels", "of", "name", "pixel")
    arrays = {name: getattr(seen, name) for name in plain}
    for kind in ("rows", "affinity"):
        arrays |= {f"{kind}{c}": values for c, values in getattr(seen, kind).items()}
    with replacing(path, text=False) as file:
        np.savez_compressed(file, **arrays)


def read_attention(path: Path) -> Attention:
    """What `write_attention` kept.

    Raises:
        InputError: there is none, or it is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in kept.files}
        scales = {kind: take_scales(arrays, kind) for kind in ("rows", "affinity")}
        seen = Attention(**arrays, **scales)
        check_parts(seen)
    except (*DAMAGED, TypeError) as error:
        raise InputError(
            path, "must be the attention kept of a run", error, "attention-file",
            "keep the run again: data_scripts/keep_run.py",
        ) from error  # fmt: skip
    return seen


def take_scales(arrays: dict[str, NDArray], kind: str) -> dict[int, NDArray]:
    """Takes ``<kind><channels>`` out of a file's arrays, fewest channels first."""
    names = [name for name in arrays if name.startswith(kind)]
    found = {int(name.removeprefix(kind)): arrays.pop(name) for name in names}
    return dict(sorted(found.items()))


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


def read_lesion_attention(path: Path) -> pd.DataFrame:
    """A kept ``lesion_attention.csv``.

    Raises:
        InputError: there is none, or it is something else.
    """
    try:
        table = pd.read_csv(path, dtype={"case": str, "patient": str})
        table = table.astype(dict.fromkeys(PAIR, float))[list(COLUMNS)]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            path, "must be the lesions' attention kept of a run", error,
            "lesion-attention", "keep the run again: data_scripts/keep_run.py",
        ) from error  # fmt: skip
    return as_named(table, ("case", "patient"))
