"""Every random number of a step, a function of where the run is.

Nothing has to be remembered for a resume, the number of loading workers changes
nothing, and two processes draw what one draws that accumulates the same parts.
"""

from __future__ import annotations

import os
import random

import numpy as np
import torch

from mscf.training.settings import TrainSettings


def seed_everything(seed: int, epoch: int, step: int, part: int) -> None:
    """Python's, NumPy's and torch's generators, of all devices, before a part."""
    sequence = np.random.SeedSequence((seed, epoch, step, part))
    for_python, for_numpy, for_torch = sequence.generate_state(3).tolist()
    random.seed(for_python)
    np.random.seed(for_numpy)  # noqa: NPY002 (what others draw from, not we)
    torch.manual_seed(for_torch)


def choose_kernels(settings: TrainSettings) -> None:
    """On a GPU the fastest, or with ``deterministic`` those of equal bits each time.

    A CPU always gives equal bits. The fastest are found by trying: a run's slices have
    one size, so each is tried once.

    Raises:
        RuntimeError: torch's own, at a layer that has no such form.
    """
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = not settings.deterministic
