"""What the page on attribution shows of one run: maps, and the checks on them.

``attribution.npz`` keeps it for phantoms, so that the book need not compute for
minutes; a run's own notebook computes it anew. n slices, each the one with most tumour
of its test patient: chosen by the truth alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from mscf.data.dataset import SliceDataset, three_channels
from mscf.data.volume import LIVER, TUMOUR
from mscf.errors import InputError, SettingsError
from mscf.evaluation_mode import evaluation_mode
from mscf.kept.archives import arrays_of, write_arrays
from mscf.kept.finished_run import open_run
from mscf.kept.parameters import check_at_least
from mscf.models import build
from mscf.visualisation.attribution import (
    cascade,
    cell_order,
    deletion_and_insertion,
    grad_cam,
    integrated_gradients,
    occlusion,
    rank_correlation,
)

RANDOM_ORDERS = 4  # a slice, averaged
REFERENCES = {"region": "the true tumour", "random": "random"}  # orders of no map
ALWAYS = (  # what `attributions` gives beside the maps
    "case", "hu", "truth", "probability", "maps", "stages", "orders", "correlation",
    "correlation_of_sizes", "block", "deletion", "insertion", "missed",
)  # fmt: skip
Kept = dict[str, NDArray]


def attributions_of_run(run: Path, n: int, data: Path | str | None = None) -> Kept:
    """`attributions` of ``n`` test slices of a finished run, on the CPU.

    ``data``: where its store lies now, see `open_run`.

    Raises:
        CheckpointError: the run is not finished, its store or weights are others.
        SettingsError: its method has no context blocks.
        InputError: a slice has no tumour, or no liver beside it.
    """
    network, untrained, slices = opened(run, n, data)
    return attributions(network, untrained, slices)


def write_attributions(run: Path, n: int, path: Path, data: Path | None = None) -> None:
    """`attributions_of_run` as a file; of phantoms only, as it holds voxels.

    Raises:
        SettingsError: the run's data are of people. Otherwise as there.
    """
    network, untrained, slices = opened(run, n, data)
    if not slices.store.phantoms:
        raise SettingsError(
            "attributions", "must be 0: voxels are kept of phantoms only", n,
            "attributions",
        )  # fmt: skip
    write_arrays(path, attributions(network, untrained, slices))


def read_attributions(path: Path) -> Kept:
    """What ``write_attributions`` wrote.

    Raises:
        InputError: there is none, or it is something else.
    """
    with arrays_of(
        path, "must hold attributions", "attribution-file",
        "keep a finished run with --attributions: data_scripts/keep_run.py",
    ) as kept:  # fmt: skip
        missing = set(ALWAYS) - kept.keys() or set(named_maps(kept)) - kept.keys()
        if missing:
            raise ValueError(f"no {min(missing)}")
    return kept


def named_maps(kept: Kept) -> list[str]:
    """The arrays that ``maps`` speaks of, trained and untrained."""
    return [f"{start}{name}" for start in ("", "untrained_") for name in kept["maps"]]


def opened(
    folder: Path, n: int, data: Path | str | None = None
) -> tuple[nn.Module, nn.Module, SliceDataset]:
    """The network of a finished run, one before any training, and ``n`` test slices."""
    run = open_run(folder, data)
    with torch.random.fork_rng():
        torch.manual_seed(run.settings.seed + 1)  # not its own: it began with that
        untrained = build(run.settings.method)
    run.check_contexts(untrained)
    return run.network(), untrained, most_tumour(run.test, n)


def most_tumour(slices: SliceDataset, n: int) -> SliceDataset:
    """The slice with most tumour of each of the first ``n`` patients who have one.

    A slice in which the whole liver is tumour is passed over: its grey is the baseline.

    Raises:
        SettingsError: ``n`` is below 1.
        InputError: there is no such slice.
    """
    check_at_least(1, examples=n)
    index = slices.index.query("stored_tumour_px > 0 and liver_px > tumour_px")
    if index.empty:
        raise InputError(
            slices.store.folder, "must have test slices with tumour and liver", 0,
            "no-tumour", "choose another fold or split",
        )  # fmt: skip
    chosen = index.groupby("patient")["stored_tumour_px"].idxmax()
    rows = np.sort(index["row"].loc[chosen])[:n]
    return SliceDataset(slices.store, rows, slices.window)


def attributions(
    network: nn.Module, untrained: nn.Module, slices: SliceDataset
) -> Kept:
    """All that the page shows of these slices.

    ``maps`` names the methods. Each has an array of that name ``(n, h, w)``, each slice
    in multiples of its largest absolute value, and ``untrained_<name>`` of the network
    without training. ``correlation`` ``(n, stages, maps)`` is Spearman's of a map with
    that of the network whose parts down to this of ``stages`` are untrained,
    ``correlation_of_sizes`` that of their absolute values, and ``block`` ``(n,
    blocks)`` that of Grad-CAM before and after a context block.
    ``deletion`` and ``insertion`` ``(n, orders, shares)`` are tumour probabilities;
    ``missed`` is what integrated gradients do not add up to.

    Raises:
        InputError: a slice has no tumour, or no liver beside it.
    """
    with evaluation_mode(network), evaluation_mode(untrained):
        stages = [name for name, _ in untrained.named_children()]
        progress = tqdm(
            total=len(slices) * (len(stages) + 2), desc="attributions", leave=False,
            disable=not sys.stderr.isatty(),
        )  # fmt: skip
        with progress:
            each = [
                of_slice(network, untrained, slices, i, progress)
                for i in range(len(slices))
            ]
    together = {name: np.stack([one[name] for one in each]) for name in each[0]}
    names = [name for name in together if f"untrained_{name}" in together]
    return together | {
        "maps": np.array(names),
        "stages": np.array(stages[::-1]),
        "orders": np.array([*names, *REFERENCES]),
    }


def of_slice(
    network: nn.Module,
    untrained: nn.Module,
    slices: SliceDataset,
    i: int,
    progress: tqdm,
) -> dict[str, NDArray | float]:
    """One slice of `attributions`, without the names."""
    image, region, baseline = explained(slices, i)
    maps, missed = all_maps(network, image, region, baseline)
    progress.update()
    correlation, of_sizes = [], []
    for _, mixed in cascade(network, untrained):
        others, _ = all_maps(mixed, image, region, baseline)
        both = [(maps[name], others[name]) for name in maps]
        correlation.append([rank_correlation(*pair) for pair in both])
        of_sizes.append([rank_correlation(*np.abs(pair)) for pair in both])
        progress.update()
    curves = []  # (2, shares) an order
    for orders in cell_orders(maps, region, seed=i).values():
        several = [
            deletion_and_insertion(network, image, region, baseline, order)
            for order in orders
        ]
        curves.append(np.mean(several, axis=0))
    deletion, insertion = np.stack(curves, axis=1)
    progress.update()
    row = slices.index["row"].iat[i]
    with torch.no_grad():
        probability = network(image)[0, 0].sigmoid().numpy()
    return {
        "case": slices.index["case"].iat[i],
        "hu": slices.store.images[row],
        "truth": slices.store.masks[row] == TUMOUR,
        "probability": (probability * 255).round().astype(np.uint8),
        **{name: small(values) for name, values in maps.items()},
        **{f"untrained_{name}": small(values) for name, values in others.items()},
        "correlation": np.array(correlation),
        "correlation_of_sizes": np.array(of_sizes),
        "block": np.array(list(before_and_after(maps))),
        "deletion": deletion,
        "insertion": insertion,
        "missed": missed,
    }


def explained(slices: SliceDataset, i: int) -> tuple[Tensor, Tensor, float]:
    """One slice as the network takes it, its tumour, and the grey of its liver.

    Against that grey a tumour is what stands out; against black it is bright.
    """
    image, target = slices[i]
    labels = slices.store.masks[slices.index["row"].iat[i]]
    for what, label in (("tumour", TUMOUR), ("liver beside its tumour", LIVER)):
        if not (labels == label).any():
            raise InputError(
                slices.name(i), f"must show {what}", "no such pixel",
                "attribution-slice", "choose another slice",
            )  # fmt: skip
    baseline = float(image[0][torch.from_numpy(labels == LIVER)].median())
    return three_channels(image[None]).contiguous(), target[0] > 0, baseline


def all_maps(
    network: nn.Module, image: Tensor, region: Tensor, baseline: float
) -> tuple[dict[str, NDArray], float]:
    """Every method's map of one slice, and what integrated gradients miss.

    Integrated gradients are summed over cells of 2 x 2 pixels, which keeps their sum.
    """
    maps = {}
    for when in ("before", "after"):
        for k, block in enumerate(network.contexts):
            maps[f"{when}{k}"] = grad_cam(
                network, block, image, region, before=when == "before"
            )
    pixels, missed = integrated_gradients(network, image, region, baseline)
    cells = F.avg_pool2d(torch.from_numpy(pixels)[None], 2, divisor_override=1)
    maps["gradients"] = cells[0].numpy()
    window = occlusion_window(image.shape[-2])
    maps["occlusion"] = occlusion(network, image, region, baseline, window)
    return maps, missed


def occlusion_window(side: int) -> int:
    """A sixth of the side or less, by whose halves the side can be divided.

    Else the last of the cells, half a window apart, would hang over the slice's edge.
    """
    return 2 * max(n for n in range(1, side // 12 + 1) if side % n == 0)


def cell_orders(
    maps: dict[str, NDArray], region: Tensor, seed: int
) -> dict[str, list[NDArray[np.int64]]]:
    """In which orders to take cells: each map's, the truth's own, and random ones."""
    size = tuple(region.shape)
    random = np.random.default_rng(seed)
    orders = {name: [cell_order(values, size)] for name, values in maps.items()}
    truth = cell_order(region.numpy(), size)
    return orders | {
        "region": [truth],
        "random": [random.permutation(truth) for _ in range(RANDOM_ORDERS)],
    }


def before_and_after(maps: dict[str, NDArray]) -> Iterator[float]:
    """Rank correlation of Grad-CAM before and after each context block."""
    for name, values in maps.items():
        if name.startswith("before"):
            yield rank_correlation(values, maps[name.replace("before", "after")])


def small(values: NDArray) -> NDArray[np.float16]:
    """In multiples of the largest absolute value; zeros stay zeros."""
    return (values / (np.abs(values).max() or 1)).astype(np.float16)
