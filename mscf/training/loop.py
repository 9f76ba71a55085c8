"""Training, from the first slice to the evaluated network, in one sitting.

Section 3.1 of the paper: Adam, plain cross entropy, the rate and the end by
``schedule.py``; the weights with the lowest training loss are the result (open point
23). What a run leaves behind and how it goes on again is ``state.py``'s.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.utils.data import DataLoader
from tqdm import tqdm

from mscf.data.dataset import SliceDataset, make_loader, three_channels
from mscf.data.store import open_store
from mscf.errors import NumericalError
from mscf.evaluation.evaluate import evaluate
from mscf.evaluation.tables import identify, write_rows, write_summary
from mscf.training.run_folder import claimed
from mscf.training.settings import TrainSettings
from mscf.training.start import split_slices, starting_network
from mscf.training.state import RunState
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

    Raises:
        SettingsError: the settings do not fit the store.
        CheckpointError: the folder holds another run, or a damaged one; the store is no
            longer as it was prepared.
        NumericalError: the loss is not finite; the last good checkpoint stays.
    """
    settings = settings.resolved()
    store = open_store(settings.data)
    training, test = split_slices(settings, store)
    store.verify([*training.index["row"], *test.index["row"]])
    with claimed(settings.out):
        model = starting_network(settings, training)
        model.to(settings.device, memory_format=torch.channels_last)
        optimizer = Adam(model.parameters(), settings.learning_rate, fused=True)
        state = RunState.open(settings, store, model, optimizer)
        fit(training, model, optimizer, state)
        state.load_best()
        with precision(settings):
            rows = evaluate(model, test, settings.batch_size, settings.device)
        rows = identify(rows, **state.identity)
        write_rows(rows, settings.out / "per_slice.csv")
        record = state.record.content
        write_summary(rows, settings.out / "summary.json", record.get("commit", ""))
        state.finish()
    return Run(settings.out, state.history.read(), rows, record)


def fit(
    training: SliceDataset,
    model: nn.Module,
    optimizer: Optimizer,
    state: RunState,
) -> None:
    """Epoch after epoch until the schedule or ``epochs`` ends it."""
    settings = state.settings
    loader = make_loader(
        training, settings.batch_size, shuffle=True, workers=settings.workers
    )
    watched = first_images(training, settings) if state.context.there else None
    for epoch in range(state.epoch, settings.epochs):
        if state.schedule.end:
            break
        start = time.monotonic()
        torch.manual_seed(settings.seed + epoch)  # dropout: the same after a resume
        loader.batch_sampler.set_epoch(epoch)
        with precision(settings):
            loss = train_one_epoch(model, loader, optimizer)
        if not math.isfinite(loss):
            raise NumericalError(
                settings.out, f"the loss of epoch {epoch} must be finite", loss,
                "loss-finite", "lower the learning rate",
            )  # fmt: skip
        schedule = state.schedule.after(loss)
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate
        seconds = time.monotonic() - start
        facts = {} if watched is None else context_facts(model, watched)
        state.save(epoch, loss, schedule, len(training), seconds, facts)
        report(epoch, settings.epochs, loss, schedule.rate, seconds)


def train_one_epoch(
    model: nn.Module, loader: DataLoader, optimizer: Optimizer
) -> float:
    """One pass over the training slices; the mean cross entropy a slice."""
    model.train()
    device = next(model.parameters()).device
    total, n_slices = torch.zeros((), device=device), 0
    for images, targets in tqdm(loader, leave=False, disable=not sys.stderr.isatty()):
        images = images.to(device, non_blocking=True)
        targets = targets.to(device, non_blocking=True)
        loss = cross_entropy(model(three_channels(images)), targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()  # here: no gradients lie about during the next forward
        total += loss.detach() * len(images)  # on the device: .item() would wait here
        n_slices += len(images)
    return float(total) / n_slices


def first_images(training: SliceDataset, settings: TrainSettings) -> Tensor:
    """The first batch as it is stored, on which the context blocks are watched."""
    n = min(settings.batch_size, len(training))
    images = torch.stack([training[i][0] for i in range(n)])
    return three_channels(images).to(settings.device)


def cross_entropy(outputs: Tensor | tuple[Tensor, ...], targets: Tensor) -> Tensor:
    """The "basic and plain cross entropy loss" over one tumour logit, a mean.

    DANet gives three outputs in training; their losses are added, as in its code.
    """
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return sum(
        F.binary_cross_entropy_with_logits(logits.float(), targets)
        for logits in outputs
    )


def precision(settings: TrainSettings) -> torch.autocast:
    """Products in bfloat16 or as they are; weights and loss stay float32.

    Without autocast's cache: it keeps the weights' bfloat16 copies until the context
    ends, so that no step of an epoch would reach the next forward pass.
    """
    return torch.autocast(
        settings.device.type,
        torch.bfloat16,
        enabled=settings.precision == "bf16",
        cache_enabled=False,
    )


def report(epoch: int, epochs: int, loss: float, rate: float, seconds: float) -> None:
    """One line an epoch, above the bar where there is one."""
    line = f"epoch {epoch + 1}/{epochs}  loss {loss:.5f}  rate {rate:.2g}"
    tqdm.write(f"{line}  {seconds:.1f} s")
    sys.stdout.flush()
