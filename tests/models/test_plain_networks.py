"""Every network computes what its specification says, written down a second time."""

import plain_networks
import pytest
import torch
from filled import filled

import mscf
from mscf.models import METHODS

WIDE = {16: (48, 64), 32: (192, 224), 1: (50, 67)}  # catch height for width
SQUARE = {16: (64, 64), 32: (192, 192), 1: (64, 64)}


@pytest.mark.parametrize("key", METHODS)
def test_network_equals_its_plain_form(key) -> None:
    assert_equal_to_plain_form(key, *WIDE[METHODS[key].multiple])


@pytest.mark.slow  # those above are wide, which shows more
@pytest.mark.parametrize("key", METHODS)
def test_network_equals_its_plain_form_on_squares(key) -> None:
    assert_equal_to_plain_form(key, *SQUARE[METHODS[key].multiple])


@torch.inference_mode()
def assert_equal_to_plain_form(key: str, height: int, width: int) -> None:
    network = filled(mscf.build(key)).eval().double()
    random = torch.Generator().manual_seed(height)
    shape = 1, 3, height, width
    x = torch.rand(shape, generator=random, dtype=torch.float64) * 3.2 - 1.6
    layers = plain_networks.Layers(network)
    expected = getattr(plain_networks, key)(layers, x)
    assert layers.all_taken()
    assert expected.std() > 0.01  # logits that say something
    torch.testing.assert_close(network(x), expected, rtol=1e-8, atol=1e-8)
