"""Slices of a store as the networks take them, and batches of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from mscf.data.augment import augment
from mscf.data.case_slices import TUMOUR
from mscf.data.store import Store

WINDOW = (-40.0, 160.0)  # HU; a usual liver window, open point 24


def windowed(hu: ArrayLike, window: tuple[float, float] = WINDOW) -> NDArray:
    """HU as float32 from 0 (at the window's lower end and below) to 1."""
    low, high = window
    scaled = (np.asarray(hu, np.float32) - np.float32(low)) / np.float32(high - low)
    return np.clip(scaled, 0, 1)


class SliceDataset(Dataset):
    """Slices of a store, windowed: image and target, both ``(1, H, W)`` float32.

    The image is scaled from [0, 1] to [-1.6, 1.6] as CE-Net does; the target is 1 in
    the tumour, 0 in liver and background. ``self[i]`` is the slice as it is,
    ``self[epoch, i]`` the one that this epoch trains on: with ``augment`` changed by
    random numbers that depend on (seed, epoch, row) alone. ``index`` are the slices'
    rows of the store's index.
    """

    def __init__(
        self,
        store: Store,
        rows: Sequence[int] | NDArray[np.int64],
        window: tuple[float, float] = WINDOW,
        augment: bool = False,
        seed: int = 0,
    ) -> None:
        self.store, self.window = store, window
        self.augment, self.seed = augment, seed
        self.index = store.index.loc[np.asarray(rows, int)]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: int | tuple[int, int]) -> tuple[Tensor, Tensor]:
        epoch, i = key if isinstance(key, tuple) else (None, key)
        row = int(self.index["row"].iat[i])
        image = torch.from_numpy(windowed(self.store.images[row], self.window))[None]
        target = torch.from_numpy(self.store.masks[row] == TUMOUR)[None].float()
        if self.augment and epoch is not None:
            random = np.random.default_rng((self.seed, epoch, row))
            image, target = augment(image, target, random)
        return image * 3.2 - 1.6, target


class Batches(Sampler):
    """Batches of an epoch: shuffled keys ``(epoch, i)``, or plain ``i`` in order.

    The order is a function of (seed, epoch). Nothing is dropped, and as a batch of one
    would break batch normalisation, the last two batches share what is left.
    """

    def __init__(self, n: int, batch_size: int, shuffle: bool, seed: int) -> None:
        self.n, self.batch_size = n, batch_size
        self.shuffle, self.seed = shuffle, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Which epoch comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(batch_sizes(self.n, self.batch_size))

    def __iter__(self) -> Iterator[list]:
        keys: list = list(range(self.n))
        if self.shuffle:
            random = np.random.default_rng((self.seed, self.epoch))
            keys = [(self.epoch, int(i)) for i in random.permutation(self.n)]
        start = 0
        for size in batch_sizes(self.n, self.batch_size):
            yield keys[start : start + size]
            start += size


def batch_sizes(n: int, batch_size: int) -> list[int]:
    """Sizes that add up to ``n``; the last two are as equal as they can be."""
    sizes = [batch_size] * (n // batch_size)
    if rest := n % batch_size:
        rest += sizes.pop() if sizes else 0
        halves = [rest - rest // 2, rest // 2]
        sizes += halves if rest > batch_size else [rest]
    return sizes


def make_loader(
    slices: SliceDataset, batch_size: int, shuffle: bool, workers: int = 0
) -> DataLoader:
    """Batches ``(B, 1, H, W)`` of images and targets, the same with any ``workers``."""
    return DataLoader(
        slices,
        batch_sampler=Batches(len(slices), batch_size, shuffle, slices.seed),
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        multiprocessing_context="spawn" if workers else None,
    )


def three_channels(images: Tensor) -> Tensor:
    """``(B, 1, H, W)`` as ``(B, 3, H, W)``: the same slice three times, as in CE-Net.

    Its loader reads grey pictures in colour mode (open point 3).
    """
    return images.expand(-1, 3, -1, -1)
