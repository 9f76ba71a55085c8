import subprocess
import sys

import pytest
import torch
from plain_context import channel_context_plain, spatial_context_plain
from torch import nn

from mscf.models.context import (
    ChannelContext,
    ContextBlock,
    SpatialContext,
    attention_rows,
    channel_affinity,
)

SHAPES = [(28, 28), (14, 22), (1, 9)]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def with_scales(block: nn.Module, alpha: float = 0.7, beta: float = -0.4) -> nn.Module:
    """At the start value 0 any context would pass."""
    for name, parameter in block.named_parameters():
        if name.endswith("alpha"):
            nn.init.constant_(parameter, alpha)
        if name.endswith("beta"):
            nn.init.constant_(parameter, beta)
    return block


def output_and_gradients(forward, block, x):
    x = x.clone().requires_grad_()
    block.zero_grad()
    output = forward(x)
    (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
    return output.detach(), x.grad, *(p.grad.clone() for p in block.parameters())


def assert_same(block, plain, x, tolerance):
    ours = output_and_gradients(block, block, x)
    expected = output_and_gradients(lambda y: plain(block, y), block, x)
    for got, want in zip(ours, expected, strict=True):
        scale = want.abs().max().clamp(min=1)
        torch.testing.assert_close(got / scale, want / scale, rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_spatial_context_equals_its_plain_form(height, width, dtype) -> None:
    torch.manual_seed(0)
    block = with_scales(SpatialContext(64)).to(dtype)
    x = torch.randn(2, 64, height, width, dtype=dtype)
    assert_same(block, spatial_context_plain, x, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("height", "width"), [(14, 22), (1, 9)])
def test_channel_context_equals_its_plain_form(height, width, dtype) -> None:
    torch.manual_seed(0)
    block = with_scales(ChannelContext()).to(dtype)
    # Small features keep the softmax away from one-hot, where any map would pass.
    x = 0.1 * torch.randn(2, 16, height, width, dtype=dtype)
    assert_same(block, channel_context_plain, x, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_whole_block_equals_the_sum_of_its_plain_forms(dtype) -> None:
    torch.manual_seed(0)
    block = with_scales(ContextBlock(16)).to(dtype)
    x = 0.2 * torch.randn(2, 16, 7, 10, dtype=dtype)

    def plain(block, x):
        spatial = spatial_context_plain(block.spatial, x)
        return spatial + channel_context_plain(block.channel, x)

    assert_same(block, plain, x, TOLERANCE[dtype])


def test_block_doubles_its_input_at_the_start_as_eq_7_prints() -> None:
    x = torch.randn(1, 16, 5, 6)
    torch.testing.assert_close(ContextBlock(16)(x), 2 * x, rtol=0, atol=0)


def test_block_adds_the_parameters_of_the_paper() -> None:
    counts = [
        sum(p.numel() for p in ContextBlock(channels).parameters())
        for channels in (64, 128, 256)
    ]
    assert counts == [5_202, 20_642, 82_242]
    assert sum(p.numel() for p in ChannelContext().parameters()) == 1


def test_spatial_context_moves_with_its_positions() -> None:
    torch.manual_seed(0)
    block = with_scales(SpatialContext(16)).double()
    x = torch.randn(1, 16, 4, 6, dtype=torch.float64)
    order = torch.randperm(24)
    shuffled = x.flatten(2)[..., order].view_as(x)
    expected = block(x).flatten(2)[..., order].view_as(x)
    torch.testing.assert_close(block(shuffled), expected, rtol=1e-10, atol=1e-10)


def test_channel_affinity_ignores_the_order_of_positions() -> None:
    features = torch.randn(1, 24, 8, dtype=torch.float64)
    shuffled = features[:, torch.randperm(24)]
    torch.testing.assert_close(channel_affinity(features), channel_affinity(shuffled))


def test_attention_rows_are_the_rows_of_the_plain_map() -> None:
    torch.manual_seed(0)
    block = SpatialContext(16).double()
    x = torch.randn(2, 16, 5, 7, dtype=torch.float64)
    positions = torch.tensor([0, 6, 34])
    rows = attention_rows(block, x, positions)
    query = torch.relu(block.query[0](x)).flatten(2)
    key = torch.relu(block.key[0](x)).flatten(2)
    whole = torch.softmax(key.mT @ query, dim=-1)
    torch.testing.assert_close(rows, whole[:, positions])
    torch.testing.assert_close(rows.sum(-1), torch.ones(2, 3, dtype=torch.float64))


def test_channel_products_are_formed_in_float32_under_autocast() -> None:
    block = with_scales(ChannelContext())
    x = torch.randn(1, 8, 32, 32).bfloat16() * 8  # products near 6e4
    with torch.autocast("cpu", torch.bfloat16):
        got = block(x)
    expected = block(x.float())
    torch.testing.assert_close(got.float(), expected, rtol=1e-2, atol=1e-2)


STEP = """
import resource, sys, torch
from mscf.models.context import SpatialContext
block = SpatialContext(64)
x = torch.randn(1, 64, 8, 8, requires_grad=True)
block(x).sum().backward()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
side = int(sys.argv[1])
x = torch.randn(1, 64, side, side, requires_grad=True)
block(x).sum().backward()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.check
def test_spatial_context_never_holds_the_attention_map() -> None:
    # The map of a 112 x 112 skip is 600 MiB, and plain attention keeps several.
    grown = subprocess.run(
        [sys.executable, "-c", STEP, "112"], capture_output=True, text=True, check=True
    )
    assert int(grown.stdout) < 200  # MiB
