"""Slices a second that one core reads, windows and augments, at 448.

The plain form is what most published loaders do: a slice as three channels of float32,
turned by torchvision's v2 classes on images and masks. Predicted: 104 a second for that
one, 200 or more for ours, which carries one channel and samples it once.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from benchmarks.racing import figure, measured, race
from mscf.data.dataset import SliceDataset, begin, make_loader
from mscf.data.phantom import make_phantoms
from mscf.data.processes import cores
from mscf.data.store import Store, prepare

THREADS = 1
PLAIN = v2.Compose([
    v2.RandomHorizontalFlip(),
    v2.RandomVerticalFlip(),
    v2.RandomApply([v2.RandomAffine(0, (0.1, 0.1), (0.9, 1.1))]),
])  # fmt: skip


def plain(slices: SliceDataset, keys: list[int]) -> None:
    """Three channels through v2."""
    for i in keys:
        image, mask = slices[i]
        PLAIN(tv_tensors.Image(image.expand(3, -1, -1)), tv_tensors.Mask(mask))


def ours(slices: SliceDataset, keys: list[int]) -> None:
    """One channel, as `mscf train` reads it in its first epoch."""
    for i in keys:
        slices[0, i]


def phantom_store(folder: Path, size: int) -> Store:
    """Two phantoms; loading asks for no more than their slices."""
    cases = make_phantoms(folder / "cases", 2, seed=0, size=128, processes=1)
    return prepare(cases, folder / "store", size=size, processes=1)


def with_workers(size: int, batch: int, batches: int) -> dict:
    """Slices a second of the loader with a worker a core, as a GPU's training reads."""
    workers = min(16, cores())
    with tempfile.TemporaryDirectory() as folder:
        store = phantom_store(Path(folder), size)
        rows = list(range(len(store.index))) * (1 + batches // 4)
        slices = SliceDataset(store, rows[: batches * batch], augment=True)
        loader = make_loader(
            slices, batch, workers=workers, pinned=torch.cuda.is_available()
        )
        loaded = begin(loader)
        for _ in range(batches // 4):  # the workers import first
            next(loaded)
        start = time.perf_counter()
        n = sum(len(images) for images, _ in loaded)
        rate = n / (time.perf_counter() - start)
    what = f"loading with augmentation, {size}, {workers} workers"
    return measured(what, rate, "slices a second", workers=workers)


def figures(quick: bool) -> list[dict]:
    """Ratio, and slices a second a core."""
    size, rounds, n = (192, 1, 8) if quick else (448, 7, 96)
    with tempfile.TemporaryDirectory() as folder:
        store = phantom_store(Path(folder), size)
        slices = SliceDataset(store, range(len(store.index)), augment=True)
        keys = [i % len(slices) for i in range(n)]
        forms = {
            "plain": lambda: plain(slices, keys),
            "ours": lambda: ours(slices, keys),
        }
        times = race(forms, rounds)
    found = figure(f"loading and augmenting, {size}", times, ("plain", "ours"))
    rate = n / found["seconds"]["ours"]["median"]
    what = f"loading with augmentation, slices of {size} a second a core"
    return [found, measured(what, rate, "slices a second", 100)]
