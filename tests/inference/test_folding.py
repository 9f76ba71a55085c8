import pytest
import torch
from filled import filled
from some import some
from torch import nn

import mscf
from mscf.inference.folding import folded, norms_behind_convolutions
from mscf.models import METHODS


def norms(network: nn.Module) -> list[str]:
    return [n for n, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)]


@pytest.mark.parametrize("key", some(METHODS, "csnet", "mscf"))
def test_every_batch_norm_is_folded_and_the_network_computes_the_same(key) -> None:
    network = filled(mscf.build(key)).eval().double()
    side = max(METHODS[key].minimum_size, 32)
    x = torch.rand(1, 3, side, side, dtype=torch.float64) * 3.2 - 1.6
    light = folded(network, x)
    assert norms(network)
    assert not norms(light)
    with torch.inference_mode():
        torch.testing.assert_close(light(x), network(x), rtol=1e-8, atol=1e-8)


class Branching(nn.Module):
    """A norm behind two convolutions in turn, and one behind none."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.shared, self.first = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        return self.shared(self.a(x)) + self.shared(self.b(x))


def test_a_norm_that_is_not_one_convolutions_own_stays() -> None:
    network = filled(Branching()).eval()
    x = torch.rand(1, 3, 4, 4)
    assert norms_behind_convolutions(network, x) == {}
    assert norms(folded(network, x)) == ["shared", "first"]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
