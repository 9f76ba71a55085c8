"""Costs of blocks that no network of Table 1 has, by hand."""

import pytest
from torch import nn

from mscf.models.context import SpatialContext
from mscf.models.cost import multiply_accumulates
from mscf.models.csnet import SpatialAttention
from mscf.models.self_attention import PositionAttention


@pytest.mark.parametrize("reduction", [2, 4, 8])
@pytest.mark.parametrize("block", [SpatialContext, PositionAttention, SpatialAttention])
def test_attention_costs_by_its_own_width_of_query_and_key(block, reduction) -> None:
    channels, positions, taps = 16, 6 * 10, 3 if block is SpatialAttention else 1
    network = nn.Sequential(
        nn.Conv2d(3, channels, 1), block(channels, reduction=reduction)
    )
    inner = channels // reduction
    first, value = positions * 3 * channels, positions * channels**2
    query_and_key = 2 * taps * positions * channels * inner
    products = positions**2 * (inner + channels)  # M, M F
    cost = multiply_accumulates(network, 6, 10)
    assert cost == first + query_and_key + value + products
