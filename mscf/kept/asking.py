"""Asking a network with context blocks where it looks: any pixel, lesions, channels.

The network is used as it is: hooks read what enters its blocks in one pass in
evaluation mode. The whole map M is never formed; rows are computed for the positions
that ask, some hundreds at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch import Tensor, nn
from tqdm import tqdm

from mscf.data.dataset import SliceDataset, three_channels
from mscf.data.volume import LIVER
from mscf.errors import InputError, SettingsError
from mscf.evaluation.lesion_attention import PAIR, lesions_of, pair_rows
from mscf.kept.parameters import check_at_least
from mscf.models.attention import as_sequence
from mscf.models.context import SpatialContext, attention_rows, channel_affinity
from mscf.visualisation.attention import position_of
from mscf.visualisation.feature_maps import skip_features

BONE = 250  # HU; above it there is bone, or contrast as dense
AT_A_TIME = 512  # rows of M in memory: 50 MB at 112 x 112 positions, in double
SIDE = 28  # cells along a side of a grid, at most; exactly that at 448 pixels
COLUMNS = ("case", "patient", "slice", "channels", "lesions", "pairs", *PAIR)

Pixel = tuple[int, int]  # row and column of the slice


# A slice


def block_inputs(
    network: nn.Module, image: Tensor, branch: str
) -> list[tuple[nn.Module, Tensor]]:
    """Each block's "spatial" or "channel" branch, and the ``(1, C, h, w)`` it is given.

    ``image`` ``(1, H, W)`` is a slice as `SliceDataset` gives it.

    Raises:
        SettingsError: the network has no such branch, as CE-Net.
    """
    blocks = [branch_of(b, branch) for b in getattr(network, "contexts", [])]
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


def branch_of(block: nn.Module, name: str) -> nn.Module | None:
    """The "spatial" or "channel" branch of a block; None if it is off or has no map."""
    branch = getattr(block, name, None)
    return None if getattr(branch, "eq5", "") == "identity" else branch


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
    if not all(
        isinstance(place, Integral) and 0 <= place < side
        for place, side in zip(pixel, size, strict=True)
    ):
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


# A grid of pixels


def attention_grid(
    network: nn.Module, image: Tensor
) -> tuple[NDArray[np.int64], dict[int, NDArray[np.float32]]]:
    """Where a grid of pixels looks: ``(R, C, 2)`` pixels, by channels ``(R, C, h, w)``.

    The slice is divided into cells, see `cells`; of each the pixel in its middle asks.

    Raises:
        SettingsError: a slice that does not divide; a network without spatial context.
    """
    places = [middles(length, cells(length)) for length in image.shape[-2:]]
    pixels = np.stack(np.meshgrid(*places, indexing="ij"), axis=-1)
    grid = pixels.shape[:2]
    looks = attention_from(network, image, [tuple(p) for p in pixels.reshape(-1, 2)])
    return pixels, {
        c: rows.reshape(*grid, *rows.shape[1:]) for c, rows in looks.items()
    }


def in_cells(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of M as means over cells of positions: ``(..., h, w)`` to ``(..., r, c)``.

    Raises:
        SettingsError: positions that do not divide.
    """
    *asking, height, width = rows.shape
    r, c = cells(height), cells(width)
    parts = rows.reshape(*asking, r, height // r, c, width // c)
    return parts.mean(axis=(-3, -1))


def cells(length: int) -> int:
    """The most cells, up to `SIDE`, that ``length`` places divide into evenly.

    Raises:
        SettingsError: these would be fewer than half of what there could be.
    """
    found = max(n for n in range(1, SIDE + 1) if length % n == 0)
    if 2 * found < min(length, SIDE):
        raise SettingsError(
            "size", f"must divide evenly into up to {SIDE} cells", length, "size",
            "prepare the data at another size",
        )  # fmt: skip
    return found


def middles(length: int, n: int) -> NDArray[np.int64]:
    """The place in the middle of each of ``n`` cells; of two the second."""
    return (2 * np.arange(n) + 1) * length // (2 * n)


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


def pooled(masks: NDArray[np.bool_], shape: tuple[int, int]) -> Tensor:
    """The part of each position of a grid that each mask covers: ``(K, h, w)``."""
    return F.adaptive_avg_pool2d(torch.from_numpy(masks).double(), shape)


# What to ask


def landmarks(hu: NDArray[np.int16], labels: NDArray[np.uint8]) -> dict[str, Pixel]:
    """Pixels to ask: the innermost of the two largest lesions, of liver and of bone.

    Raises:
        InputError: no lesion in the slice.
    """
    masks = regions(hu, labels)
    if "lesion" not in masks:
        raise InputError(
            "the slice", "must have a tumour that can ask", 0, "no-tumour",
            "choose another slice",
        )  # fmt: skip
    return {name: innermost(mask) for name, mask in masks.items()}


def regions(
    hu: NDArray[np.int16], labels: NDArray[np.uint8]
) -> dict[str, NDArray[np.bool_]]:
    """The two largest lesions, liver and bone, ``(H, W)`` each: those there are."""
    named = dict(zip(("lesion", "other lesion"), lesions_of(labels), strict=False))
    named |= {"liver": labels == LIVER, "bone": hu > BONE}
    return {name: mask for name, mask in named.items() if mask.any()}


def innermost(mask: NDArray[np.bool_]) -> Pixel:
    """The pixel of a mask that is farthest from its border, of several the first."""
    depth = distance_transform_edt(mask)
    row, column = np.unravel_index(depth.argmax(), mask.shape)
    return int(row), int(column)


def with_most_lesions(slices: SliceDataset, n: int = 3) -> SliceDataset:
    """Slices of ``n`` patients with most lesions, one of each: by the truth alone."""
    index = slices.index.assign(lesions=count_lesions(slices))
    most = index[index["lesions"] > 0].sort_values(
        ["lesions", "stored_tumour_px"], ascending=False, kind="stable"
    )
    rows = most.drop_duplicates("patient")["row"].to_numpy()
    return SliceDataset(slices.store, rows[:n], slices.window)


def with_several_lesions(slices: SliceDataset, n: int) -> SliceDataset:
    """The slices with several lesions, or at most ``n`` of them, evenly over all.

    Raises:
        SettingsError: ``n``, the page's ``most``, is below 1.
    """
    check_at_least(1, most=n)
    rows = slices.index["row"].to_numpy()[count_lesions(slices) > 1]
    step = max(1, -(-len(rows) // n))
    return SliceDataset(slices.store, rows[::step], slices.window)


def count_lesions(slices: SliceDataset) -> NDArray[np.int64]:
    """Lesions a slice as the store has it: resizing may have lost some."""
    masks = (slices.store.masks[row] for row in slices.index["row"])
    return np.array([len(lesions_of(labels)) for labels in masks], int)
