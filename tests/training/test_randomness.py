"""Random numbers of a step: equal where the run is at the same place, else others."""

import os
import random

import numpy as np
import pytest
import torch

from mscf.training.randomness import choose_kernels, seed_everything
from mscf.training.settings import TrainSettings


def drawn(*place: int) -> tuple[float, float, float]:
    """One number of each library's generator at this seed, epoch, step and part."""
    seed_everything(*place)
    return random.random(), np.random.random(), torch.rand(()).item()  # noqa: NPY002


def test_every_part_of_every_step_draws_its_own_numbers() -> None:
    places = [(0, 0, 0, 0), *np.eye(4, dtype=int).tolist()]
    seen = [drawn(*place) for place in places]
    assert drawn(*places[0]) == seen[0]
    assert [len({*of_one}) for of_one in zip(*seen, strict=True)] == [5, 5, 5]


@pytest.fixture
def kernels_left_alone():
    """What torch chooses for the whole process is as before when the test ends."""
    searched = torch.backends.cudnn.benchmark
    yield
    torch.backends.cudnn.benchmark = searched
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("deterministic", [True, False])
def test_kernels_are_the_fastest_or_those_of_equal_bits(
    deterministic, kernels_left_alone, monkeypatch
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # so that it is undone
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    torch.backends.cudnn.benchmark = deterministic
    choose_kernels(TrainSettings(data="d", out="o", deterministic=deterministic))
    assert torch.backends.cudnn.benchmark != deterministic
    assert torch.are_deterministic_algorithms_enabled() == deterministic
    assert ("CUBLAS_WORKSPACE_CONFIG" in os.environ) == deterministic
