"""Captum's methods on networks whose attributions are known by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mscf import build
from mscf.visualisation import attribution
from mscf.visualisation.attribution import (
    SHARES,
    area,
    cascade,
    cell_order,
    deletion_and_insertion,
    grad_cam,
    integrated_gradients,
    occlusion,
    rank_correlation,
    region_logit,
)


class Grey(nn.Module):
    """A logit that is twice the sum of the pixel's three channels."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x.sum(dim=1, keepdim=True)


class Skipping(nn.Module):
    """What enters the block also goes another way, as a skip goes down the encoder."""

    def __init__(self, block: nn.Module, inplace: bool = False) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(3, 4, 3, stride=4, padding=1)
        self.below = nn.Conv2d(4, 4, 3, padding=1)
        self.contexts = nn.ModuleList([block])
        self.relu = nn.ReLU(inplace)
        self.decoder = nn.ConvTranspose2d(4, 1, 4, stride=4)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.encoder(x)
        below = self.below(skip)
        return self.decoder(self.relu(self.contexts[0](skip)) + below)


def skipping(block: nn.Module, inplace: bool = False) -> Skipping:
    torch.manual_seed(0)
    return Skipping(block, inplace).eval()


@pytest.fixture
def image() -> Tensor:
    return torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def region() -> Tensor:
    region = torch.zeros(32, 32, dtype=torch.bool)
    region[8:16, 16:24] = True
    return region


def test_what_is_explained_is_the_logit_summed_over_the_region(image, region) -> None:
    images = torch.cat([image, 3 * image])
    total = 2 * image[0, :, 8:16, 16:24].sum()
    found = region_logit(Grey().eval(), region)(images)
    torch.testing.assert_close(found, torch.stack([total, 3 * total]))


def test_integrated_gradients_of_a_linear_network_are_weight_times_change(
    image, region
) -> None:
    found, missed = integrated_gradients(Grey().eval(), image, region, baseline=0.5)
    expected = 2 * (image[0] - 0.5).sum(dim=0) * region
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
    assert missed < 1e-5


def test_what_integrated_gradients_miss_is_a_share_of_the_change(region) -> None:
    class Step(nn.Module):  # its gradient is 0 where it is defined
        def forward(self, x: Tensor) -> Tensor:
            return (x[:, :1] > 0).float() + 0 * x[:, :1]

    _, missed = integrated_gradients(
        Step().eval(), torch.ones(1, 3, 32, 32), region, -1
    )
    assert missed == pytest.approx(1)


def test_occlusion_is_how_far_the_logit_falls_under_the_window(image, region) -> None:
    network = Grey().eval()
    found = occlusion(network, image, region, baseline=0.5, window=8)
    assert found.shape == (8, 8)  # a value a stride of 4 pixels
    covered = image.clone()
    falls = []
    for top in (4, 8):  # the windows over rows 8 to 11, with the same columns
        for left in (12, 16):
            covered.copy_(image)[..., top : top + 8, left : left + 8] = 0.5
            change = (network(image) - network(covered))[0, 0][region].sum()
            falls.append(float(change))
    assert found[2, 4] == pytest.approx(np.mean(falls), rel=1e-4)
    assert (found[6:] == 0).all()


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("before", [False, True])
def test_grad_cam_is_mean_gradient_by_way_of_the_skip_times_feature(
    image, region, before, inplace
) -> None:
    network = skipping(nn.Conv2d(4, 4, 1), inplace)
    given = network.encoder(image).detach().requires_grad_()
    made = network.contexts[0](given)
    below = network.below(given).detach()  # another way, which is not the skip's
    logits = network.decoder(F.relu(made) + below)
    looked_at = given if before else made
    (gradient,) = torch.autograd.grad(logits[0, 0][region].sum(), looked_at)
    expected = (gradient.mean(dim=(2, 3), keepdim=True) * looked_at).sum(dim=1)[0]
    found = grad_cam(network, network.contexts[0], image, region, before)
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-4, atol=1e-6)


def test_before_and_after_a_skip_without_a_block_are_the_same(image, region) -> None:
    network = skipping(nn.Identity())
    before, after = (
        grad_cam(network, network.contexts[0], image, region, when)
        for when in (True, False)
    )
    np.testing.assert_array_equal(before, after)


def test_the_network_is_left_as_it_was(image, region) -> None:
    network = skipping(nn.BatchNorm2d(4))
    state = {name: t.clone() for name, t in network.state_dict().items()}
    grad_cam(network, network.contexts[0], image, region, before=True)
    integrated_gradients(network, image, region, 0.0)
    occlusion(network, image, region, 0.0, window=8)
    with pytest.raises(RuntimeError):  # four channels where it takes three
        grad_cam(network, network.contexts[0], image[:, [0, 0, 0, 0]], region)
    for module in network.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
        assert not module.training
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    assert not image.requires_grad


def test_what_cannot_be_explained_is_refused(image, region) -> None:
    network, another = skipping(nn.Identity()), skipping(nn.Identity())
    with pytest.raises(ValueError, match="layer must be one of the model's"):
        grad_cam(network, another.contexts[0], image, region)
    with pytest.raises(ValueError, match="region must have a pixel"):
        grad_cam(network, network.contexts[0], image, torch.zeros_like(region))
    network.contexts.train()
    with pytest.raises(ValueError, match=r"evaluation mode \(found: contexts\)"):
        integrated_gradients(network, image, region, 0.0)


def test_parts_become_untrained_from_the_head_down() -> None:
    network = skipping(nn.Conv2d(4, 4, 1))
    torch.manual_seed(1)
    untrained = Skipping(nn.Conv2d(4, 4, 1)).eval()
    before = {name: t.clone() for name, t in network.state_dict().items()}
    seen = []
    for name, mixed in cascade(network, untrained):
        fresh = {
            key.split(".")[0]
            for key, tensor in mixed.state_dict().items()
            if not torch.equal(tensor, before[key])
        }
        seen.append((name, fresh))
    assert seen == [
        ("decoder", {"decoder"}),
        ("relu", {"decoder"}),
        ("contexts", {"decoder", "contexts"}),
        ("below", {"decoder", "contexts", "below"}),
        ("encoder", {"decoder", "contexts", "below", "encoder"}),
    ]
    assert all(torch.equal(t, before[k]) for k, t in network.state_dict().items())


def test_rank_correlation_sees_only_the_order() -> None:
    values = np.array([[0.1, 0.4], [0.2, 0.3]])
    assert rank_correlation(values, np.exp(9 * values)) == pytest.approx(1)
    assert rank_correlation(values, -values) == pytest.approx(-1)
    assert np.isnan(rank_correlation(values, np.ones((2, 2))))


def test_cells_are_ordered_from_the_highest() -> None:
    attribution = np.array([[1.0, 4.0], [3.0, 2.0]])
    assert cell_order(attribution, (16, 16)).tolist() == [1, 2, 3, 0]
    assert cell_order(np.kron(attribution, np.ones((8, 8))), (16, 16))[0] == 1


def test_deleting_what_counts_lowers_the_probability_first(region) -> None:
    image = torch.full((1, 3, 32, 32), -1.0)
    image[..., region] = 1.0
    network = Grey().eval()  # logit 6 in the region, 0 on the grey of the baseline
    good = cell_order(region.numpy(), (32, 32))
    high, half = torch.tensor(6.0).sigmoid().item(), 0.5
    deletion, insertion = deletion_and_insertion(network, image, region, 0.0, good)
    assert deletion.shape == insertion.shape == SHARES.shape
    reached = np.round(SHARES * 16) >= 1  # the region is one of 16 cells
    np.testing.assert_allclose(deletion, np.where(reached, half, high), rtol=1e-6)
    np.testing.assert_allclose(insertion, np.where(reached, high, half), rtol=1e-6)
    bad, _ = deletion_and_insertion(network, image, region, 0.0, good[::-1].copy())
    assert area(deletion) < area(bad)


def test_the_area_of_a_straight_line_is_a_half() -> None:
    assert area(np.stack([SHARES, 1 - SHARES])) == pytest.approx([0.5, 0.5])


@pytest.mark.check
def test_ours_has_maps_at_its_three_scales_and_is_left_as_it_was(monkeypatch) -> None:
    monkeypatch.setattr(attribution, "STEPS", 4)  # enough, and a quarter of the time
    torch.manual_seed(0)
    network = build("mscf").eval()
    for block in network.contexts:  # at 0 the contexts would add nothing
        nn.init.constant_(block.spatial.alpha, 0.5)
        nn.init.constant_(block.channel.beta, 0.5)
    image = torch.randn(1, 3, 192, 192)
    region = torch.zeros(192, 192, dtype=torch.bool)
    region[80:110, 60:90] = True
    state = {name: t.clone() for name, t in network.state_dict().items()}
    for block, side in zip(network.contexts, (48, 24, 12), strict=True):
        before = grad_cam(network, block, image, region, before=True)
        after = grad_cam(network, block, image, region)
        assert before.shape == after.shape == (side, side)
        assert rank_correlation(before, after) < 0.999
    pixels, missed = integrated_gradients(network, image, region, 0.0)
    assert pixels.shape == (192, 192)
    assert missed < 0.2  # with 16 steps below 0.05
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, state[name]), name
