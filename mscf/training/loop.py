"""Training, from the first slice to the evaluated network, in one sitting.

Section 3.1 of the paper: Adam, plain cross entropy, the rate and the end by
``schedule.py``; the weights with the lowest training loss are the result (open point
23). What a run leaves behind and how it goes on again is ``state.py``'s, how several
processes make one step ``distributed.py``'s, what ends a run early ``stopping.py``'s
and ``finite.py``'s.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam
from torch.utils.data import DataLoader

from mscf.data.dataset import SliceDataset, begin, make_loader, three_channels
from mscf.data.processes import must_not_be_imported
from mscf.data.store import open_store
from mscf.evaluation.tables import read_rows
from mscf.training.batch_norm import move_once_a_step
from mscf.training.distributed import Ranks, joined
from mscf.training.finite import BAD, Watch, gradient_norms
from mscf.training.launch import launch
from mscf.training.memory import (
    memory_errors,
    room_for,
    step_memory,
    worker_errors,
)
from mscf.training.passes import passes, precision
from mscf.training.progress import shown
from mscf.training.randomness import choose_kernels, seed_everything
from mscf.training.result import write_result
from mscf.training.run_folder import claimed, read_record, same_everywhere
from mscf.training.settings import TrainSettings, joined_processes
from mscf.training.silence import drawn_pixels
from mscf.training.start import digest_of, split_slices, starting_network
from mscf.training.state import RunState
from mscf.training.stopping import StopRequest, stop_requests
from mscf.training.watch import context_facts


@dataclass(frozen=True)
class Run:
    """What a finished run left in its folder."""

    folder: Path
    history: pd.DataFrame  # a row an epoch: loss, learning rate
    rows: pd.DataFrame  # a row a test slice: the columns of per_slice.csv
    record: dict  # run.json


def train(settings: TrainSettings) -> Run:
    """Trains one method on one split, evaluates it on the fold left out.

    Several processes are started here, where torchrun has not done so already.

    Raises:
        SettingsError: the settings do not fit the store.
        InputError: the store cannot be split so.
        DownloadError: ImageNet weights were required and cannot be had.
        StorageError: the run's folder cannot be written.
        CheckpointError: the folder holds another run, or a damaged one; the store is no
            longer as it was prepared.
        NumericalError: a number is not finite; the last good checkpoint stays.
        MemoryLimitError: a step does not fit.
        DistributedError: one of several processes is lost.
        Stopped: a signal asked for it; the state is saved.
    """
    must_not_be_imported()
    settings = settings.resolved()
    with stop_requests(settings.out) as stop:
        if settings.processes > 1 and not joined_processes():
            split_slices(settings, open_store(settings.data))  # refuses before launch
            launch(settings)
        else:
            with joined(settings, stop) as ranks:
                train_here(settings, ranks, stop)
    out = settings.out
    history, rows = pd.read_csv(out / "history.csv"), read_rows(out / "per_slice.csv")
    return Run(out, history, rows, read_record(out / "run.json"))


def train_here(settings: TrainSettings, ranks: Ranks, stop: StopRequest) -> None:
    """A whole run, in each of its processes; the first one writes."""
    store = open_store(settings.data)
    training, test = split_slices(settings, store)
    store.verify([*training.index["row"], *test.index["row"]])
    ranks.agree("settings, data and code", same_everywhere(settings, store))
    with claimed(settings.out) if ranks.first else contextlib.nullcontext():
        choose_kernels(settings)
        model = starting_network(settings, training)
        ranks.agree("weights at the start", digest_of(model))
        if settings.sync_batch_norm:
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        if settings.accumulate > 1:
            move_once_a_step(model, settings.accumulate)
        with memory_errors(settings):
            model.to(settings.device, memory_format=torch.channels_last)
            optimizer = Adam(model.parameters(), settings.learning_rate, fused=True)
            state = RunState.open(settings, store, model, optimizer, ranks)
        fit(training, state, stop)
        stop.obey()
        state.load_best()
        with precision(settings), memory_errors(settings):
            write_result(test, state)


def fit(training: SliceDataset, state: RunState, stop: StopRequest) -> None:
    """Epoch after epoch until the schedule or ``epochs`` ends it."""
    settings, ranks, model = state.settings, state.ranks, state.model
    slices_a_pass = settings.slices_a_pass
    parts = settings.accumulate  # of a batch that this process forwards
    loader = make_loader(
        training, settings.batch_size, workers=settings.workers,
        parts=ranks.world * parts,
        own=range(ranks.rank * parts, (ranks.rank + 1) * parts),
        pinned=settings.device.type == "cuda",
    )  # fmt: skip
    with precision(settings), memory_errors(settings):
        images = first_images(training, settings)
        needed = step_memory(model, images[:1], slices_a_pass)
    if tight := room_for(settings, needed):
        state.log.warn(tight)
    stop.at_once = ranks.world == 1  # one of several alone would leave the others
    with memory_errors(settings, needed), worker_errors(loader, state):
        network = passes(model, images, settings)
        while not state.ended:
            loader.batch_sampler.set_position(state.position.epoch, state.position.step)
            train_one_epoch(network, loader, state, stop)
            facts = context_facts(model, images, slices_a_pass) if ranks.first else {}
            state.save_epoch(facts)


def train_one_epoch(
    network: Callable[[Tensor], Tensor],
    loader: DataLoader,
    state: RunState,
    stop: StopRequest,
) -> None:
    """One pass over the training slices, or what is left of it.

    Raises:
        NumericalError: a number is not finite; no weight has changed by it.
        Stopped: a signal asked for it; the state is saved.
    """
    settings, ranks, optimizer = state.settings, state.ranks, state.optimizer
    device = settings.device
    state.model.train()
    watch = Watch(state, loader.dataset)
    loaded = begin(loader)  # gives the parts of the steps below, in their order
    for step in shown(loader.batch_sampler.steps(), state):
        loss = torch.zeros((), device=device)
        drawn = torch.zeros((), device=device)
        n_own = 0
        for part, keys in step.parts.items():  # of several the gradients accumulate
            seed_everything(settings.seed, state.position.epoch, step.number, part)
            images, targets = (t.to(device, non_blocking=True) for t in next(loaded))
            outputs = network(three_channels(images))
            share = len(keys) / step.n_slices  # 1 where the step has no other part
            part_loss = cross_entropy(outputs, targets) * share
            part_loss.backward()
            loss += part_loss.detach()  # on the device: .item() would wait here
            drawn += drawn_pixels(outputs)
            n_own += len(keys)
        norms = gradient_norms(state.model)
        totals = watch.totals(loss, drawn, norms, stop.asked)
        ranks.arrived(f"{state.position.epoch}:{step.number}")
        ranks.add_up(state.model, n_own / step.n_slices, totals)
        # GradScaler's word to fused Adam, which no other heeds: at 1 nothing changes.
        optimizer.found_inf = totals[BAD:].sum().clamp(max=1)
        optimizer.step()
        optimizer.zero_grad()  # here: no gradients lie about during the next forward
        stop.at_once = False  # from now on there is something to lose
        watch.look(step, loss, norms, totals)
        if watch.wished:  # by a signal in one of the processes, or by the clock
            watch.rest()
            state.save_step()
            watch.wished = False  # late totals would wish it again at the next step
            if watch.stop:
                raise state.stopped(stop.name)
    watch.rest()


def first_images(training: SliceDataset, settings: TrainSettings) -> Tensor:
    """The first batch as stored: for memory estimate, CUDA graph and context facts."""
    n = min(settings.batch_size, len(training))
    images = torch.stack([training[i][0] for i in range(n)])
    return three_channels(images).to(settings.device)


def cross_entropy(outputs: Tensor | tuple[Tensor, ...], targets: Tensor) -> Tensor:
    """The "basic and plain cross entropy loss" over one tumour logit, a mean.

    The paper does not say that it is one (open point 1). DANet gives three outputs in
    training; their losses are added, as in its code.
    """
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return sum(
        F.binary_cross_entropy_with_logits(logits.float(), targets)
        for logits in outputs
    )
