import math

import pytest
import torch
from torch import nn

from mscf.models.context import ContextBlock
from mscf.training.watch import CONTEXT, context_facts, has_context


class OneBlock(nn.Sequential):
    def __init__(self, **options) -> None:
        super().__init__(nn.Conv2d(3, 64, 1), nn.ReLU(), ContextBlock(64, **options))


def test_entropy_of_a_map_that_chooses_nothing_is_log_c() -> None:
    network = OneBlock()
    nn.init.zeros_(network[0].weight)
    nn.init.zeros_(network[0].bias)
    facts = context_facts(network, torch.randn(2, 3, 8, 8), at_once=1)
    assert facts["entropy_64"] == pytest.approx(math.log(64))


def test_entropy_of_a_map_that_chooses_one_channel_is_0() -> None:
    network = OneBlock()
    nn.init.constant_(network[0].weight, 0)
    network[0].bias.data = torch.linspace(1, 8, 64)  # the last is the strongest
    facts = context_facts(network, torch.randn(2, 3, 32, 32), at_once=1)
    assert facts["entropy_64"] == pytest.approx(0, abs=1e-6)


def test_scales_are_told_and_nothing_changes() -> None:
    network = OneBlock().train()
    nn.init.constant_(network[2].spatial.alpha, 0.25)
    nn.init.constant_(network[2].channel.beta, -0.5)
    before = {n: t.clone() for n, t in network.state_dict().items()}
    random = torch.get_rng_state()
    facts = context_facts(
        network, torch.randn(1, 3, 4, 4, generator=torch.Generator()), at_once=1
    )
    assert (facts["alpha_64"], facts["beta_64"]) == (0.25, -0.5)
    assert set(facts) <= set(CONTEXT)
    assert network.training
    assert torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(before[n], t) for n, t in network.state_dict().items())


def test_a_variant_tells_what_it_has() -> None:
    images = torch.randn(1, 3, 4, 4)
    assert set(context_facts(OneBlock(channel=False), images, at_once=1)) == {
        "alpha_64"
    }
    without = context_facts(OneBlock(spatial=False), images, at_once=1)
    assert set(without) == {"beta_64", "entropy_64"}
    assert has_context(OneBlock())
    assert not has_context(nn.Conv2d(3, 1, 1))


def test_no_pass_takes_more_images_than_training_and_the_entropy_is_of_all() -> None:
    network, images = OneBlock(), torch.randn(5, 3, 8, 8)
    passes = []
    network.register_forward_pre_hook(lambda _, given: passes.append(len(given[0])))
    apart = context_facts(network, images, at_once=2)
    assert passes == [2, 2, 1]
    together = context_facts(network, images, at_once=5)
    assert apart["entropy_64"] == pytest.approx(together["entropy_64"], rel=1e-6)


def test_a_network_without_blocks_is_not_asked() -> None:
    network = nn.Conv2d(3, 1, 1)
    network.register_forward_pre_hook(lambda *_: pytest.fail("a pass for nothing"))
    assert context_facts(network, torch.randn(1, 3, 4, 4), at_once=1) == {}


def test_a_branch_that_forms_no_map_has_no_entropy() -> None:
    facts = context_facts(OneBlock(eq5="identity"), torch.randn(1, 3, 4, 4), at_once=1)
    assert set(facts) == {"alpha_64", "beta_64"}
