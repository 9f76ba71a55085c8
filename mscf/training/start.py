"""What a run starts from: its slices, and its network before the first step."""

from __future__ import annotations

import math
import warnings

import torch
from torch import nn

from mscf.data.dataset import SliceDataset
from mscf.data.splits import make_split, train_and_test_rows
from mscf.data.store import Store
from mscf.errors import SettingsError
from mscf.models import build
from mscf.training.settings import TrainSettings, check_image_size


def split_slices(
    settings: TrainSettings, store: Store
) -> tuple[SliceDataset, SliceDataset]:
    """Training slices (augmented) and test slices.

    Raises:
        SettingsError: the settings do not fit the store.
    """
    check_store(settings, store)
    split = make_split(store.index, settings.split, settings.seed)
    train_rows, test_rows = train_and_test_rows(
        store.index, split, settings.fold, settings.slices
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
    if settings.log_odds_bias:
        start_at_log_odds(model, training)
    return model


def start_at_log_odds(model: nn.Module, training: SliceDataset) -> None:
    """Sets the last bias so that the untrained network expects the tumour's share.

    Not in the paper. Without it the first hundred steps go into learning that nearly
    every pixel is background.
    """
    pixels = len(training) * training.store.size**2
    share = training.index["stored_tumour_px"].sum() / pixels
    for head in model.heads():
        nn.init.constant_(head.bias, math.log(share / (1 - share)))


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
