"""The baselines' own attentions: position, along rows and columns, channel, gates."""

import pytest
import torch
from filled import filled
from plain_context import (
    assert_same,
    channel_attention_plain,
    position_attention_plain,
)
from torch import nn

from mscf.models.context import SpatialContext
from mscf.models.cost import parameters
from mscf.models.csnet import SpatialAttention
from mscf.models.danet import ChannelAttention
from mscf.models.self_attention import PositionAttention
from mscf.models.senet import SqueezeExcitation

POSITIONS = [PositionAttention, SpatialAttention]


def features(channels: int, height: int = 5, width: int = 7) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    shape = 2, channels, height, width
    return torch.randn(shape, generator=random, dtype=torch.float64)


@pytest.mark.parametrize("attention", POSITIONS)
@pytest.mark.parametrize(("height", "width"), [(14, 22), (1, 9)])
def test_position_attention_equals_its_plain_form(attention, height, width) -> None:
    block = filled(attention(32)).double().eval()
    assert_same(block, position_attention_plain, features(32, height, width), 1e-10)


def test_the_followed_form_has_other_parameters_than_sagan_s_equations() -> None:
    """There values go to C/8 too, and a fourth convolution back (open point 11)."""
    ours = equations = 0
    for channels in (64, 128, 256):
        inner = channels // 8
        ours += parameters(PositionAttention(channels))
        equations += 3 * (channels + 1) * inner + (inner + 1) * channels + 1
    assert (ours, equations) == (108_083, 43_627)


def test_channel_attention_equals_its_plain_form() -> None:
    block = filled(ChannelAttention()).double()
    assert_same(block, channel_attention_plain, 0.3 * features(8), 1e-10)


def test_least_similar_channel_weighs_most() -> None:
    # Channels 0 and 1 are alike, channel 2 is their opposite.
    x = torch.tensor([3.0, 3.0, -3.0]).reshape(1, 3, 1, 1).expand(1, 3, 2, 2)
    block = ChannelAttention()
    nn.init.ones_(block.gamma)
    gathered = block(x) - x
    torch.testing.assert_close(gathered[0, :, 0, 0], torch.tensor([-3.0, -3.0, 3.0]))


@pytest.mark.parametrize("attention", [*POSITIONS, SpatialContext])
def test_equal_values_are_gathered_unchanged(attention) -> None:
    block = filled(attention(16)).double().eval()
    nn.init.zeros_(block.value.weight)  # every position holds the bias
    x = features(16)
    scale = block.alpha if attention is SpatialContext else block.gamma
    expected = scale * block.value.bias[:, None, None] + x
    torch.testing.assert_close(block(x), expected.expand_as(x), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "block", [PositionAttention(16), ChannelAttention(), SqueezeExcitation(16)]
)
def test_attention_moves_with_its_positions(block) -> None:
    block = filled(block).double()
    x = 0.3 * features(16)
    order = torch.randperm(35)
    shuffled = x.flatten(2)[..., order].view_as(x)
    expected = block(x).flatten(2)[..., order].view_as(x)
    torch.testing.assert_close(block(shuffled), expected, rtol=1e-10, atol=1e-10)
    assert (shuffled - x).abs().max() > 0.1


@pytest.mark.parametrize("block", [PositionAttention(16), ChannelAttention()])
def test_attention_starts_as_the_identity(block) -> None:
    x = features(16).float()
    torch.testing.assert_close(block(x), x, rtol=0, atol=0)


def test_query_of_csnet_looks_along_rows_and_its_key_along_columns() -> None:
    block = filled(SpatialAttention(16)).double().eval()
    x = torch.zeros(1, 16, 7, 9, dtype=torch.float64)
    touched = x.clone()
    touched[0, :, 3, 4] = 5
    for project, cells in (  # before the ReLU, which hides some
        (block.query[:2], {(3, 3), (3, 4), (3, 5)}),
        (block.key[:2], {(2, 4), (3, 4), (4, 4)}),
    ):
        changed = (project(touched) != project(x)).any(dim=1)[0]
        assert {tuple(cell) for cell in changed.nonzero().tolist()} == cells


def test_channel_products_are_formed_in_float32_under_autocast() -> None:
    block = ChannelAttention()
    nn.init.ones_(block.gamma)
    x = (8 * features(8, 32, 32)).bfloat16()  # products near 6e4
    with torch.autocast("cpu", torch.bfloat16):
        got = block(x)
    torch.testing.assert_close(got.float(), block(x.float()), rtol=1e-2, atol=1e-2)
