"""What a run starts from: its slices, and its network before the first step."""

from __future__ import annotations

import hashlib
import math
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from mscf.checkpoint import read_checkpoint
from mscf.data.dataset import SliceDataset
from mscf.data.splits import make_split, of_some_patients, train_and_test_rows
from mscf.data.store import Store
from mscf.errors import CheckpointError, DownloadError, Finding, SettingsError
from mscf.models import build
from mscf.training.settings import TrainSettings, check_image_size


def split_slices(
    settings: TrainSettings, store: Store
) -> tuple[SliceDataset, SliceDataset]:
    """Training slices (augmented) and test slices.

    Raises:
        SettingsError: the settings do not fit the store.
        InputError: the store cannot be split so.
    """
    check_store(settings, store)
    split = make_split(store.index, settings.split, settings.seed)
    train_rows, test_rows = train_and_test_rows(
        store.index, split, settings.fold, settings.slices
    )
    if settings.patients is not None:
        train_rows = of_some_patients(
            store.index, train_rows, settings.patients, settings.seed
        )
    if settings.batch_size > len(train_rows):
        raise SettingsError(
            "batch_size", "must not exceed the training slices", settings.batch_size,
            "batch-size", f"at most {len(train_rows)} here",
        )  # fmt: skip
    training = SliceDataset(
        store, train_rows, settings.window, settings.augment, settings.seed
    )
    return training, SliceDataset(store, test_rows, settings.window)


def starting_network(settings: TrainSettings, training: SliceDataset) -> nn.Module:
    """The network before its first step, on the CPU: equal settings, equal weights.

    Where ImageNet weights cannot be had it starts from random ones; ``has_imagenet``
    tells.
    """
    torch.manual_seed(settings.seed)
    with warnings.catch_warnings():  # the run's state says it as one line, records it
        warnings.simplefilter("ignore")
        model = build(settings.method, pretrained=settings.pretrained)
    if settings.require_pretrained and has_imagenet(model) is False:
        raise DownloadError(
            settings.method, "must start from ImageNet weights", "they cannot be had",
            "pretrained", "bring the machine online once, or leave the option out",
        )  # fmt: skip
    if settings.log_odds_bias:
        start_at_log_odds(model, training)
    if settings.finetune_from:
        take_weights(model, settings.finetune_from)
    return model


def digest_of(model: nn.Module) -> str:
    """SHA-256 of all weights and statistics of a network on the CPU."""
    digest = hashlib.sha256()
    for tensor in model.state_dict().values():
        digest.update(tensor.numpy())
    return digest.hexdigest()


def take_weights(model: nn.Module, path: Path) -> None:
    """Weights of a checkpoint where name and shape are the same, the others stay.

    Raises:
        CheckpointError: it is damaged, or nothing in it fits.
    """
    fitting, _, _ = fitting_weights(model, path)
    if not fitting:
        raise CheckpointError(
            path, "must have weights that this network has too", "none",
            "checkpoint-tensors",
        )  # fmt: skip
    model.load_state_dict(fitting, strict=False)


def fitting_weights(
    model: nn.Module, path: Path
) -> tuple[dict[str, Tensor], list[str], dict]:
    """What of a checkpoint fits a network, names of what does not, and its record."""
    tensors, record = read_checkpoint(path)
    given = {
        name.removeprefix("model."): t
        for name, t in tensors.items()
        if not name.startswith("optimizer.")
    }
    own = model.state_dict()
    fitting = {
        n: t
        for n, t in given.items()
        if n in own and t.shape == own[n].shape and torch.isfinite(t).all()
    }
    return fitting, sorted((own.keys() | given.keys()) - fitting.keys()), record


def start_findings(
    settings: TrainSettings, model: nn.Module, split: str
) -> list[Finding]:
    """What to say of the start: parts too small, weights not had or that know the test.

    ``split``: the checksum of this run's.
    """
    findings = []
    parts = (settings.processes or 1) * settings.accumulate
    if 2 * parts > settings.batch_size > 1:
        findings.append(
            Finding(
                "batch_size",
                "should have two slices for each process and pass, for batch "
                "normalisation",
                f"{settings.batch_size} for {parts}",
                "one-slice",
                "statistics of one slice alone make another training: fewer processes "
                f"or passes, or --batch-size {2 * parts}",
            )
        )
    if settings.pretrained and has_imagenet(model) is False:
        findings.append(
            Finding(
                settings.method,
                "ImageNet weights were asked for and could not be had",
                "random weights",
                "pretrained",
                "the run goes on without them and records it",
            )
        )
    if settings.finetune_from:
        fitting, skipped, record = fitting_weights(model, settings.finetune_from)
        findings.append(
            Finding(
                str(settings.finetune_from),
                f"{len(fitting)} tensors are the start, others are skipped",
                ", ".join(skipped[:5]) or "none",
                "finetune",
            )
        )
        tests = {"fold": settings.fold, "split": split}
        tested = {**record.get("settings", {}), "split": record.get("split")}
        if tests != {name: tested.get(name) for name in tests}:
            findings.append(
                Finding(
                    str(settings.finetune_from),
                    "its run should have tested the slices that test here",
                    "another fold, split or store",
                    "finetune-tested",
                    "of the same patients it may have learned from those that test "
                    "here, and what is measured then says nothing",
                )
            )
    return findings


def start_at_log_odds(model: nn.Module, training: SliceDataset) -> None:
    """Sets the last bias so that the untrained network expects the tumour's share.

    Not in the paper. Without it the first hundred steps go into learning that nearly
    every pixel is background.
    """
    share = tumour_share(training)
    for head in model.heads():
        nn.init.constant_(head.bias, math.log(share / (1 - share)))


def tumour_share(slices: SliceDataset) -> float:
    """Tumour pixels over all pixels."""
    pixels = len(slices) * slices.store.size**2
    return float(slices.index["stored_tumour_px"].sum() / pixels)


def has_imagenet(model: nn.Module) -> bool | None:
    """Whether its encoder was given ImageNet weights; None if it never takes any."""
    return getattr(getattr(model, "encoder", None), "loaded", None)


def check_store(settings: TrainSettings, store: Store) -> None:
    """The store must have the side and the slices asked for, the method take the side.

    Raises:
        SettingsError: names what there is.
    """
    if settings.image_size not in (None, store.size):
        raise SettingsError(
            "image_size", f"must be the store's, {store.size}", settings.image_size,
            "image-size", f"prepare the data with --size {settings.image_size}",
        )  # fmt: skip
    check_image_size(settings.method, store.size)
    if settings.slices == "all" and store.record["settings"]["slices"] == "tumour":
        raise SettingsError(
            "slices", "must be tumour: the store has no other slices", "all", "slices",
            "prepare the data with --slices liver or all",
        )  # fmt: skip
