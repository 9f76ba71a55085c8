"""Costs of blocks that no network of Table 1 has, by hand."""

from pathlib import Path

import pytest
from torch import nn

from mscf.models import on_meta
from mscf.models.context import SpatialContext
from mscf.models.cost import multiply_accumulates
from mscf.models.csnet import SpatialAttention
from mscf.models.self_attention import PositionAttention
from mscf.pages.reproduce import read_profile

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("block", [SpatialContext, PositionAttention, SpatialAttention])
def test_attention_costs_by_the_width_of_query_and_key(block) -> None:
    channels, positions, taps = 16, 6 * 10, 3 if block is SpatialAttention else 1
    network = nn.Sequential(nn.Conv2d(3, channels, 1), block(channels))
    inner = channels // 8
    first, value = positions * 3 * channels, positions * channels**2
    query_and_key = 2 * taps * positions * channels * inner
    products = positions**2 * (inner + channels)  # M, M F
    cost = multiply_accumulates(network, 6, 10)
    assert cost == first + query_and_key + value + products


def test_the_trainings_of_lits_cost_what_the_page_of_the_grid_says() -> None:
    """Forwards and twice that backwards, two operations a multiply-accumulate."""
    lits = read_profile(ROOT, "lits")
    methods = [method for _, method, _, _ in lits.wanted]
    costs = {m: multiply_accumulates(on_meta(m), 448, 448) for m in {*methods}}
    slices = 4 / 5 * 7190 * lits.epochs
    operations = 2 * 3 * slices * sum(costs[m] for m in methods)
    ten = sum(cost for method, cost in costs.items() if "+" not in method)
    page = " ".join((ROOT / "book/grid.md").read_text(encoding="utf-8").split())
    assert f"through all ten is {ten / 1e12:.2f} T" in page
    assert f"{operations:.0e}" == "1e+20"
    assert "the trainings of `lits`, if all epochs are used, are about 10²⁰" in page
