"""The plain forms that ours are raced against: what the published codes do.

The N x N map in memory, the branches of the multi-kernel context computed apart, maps
in NCHW, float32, Adam as torch takes it by itself. The functions are the same, so the
weights of ours fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mscf.models.multi_kernel import DenseAtrousConvolution


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax(query key^T) value with the map, which autograd keeps for backward."""
    return torch.bmm(torch.softmax(torch.bmm(query, key.mT), dim=-1), value)


def apart(block: DenseAtrousConvolution, x: Tensor) -> Tensor:
    """Each branch of the multi-kernel context from its own beginning, as published."""
    branch1 = F.relu(block.dilate1(x))
    branch2 = F.relu(block.pointwise(block.dilate3(x)))
    branch3 = F.relu(block.pointwise(block.dilate3(block.dilate1(x))))
    branch4 = F.relu(block.pointwise(block.dilate5(block.dilate3(block.dilate1(x)))))
    return x + branch1 + branch2 + branch3 + branch4


@contextmanager
def plain_forms() -> Iterator[None]:
    """Inside, networks compute the plain way."""
    with (
        patch("mscf.models.context.attend", attend),
        patch.object(DenseAtrousConvolution, "forward", apart),
    ):
        yield


def plain_adam(network: nn.Module) -> torch.optim.Adam:
    """Adam as published codes call it: not fused, on a CPU tensor by tensor."""
    return torch.optim.Adam(network.parameters(), 2e-4)
