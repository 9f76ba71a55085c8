"""Slices of a store as the networks take them, and batches of them."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnContext, SpawnProcess

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from mscf.data.augment import augment
from mscf.data.store import Store
from mscf.data.volume import TUMOUR

WINDOW = (-40.0, 160.0)  # HU; a usual liver window, open point 24


def windowed(hu: ArrayLike, window: tuple[float, float] = WINDOW) -> NDArray:
    """HU as float32 from 0 (at the window's lower end and below) to 1."""
    low, high = window
    scaled = (np.asarray(hu, np.float32) - np.float32(low)) / np.float32(high - low)
    return np.clip(scaled, 0, 1)


def as_cenet(image: Tensor) -> Tensor:
    """A windowed image, [0, 1], in CE-Net's range, [-1.6, 1.6] (open point 2)."""
    return image * 3.2 - 1.6


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
        return as_cenet(image), target

    def name(self, key: int | tuple[int, int]) -> str:
        """Case and slice of a key."""
        entry = self.index.iloc[key[1] if isinstance(key, tuple) else key]
        return f"{entry['case']}:{entry['slice']}"


@dataclass(frozen=True)
class Step:
    """One optimiser step: how many slices it sees, and which of them are one's own."""

    number: int  # in its epoch
    n_slices: int  # of all processes
    parts: dict[int, list]  # number of the part to its keys; an empty part is left out


class Batches(Sampler):
    """The steps of an epoch: keys ``(epoch, i)``, shuffled.

    The order is a function of (seed, epoch). Each step's batch is cut into ``parts``,
    as even as can be, of which this process forwards its ``own`` one after the other:
    two processes with a part each see what one process with two parts sees. Iterating
    gives these parts, from the step of ``set_position`` on. Nothing is dropped, and as
    a batch of one would break batch normalisation, the last two batches share what is
    left (open point 27).
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        seed: int,
        parts: int = 1,
        own: range = range(1),
    ) -> None:
        self.n, self.batch_size, self.seed = n, batch_size, seed
        self.parts, self.own = parts, own
        self.epoch, self.first_step = 0, 0

    def set_position(self, epoch: int, step: int = 0) -> None:
        """Which epoch comes next, and the step in it to begin with."""
        self.epoch, self.first_step = epoch, step

    def steps(self) -> list[Step]:
        """The steps that are left of this epoch."""
        random = np.random.default_rng((self.seed, self.epoch))
        keys = [(self.epoch, int(i)) for i in random.permutation(self.n)]
        steps, start = [], 0
        for number, size in enumerate(batch_sizes(self.n, self.batch_size)):
            parts = cut_evenly(keys[start : start + size], self.parts)
            own = {part: parts[part] for part in self.own if parts[part]}
            steps.append(Step(number, size, own))
            start += size
        return steps[self.first_step :]

    def __len__(self) -> int:
        return sum(len(step.parts) for step in self.steps())

    def __iter__(self) -> Iterator[list]:
        for step in self.steps():
            yield from step.parts.values()


def cut_evenly(keys: list, parts: int) -> list[list]:
    """The keys in ``parts`` runs whose lengths differ by one at most, longer first."""
    least, longer = divmod(len(keys), parts)
    ends = np.cumsum([least + (part < longer) for part in range(parts)]).tolist()
    return [keys[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def batch_sizes(n: int, batch_size: int) -> list[int]:
    """Sizes that add up to ``n``; the last two are as equal as they can be."""
    sizes = [batch_size] * (n // batch_size)
    if rest := n % batch_size:
        rest += sizes.pop() if sizes else 0
        halves = [rest - rest // 2, rest // 2]
        sizes += halves if rest > batch_size else [rest]
    return sizes


def make_loader(
    slices: SliceDataset,
    batch_size: int,
    workers: int = 0,
    parts: int = 1,
    own: range = range(1),
    pinned: bool = False,
) -> DataLoader:
    """Parts ``(B, 1, H, W)`` of images and targets, the same with any ``workers``.

    For ``parts`` and ``own`` see `Batches`; left alone, a part is a batch. ``pinned``:
    in memory that a GPU reads by itself; asked for, it makes a context on the GPU.
    """
    return DataLoader(
        slices,
        batch_sampler=Batches(len(slices), batch_size, slices.seed, parts, own),
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=pinned,
        multiprocessing_context=LoadingContext() if workers else None,
    )


class LoadingProcess(SpawnProcess):
    """A process that loads slices; it does not hear when it is asked to end."""

    @staticmethod
    def _Popen(process: SpawnProcess) -> object:  # noqa: N802 (its name there)
        """Asked to end it is ended; else an exit would wait for it for ever."""
        started = SpawnProcess._Popen(process)
        started.terminate = started.kill
        return started


class LoadingContext(SpawnContext):
    """Starts such processes; by no fork, which would break the threads of torch."""

    Process = LoadingProcess


def begin(loader: DataLoader) -> Iterator[tuple[Tensor, Tensor]]:
    """An iterator over a loader, whose workers never hear a signal that asks to stop.

    Ctrl-C reaches every process of a terminal; the one that trains decides. They are
    born with these signals held back: what they set themselves would come too late.
    """
    if not loader.num_workers:
        return iter(loader)
    resource_tracker.ensure_running()  # else started within, and it lifts the mask
    stops = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    try:
        return iter(loader)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def three_channels(images: Tensor) -> Tensor:
    """``(B, 1, H, W)`` as ``(B, 3, H, W)``: the same slice three times, as in CE-Net.

    Its loader reads grey pictures in colour mode (open point 3).
    """
    return images.expand(-1, 3, -1, -1)
