"""Random numbers of a step: equal where the run is at the same place, else others."""

import random

import numpy as np
import torch

from mscf.training.randomness import seed_everything


def drawn(*place: int) -> tuple[float, float, float]:
    """One number of each library's generator at this seed, epoch, step and part."""
    seed_everything(*place)
    return random.random(), np.random.random(), torch.rand(()).item()  # noqa: NPY002


def test_every_part_of_every_step_draws_its_own_numbers() -> None:
    places = [(0, 0, 0, 0), *np.eye(4, dtype=int).tolist()]
    seen = [drawn(*place) for place in places]
    assert drawn(*places[0]) == seen[0]
    assert [len({*of_one}) for of_one in zip(*seen, strict=True)] == [5, 5, 5]
