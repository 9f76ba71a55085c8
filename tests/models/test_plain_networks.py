"""Every network computes what its specification says, written down a second time."""

import plain_networks
import pytest
import torch
from filled import filled

import mscf
from mscf.models import METHODS

SIZES = {16: [(64, 64), (96, 128)], 32: [(192, 192), (192, 224)], 1: [(50, 67)]}


@pytest.mark.parametrize("key", METHODS)
def test_network_equals_its_plain_form(key) -> None:
    network = filled(mscf.build(key)).eval().double()
    for height, width in SIZES[METHODS[key].multiple]:
        random = torch.Generator().manual_seed(height)
        shape = 1, 3, height, width
        x = torch.rand(shape, generator=random, dtype=torch.float64) * 3.2 - 1.6
        layers = plain_networks.Layers(network)
        with torch.inference_mode():
            expected = getattr(plain_networks, key)(layers, x)
            logits = network(x)
        assert layers.all_taken()
        assert expected.std() > 0.01  # logits that say something
        torch.testing.assert_close(logits, expected, rtol=1e-8, atol=1e-8)
