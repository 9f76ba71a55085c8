import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from plain_context import (
    assert_same,
    channel_context_plain,
    channels_gathered,
    spatial_context_plain,
)
from torch import nn

from mscf.models.attention import as_sequence
from mscf.models.context import (
    ChannelContext,
    ContextBlock,
    SpatialContext,
    attention_rows,
    channel_affinity,
)
from mscf.models.danet import ChannelAttention

ROOT = Path(__file__).parents[2]
SHAPES = [(28, 28), (14, 22), (1, 9), (1, 1)]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def with_scales(block: nn.Module, alpha: float = 0.7, beta: float = -0.4) -> nn.Module:
    """At the start value 0 any context would pass."""
    for name, parameter in block.named_parameters():
        if name.endswith("alpha"):
            nn.init.constant_(parameter, alpha)
        if name.endswith("beta"):
            nn.init.constant_(parameter, beta)
    return block


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_spatial_context_equals_its_plain_form(height, width, dtype) -> None:
    torch.manual_seed(0)
    block = with_scales(SpatialContext(64)).to(dtype)
    x = torch.randn(2, 64, height, width, dtype=dtype)
    assert_same(block, spatial_context_plain, x, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("height", "width"), [(14, 22), (1, 9), (1, 1)])
def test_channel_context_equals_its_plain_form(height, width, dtype) -> None:
    torch.manual_seed(0)
    block = with_scales(ChannelContext()).to(dtype)
    # Small features keep the softmax away from one-hot, where any map would pass.
    x = 0.1 * torch.randn(2, 16, height, width, dtype=dtype)
    assert_same(block, channel_context_plain, x, TOLERANCE[dtype])


def whole_block_plain(block, x):
    spatial = spatial_context_plain(block.spatial, x)
    return spatial + channel_context_plain(block.channel, x)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_whole_block_equals_the_sum_of_its_plain_forms(dtype) -> None:
    torch.manual_seed(0)
    block = with_scales(ContextBlock(16)).to(dtype)
    x = 0.2 * torch.randn(2, 16, 7, 10, dtype=dtype)
    assert_same(block, whole_block_plain, x, TOLERANCE[dtype])


@pytest.mark.parametrize(
    "layout",
    [
        lambda x: x.contiguous(memory_format=torch.channels_last),
        lambda x: torch.stack([x, x], dim=-1)[..., 0],
        lambda x: x.mT.contiguous().mT,
        lambda x: x[:1].expand_as(x),
    ],
    ids=["channels last", "strided", "transposed", "expanded"],
)
def test_a_block_gives_the_same_of_any_layout(layout) -> None:
    torch.manual_seed(0)
    x = layout(0.3 * torch.randn(2, 16, 5, 7))
    assert_same(with_scales(ContextBlock(16)), whole_block_plain, x, 1e-5)


def test_a_block_gives_nothing_of_an_empty_batch() -> None:
    x = torch.randn(0, 16, 5, 7, requires_grad=True)
    out = with_scales(ContextBlock(16))(x)
    out.sum().backward()
    assert out.shape == x.grad.shape == x.shape


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_is_not_finite_spreads_in_a_block_as_in_its_plain_form(number) -> None:
    torch.manual_seed(0)
    block = with_scales(ContextBlock(16))
    x = 0.3 * torch.randn(2, 16, 5, 7)
    x[0, 3, 2, 2] = number
    got, want = block(x), whole_block_plain(block, x)
    assert not want[0].isfinite().any()
    torch.testing.assert_close(got.isfinite(), want.isfinite(), rtol=0, atol=0)


def test_a_channel_context_has_second_derivatives() -> None:
    x = 0.3 * torch.randn(1, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(with_scales(ChannelContext().double()), (x,))


@pytest.mark.parametrize("eq5", ["literal", "rows"])
@pytest.mark.parametrize("softmax", ["plain", "rowmax-minus", "scaled"])
def test_each_channel_map_equals_its_plain_form(softmax, eq5) -> None:
    torch.manual_seed(0)
    block = with_scales(ChannelContext(softmax, eq5)).double()
    x = torch.randn(2, 8, 5, 7, dtype=torch.float64) + 0.5
    x *= 1.5 if softmax == "scaled" else 0.25  # neither even nor one-hot
    assert_same(block, channel_context_plain, x, 1e-10)
    others = [
        channels_gathered(x, *other)
        for other in itertools.product(
            ["plain", "rowmax-minus", "scaled"], ["literal", "rows"]
        )
        if other != (softmax, eq5)
    ]
    context = (block(x) - x) / block.beta
    assert min((context - other).abs().max() for other in others) > 0.01


def test_spatial_context_without_f_equals_its_plain_form() -> None:
    torch.manual_seed(0)
    block = with_scales(SpatialContext(16, f="none")).double()
    x = torch.randn(2, 16, 5, 7, dtype=torch.float64)
    assert_same(block, spatial_context_plain, x, 1e-10)
    relu = with_scales(SpatialContext(16)).double()
    relu.load_state_dict(block.state_dict())
    assert (relu(x) - block(x)).abs().max() > 0.01


def test_rowmax_minus_on_rows_is_the_channel_attention_of_danet() -> None:
    theirs = ChannelAttention().double()
    nn.init.constant_(theirs.gamma, -0.4)
    ours = with_scales(ChannelContext("rowmax-minus", "rows").double(), beta=-0.4)
    x = 0.3 * torch.randn(2, 8, 5, 7, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-12)


def test_scaled_map_divides_the_products_by_the_positions() -> None:
    features = torch.randn(2, 35, 8, dtype=torch.float64)
    scaled = channel_affinity(features, "scaled")
    torch.testing.assert_close(scaled, channel_affinity(features / 35**0.5))


@pytest.mark.parametrize("softmax", ["plain", "rowmax-minus", "scaled"])
def test_rows_of_the_channel_map_sum_to_one_and_its_columns_do_not(softmax) -> None:
    features = torch.randn(2, 12, 8, dtype=torch.float64)
    features *= torch.linspace(0.2, 1, 8)  # strong channels are picked by many
    affinity = channel_affinity(features, softmax)
    ones = torch.ones(2, 8, dtype=torch.float64)
    torch.testing.assert_close(affinity.sum(dim=2), ones)
    assert (affinity.sum(dim=1) - ones).abs().max() > 0.1


def test_readings_of_eq_5_agree_where_the_map_is_the_identity() -> None:
    x = 50 * torch.eye(6, dtype=torch.float64).reshape(1, 6, 2, 3)
    identity = torch.eye(6, dtype=torch.float64)[None]
    torch.testing.assert_close(channel_affinity(as_sequence(x)), identity)
    for eq5 in ("literal", "rows"):
        block = with_scales(ChannelContext(eq5=eq5)).double()
        torch.testing.assert_close(block(x), (1 - 0.4) * x)  # a gain, no context


def test_residual_once_takes_one_input_away() -> None:
    torch.manual_seed(0)
    printed = with_scales(ContextBlock(16)).double()
    once = with_scales(ContextBlock(16, residual="once")).double()
    once.load_state_dict(printed.state_dict())
    x = 0.3 * torch.randn(2, 16, 5, 7, dtype=torch.float64)
    torch.testing.assert_close(once(x), printed(x) - x)


@pytest.mark.parametrize("residual", ["printed", "once"])
def test_one_branch_alone_carries_its_input_once(residual) -> None:
    torch.manual_seed(0)
    both = with_scales(ContextBlock(16))
    spatial = with_scales(ContextBlock(16, channel=False, residual=residual))
    channel = with_scales(ContextBlock(16, spatial=False, residual=residual))
    spatial.load_state_dict(
        {k: v for k, v in both.state_dict().items() if k.startswith("spatial")}
    )
    x = 0.3 * torch.randn(2, 16, 5, 7)
    torch.testing.assert_close(spatial(x), both.spatial(x), rtol=0, atol=0)
    torch.testing.assert_close(channel(x), both.channel(x), rtol=0, atol=0)


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


@pytest.mark.parametrize("channels", [0, 4, 7])
def test_too_few_channels_for_query_and_key_are_refused(channels) -> None:
    with pytest.raises(ValueError, match=rf"at least 8 \(found: {channels}\)"):
        ContextBlock(channels)
    x = torch.randn(1, channels, 5, 6)
    torch.testing.assert_close(ContextBlock(channels, spatial=False)(x), x)


@pytest.mark.parametrize("branch", ["spatial", "channel"])
@pytest.mark.parametrize("word", ["no", "False", None, 1, 0, ["no"]])
def test_a_branch_is_on_or_off(branch, word) -> None:
    with pytest.raises(ValueError, match=f"True or False .*{re.escape(repr(word))}"):
        ContextBlock(16, **{branch: word})


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
    torch.manual_seed(0)
    block = with_scales(ChannelContext())
    # Nearly equal channels: products near 65,000, less apart than bfloat16's step.
    x = (8 + 0.02 * torch.randn(1, 8, 32, 32)).bfloat16()
    products = as_sequence(x.double()).mT @ as_sequence(x.double())
    assert products.min() > 2**15
    assert products.max() - products.min() < 256
    assert channel_affinity(as_sequence(x.float())).max() < 0.9  # not one-hot
    with torch.autocast("cpu", torch.bfloat16):
        got = block(x)
    expected = block(x.float())
    torch.testing.assert_close(got.float(), expected, rtol=1e-2, atol=1e-2)


STEP = """
import sys, torch
from benchmarks.racing import peak
from mscf.models.context import SpatialContext
block = SpatialContext(64)
x = torch.randn(1, 64, 8, 8, requires_grad=True)
block(x).sum().backward()
before = peak()
side = int(sys.argv[1])
x = torch.randn(1, 64, side, side, requires_grad=True)
block(x).sum().backward()
print((peak() - before) // 1024)
"""


@pytest.mark.check
def test_spatial_context_never_holds_the_attention_map() -> None:
    # The map of a 112 x 112 skip is 600 MiB, and plain attention keeps several.
    grown = subprocess.run(
        [sys.executable, "-c", STEP, "112"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(grown.stdout) < 200  # MiB


def test_channels_last_memory_passes_the_block_without_a_change_of_layout() -> None:
    x = torch.randn(2, 64, 6, 10).to(memory_format=torch.channels_last)
    assert as_sequence(x).is_contiguous()
    assert as_sequence(x).data_ptr() == x.data_ptr()
    x.requires_grad_()
    block = ContextBlock(64).to(memory_format=torch.channels_last)
    for scale in (block.spatial.alpha, block.channel.beta):
        nn.init.constant_(scale, 0.5)
    out = block(x)
    assert out.is_contiguous(memory_format=torch.channels_last)
    (grad,) = torch.autograd.grad(out.sum(), x)
    assert grad.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.check
def test_a_slice_of_1024_pixels_passes_a_block() -> None:
    x = torch.randn(1, 16, 256, 256, requires_grad=True)
    block = ContextBlock(16)
    nn.init.constant_(block.spatial.alpha, 0.5)
    block(x).mean().backward()
    assert torch.isfinite(x.grad).all()
