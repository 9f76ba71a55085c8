"""One slice of which any pixel can be asked where it looks: computed, kept, as a page.

``any_pixel.npz`` holds the slice's voxels, so it is kept of phantoms only. A page for a
slice of one's own is a file of one's own.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch import nn

from mscf.data.dataset import SliceDataset
from mscf.data.volume import LIVER
from mscf.errors import InputError, SettingsError
from mscf.kept.archives import arrays_of, take_scales, write_arrays
from mscf.kept.asking import (
    BONE,
    Pixel,
    attention_grid,
    in_cells,
    regions,
    with_most_lesions,
)
from mscf.kept.attentions import lies_on
from mscf.kept.finished_run import open_run
from mscf.replacing import write_text
from mscf.visualisation.ask_page import AskedScale, AskedSlice, ask_page, whole_page

AIR = -500  # HU; below it there is nothing but air
OF_SCALE = ("positions", "alpha", "looks", "highest", "shares")


def ask_all(network: nn.Module, slices: SliceDataset) -> AskedSlice:
    """Asks a grid of pixels of the first of the slices.

    Raises:
        SettingsError: a slice that does not divide; a network without spatial context.
    """
    image, entry = slices[0][0], slices.index.iloc[0]
    labels = slices.store.masks[entry["row"]]
    pixels, looks = attention_grid(network, image)
    blocks = [b.spatial for b in network.contexts if getattr(b, "spatial", None)]
    scales = []
    for block, (channels, rows) in zip(blocks, looks.items(), strict=True):
        averaged = in_cells(rows)
        highest = averaged.max(axis=(-2, -1), keepdims=True)
        scales.append(
            AskedScale(
                channels, np.array(rows.shape[-2:]), float(block.alpha.detach()),
                (255 * averaged / highest).round().astype(np.uint8),
                highest[..., 0, 0] * rows[0, 0].size,
                lies_on(rows, labels).astype(np.float32),
            )
        )  # fmt: skip
    hu = slices.store.images[entry["row"]]
    chosen = choose(hu, labels, pixels)
    return AskedSlice(
        str(entry["case"]), int(entry["slice"]), hu, labels,
        np.array(slices.window, float), pixels, np.array(list(chosen)),
        np.array(list(chosen.values())), tuple(scales),
    )  # fmt: skip


def choose(
    hu: NDArray[np.int16], labels: NDArray[np.uint8], pixels: NDArray[np.int64]
) -> dict[str, Pixel]:
    """Of a grid of pixels the innermost of each tissue, as row and column of the grid.

    Tissues too small for any pixel of the grid to lie in them are left out.
    """
    outside = hu < AIR
    rest = ~outside & (labels < LIVER) & (hu <= BONE)
    masks = regions(hu, labels) | {"other tissue": rest, "air": outside}
    chosen = {}
    for name, mask in masks.items():
        depth = distance_transform_edt(mask)[tuple(np.moveaxis(pixels, -1, 0))]
        if depth.any():
            row, column = np.unravel_index(depth.argmax(), depth.shape)
            chosen[name] = int(row), int(column)
    return chosen


def asked_of_run(
    run: Path, case: str, number: int, data: Path | str | None = None
) -> AskedSlice:
    """`ask_all` of a slice of a finished run's store, by its case and its number.

    ``data``: where the store lies now, see `open_run`.

    Raises:
        CheckpointError: the run is not finished, or its store is gone or another.
        InputError: no such slice in the store. SettingsError: as `ask_all`.
    """
    opened = open_run(run, data)
    index = opened.store.index
    of_case = index[index["case"] == case]
    if of_case.empty:
        raise InputError(
            opened.store.folder, "must hold the case", case, "no-slice",
            f"choose one of its {index['case'].nunique()}, as {index['case'].iloc[0]}",
        )  # fmt: skip
    rows = of_case.loc[of_case["slice"] == number, "row"].to_numpy()
    if not len(rows):
        there = of_case["slice"]
        raise InputError(
            opened.store.folder, f"must hold that slice of {case}", number, "no-slice",
            f"it has {len(there)}, from {there.min()} to {there.max()}",
        )  # fmt: skip
    slices = SliceDataset(opened.store, rows, opened.settings.window)
    return ask_all(opened.network(), slices)


def write_page(asked: AskedSlice, path: Path) -> None:
    """A page that works from its folder, without a network; it holds the slice.

    Raises:
        StorageError: disk full or no permission; an older file is untouched.
    """
    title = f"Ask any pixel: {asked.case}, slice {asked.slice}"
    write_text(path, whole_page(ask_page(asked), title))


def keep_any_pixel(run: Path, path: Path, data: Path | None = None) -> None:
    """Keeps the test slice with most lesions of a finished run, of phantoms only.

    ``data``: where its store lies now, see `open_run`.

    Raises:
        SettingsError: the run's data are of people; no spatial context.
        InputError: no test slice has a lesion.
        CheckpointError: the run is not finished, or its store is gone or another.
        StorageError: disk full or no permission; an older file is untouched.
    """
    opened = open_run(run, data)
    if not opened.store.phantoms:
        raise SettingsError(
            "any-pixel", "must be off: voxels are kept of phantoms only",
            opened.store.folder, "examples", "write_page makes a page of your own",
        )  # fmt: skip
    few = with_most_lesions(opened.test, 1)
    if not len(few):
        raise InputError(
            opened.store.folder, "must have a test slice with a lesion", "none",
            "no-tumour", "choose a run with another fold",
        )  # fmt: skip
    write_asked(ask_all(opened.network(), few), path)


def write_asked(asked: AskedSlice, path: Path) -> None:
    """All arrays in one file, those of a scale under ``<name><channels>``."""
    arrays = asdict(asked)
    for scale in arrays.pop("scales"):
        channels = scale.pop("channels")
        arrays |= {f"{name}{channels}": values for name, values in scale.items()}
    write_arrays(path, arrays)


def read_asked(path: Path) -> AskedSlice:
    """What `write_asked` wrote.

    Raises:
        InputError: there is none, or it is damaged.
    """
    with arrays_of(
        path, "must be a slice that was asked", "any-pixel-file",
        "keep the run of phantoms again: data_scripts/keep_run.py --any-pixel",
    ) as kept:  # fmt: skip
        arrays = {name: values[()] for name, values in kept.items()}  # text, numbers
        parts = {kind: take_scales(arrays, kind) for kind in OF_SCALE}
        scales = [
            AskedScale(c, **{kind: by_scale[c] for kind, by_scale in parts.items()})
            for c in parts["looks"]
        ]
        asked = AskedSlice(**arrays, scales=tuple(scales))
        check_parts(asked)
    return asked


def check_parts(asked: AskedSlice) -> None:
    """Raises ValueError where the arrays of a file do not fit each other."""
    grid = asked.pixels.shape[:2]
    if asked.hu.shape != asked.labels.shape or asked.hu.ndim != 2:
        raise ValueError("labels that do not fit")
    if asked.pixels.ndim != 3 or not (asked.pixels < asked.hu.shape).all():
        raise ValueError("pixels outside the slice")
    if not asked.scales or not len(asked.names):
        raise ValueError("no scale, or nothing chosen")
    if asked.chosen.shape != (len(asked.names), 2) or not (asked.chosen < grid).all():
        raise ValueError("chosen pixels outside the grid")
    for scale in asked.scales:
        if scale.looks.dtype != np.uint8 or scale.looks.ndim != 4:
            raise ValueError("rows that are no bytes")
        of_pixels = scale.looks, scale.highest, scale.shares
        if {values.shape[:2] for values in of_pixels} != {grid}:
            raise ValueError("rows that do not fit")
        if not all(np.isfinite(values).all() for values in of_pixels):
            raise ValueError("rows that are not finite")
