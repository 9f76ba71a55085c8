"""Section 14 of the specification: networks that become one another, and parts."""

import pytest
import torch
from filled import filled
from some import some
from torch import nn

import mscf
from mscf.models.danet import ChannelAttention
from mscf.models.r2unet import RecurrentConv
from mscf.models.self_attention import PositionAttention


def sharing(key: str, given: nn.Module, renamed=()) -> nn.Module:
    """The network of this key in evaluation mode, with the weights of another.

    ``renamed`` are parts of the other's names and what they are called here. What one
    of both does not have is left alone.
    """
    network = filled(mscf.build(key)).to(next(given.parameters()).dtype).eval()
    own = network.state_dict()
    for name, tensor in given.state_dict().items():
        here = name
        for old, new in renamed:
            here = here.replace(old, new)
        if here in own:
            own[here] = tensor
    network.load_state_dict(own)
    return network


def with_scales(network: nn.Module, **scales: float) -> nn.Module:
    for name, parameter in network.named_parameters():
        if (scale := name.rsplit(".", 1)[-1]) in scales:
            nn.init.constant_(parameter, scales[scale])
    return network


def slices(height: int = 192, width: int = 192) -> torch.Tensor:
    random = torch.Generator().manual_seed(2)
    return torch.rand(1, 3, height, width, generator=random) * 3.2 - 1.6


@torch.inference_mode()
def assert_equal(network: nn.Module, other: nn.Module, x: torch.Tensor, tolerance=0.0):
    logits, expected = network(x), other(x)
    assert expected.std() > 0.01
    torch.testing.assert_close(logits, expected, rtol=tolerance, atol=tolerance)


@pytest.fixture(scope="module")
def backbone():
    """CE-Net with fixed weights; its join may be replaced, and is put back."""
    return filled(mscf.build("cenet")).eval()


def test_self_attention_without_scale_is_cenet(backbone) -> None:
    network = sharing("self_attention", backbone)
    assert_equal(with_scales(network, gamma=0.0), backbone, slices())


def test_senet_that_excites_nothing_halves_every_join_of_cenet(
    backbone, monkeypatch
) -> None:
    network = sharing("senet", backbone)
    for excitation in network.excitations:
        nn.init.zeros_(excitation.excite[2].weight)  # sigmoid(0) = 0.5
    monkeypatch.setattr(backbone.decoder, "joined", lambda up, skip: 0.5 * (up + skip))
    assert_equal(network, backbone, slices(), 1e-5)


def test_ours_without_scales_doubles_the_skips_of_cenet(backbone, monkeypatch) -> None:
    network = with_scales(sharing("mscf", backbone), alpha=0.0, beta=0.0)
    monkeypatch.setattr(backbone.decoder, "joined", lambda up, skip: up + 2 * skip)
    assert_equal(network, backbone, slices())


def test_ours_without_scales_and_input_once_is_cenet(backbone) -> None:
    network = with_scales(sharing("mscf+once", backbone), alpha=0.0, beta=0.0)
    assert_equal(network, backbone, slices())


def test_ours_without_f_and_channels_and_input_once_is_self_attention() -> None:
    network = filled(mscf.build("mscf+f-none+once")).double().eval()
    with_scales(network, beta=0.0)
    renamed = [
        ("contexts", "attentions"),
        ("spatial.query.0", "key"),  # the paper's K asks, its Q answers
        ("spatial.key.0", "query"),
        ("spatial.value", "value"),
        ("spatial.alpha", "gamma"),
    ]
    other = sharing("self_attention", network, renamed)
    assert_equal(network, other, slices().double(), 1e-10)


def test_attention_unet_with_open_gates_is_unet() -> None:
    network = filled(mscf.build("attention_unet")).eval()
    for gate in network.gates:
        nn.init.zeros_(gate.psi[0].weight)
        nn.init.zeros_(gate.psi[1].weight)
        nn.init.constant_(gate.psi[1].bias, 40.0)  # sigmoid(40) is 1
    assert_equal(network, sharing("unet", network), slices(32, 48))


def test_every_node_of_nested_unet_runs_once_and_learns() -> None:
    network = filled(mscf.build("nested_unet"))
    runs = calls(network.nodes.values())
    network(slices(32, 48)).square().mean().backward()
    assert list(runs.values()) == [1] * 15
    for node in network.nodes.values():
        assert all(p.grad.any() for n, p in node.named_parameters() if "weight" in n)


def calls(modules) -> dict[nn.Module, int]:
    """How often each has run; counts on while they run."""
    counts = dict.fromkeys(modules, 0)

    def count(module, given, made):
        counts[module] += 1

    for module in counts:
        module.register_forward_hook(count)
    return counts


def test_recurrent_convolution_of_r2unet_runs_three_times() -> None:
    network = mscf.build("r2unet")
    units = [m.conv for m in network.modules() if isinstance(m, RecurrentConv)]
    runs = calls(units)
    network(slices(32, 48))
    assert len(runs) == 18  # two in each of nine blocks
    assert set(runs.values()) == {3}
    # In training each run moves the statistics of the one batch norm.
    assert {int(unit[1].num_batches_tracked) for unit in units} == {3}


@torch.inference_mode()
def test_bottom_of_csnet_starts_as_three_times_its_input() -> None:
    network = mscf.build("csnet").eval()
    seen = {}
    network.encoder[-1].register_forward_hook(
        lambda module, given, made: seen.update(z=made.clone())
    )
    network.up[0].register_forward_pre_hook(
        lambda module, given: seen.update(bottom=given[0].clone())
    )
    network(slices(32, 48))
    assert seen["z"].std() > 0.01
    torch.testing.assert_close(seen["bottom"], 3 * seen["z"])


def test_csnet_starts_from_kaiming_normal_weights_and_no_bias() -> None:
    torch.manual_seed(0)
    network = mscf.build("csnet")
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            assert not module.bias.any()
            spread = (2 / module.weight[0].numel()) ** 0.5
            if module.weight.numel() > 1000:
                assert module.weight.std().item() == pytest.approx(spread, rel=0.1)
                assert module.weight.abs().max() > 2.5 * spread  # no uniform numbers
    for up in network.up:  # torch's own: uniform within one over the root of fan-in
        assert up.bias.any()
        assert up.weight.abs().max() <= up.weight[0].numel() ** -0.5


def test_dense_atrous_convolution_starts_without_bias() -> None:
    for conv in mscf.build("cenet").multi_kernel[0].children():
        assert not conv.bias.any()
        spread = (3 * conv.weight[0].numel()) ** -0.5  # torch's own start
        assert conv.weight.std().item() == pytest.approx(spread, rel=0.1)


@torch.inference_mode()
def test_both_attentions_of_danet_start_as_the_identity() -> None:
    network = mscf.build("danet").eval()
    seen = []
    for module in network.modules():
        if isinstance(module, PositionAttention | ChannelAttention):
            module.register_forward_hook(
                lambda module, given, made: seen.append((given[0], made))
            )
    network(slices(50, 67))
    assert len(seen) == 2
    for given, made in seen:
        assert given.std() > 0.01
        torch.testing.assert_close(made, given, rtol=0, atol=0)


@pytest.mark.parametrize("classes", some([1, 2], 2))
def test_danet_gives_three_logits_in_training_and_the_first_in_evaluation(
    classes,
) -> None:
    network = filled(mscf.build("danet", classes=classes)).eval()
    x = slices(50, 67)
    runs = calls([network.main, network.of_position, network.of_channel])
    with torch.inference_mode():
        evaluated = network(x)
        assert list(runs.values()) == [1, 0, 0]
        network.training = True  # this module alone: no dropout, no batch statistics
        made = network(x)
    assert [logits.shape for logits in made] == [(1, classes, 50, 67)] * 3
    torch.testing.assert_close(made[0], evaluated, rtol=0, atol=0)
    # Each is linear in what it reads, and the main one reads the sum of both.
    for head in (network.of_position, network.of_channel):
        head[1].load_state_dict(network.main[1].state_dict())
    with torch.inference_mode():
        main, position, channel = network(x)
    bias = network.main[1].bias[:, None, None]
    torch.testing.assert_close(main, position + channel - bias, rtol=1e-4, atol=1e-4)
    assert (position - channel).abs().max() > 0.01


def test_danet_drops_whole_channels_before_each_head() -> None:
    torch.manual_seed(0)
    network = mscf.build("danet")
    for head in (network.main, network.of_position, network.of_channel):
        dropped = head[0](torch.ones(8, 512, 3, 3)) == 0
        assert (dropped.all(dim=(2, 3)) == dropped.any(dim=(2, 3))).all()
        assert dropped.float().mean().item() == pytest.approx(0.1, abs=0.02)
