import pytest
import torch
from torch import nn

import mscf
from mscf.errors import SettingsError
from mscf.models import METHODS, find_method

PARAMETERS = {
    "unet": (34_527_041, 34_527_106),
    "attention_unet": (34_878_573, 34_878_638),
    "r2unet": (39_091_393, 39_091_458),
    "nested_unet": (9_163_329, 9_163_362),
    "cenet": (29_003_093, 29_003_382),
    "senet": (29_013_845, 29_014_134),
    "self_attention": (29_111_176, 29_111_465),
    "danet": (47_434_949, 47_436_488),
    "csnet": (8_400_803, 8_400_836),
    "mscf": (29_111_179, 29_111_468),
}


def side(key: str) -> int:
    return METHODS[key].minimum_size


@pytest.mark.parametrize("key", METHODS)
def test_method_has_exactly_its_parameters(key) -> None:
    for classes in (1, 2):
        network = mscf.build(key, classes=classes)
        count = sum(p.numel() for p in network.parameters())
        assert count == PARAMETERS[key][classes - 1]


def test_context_adds_0_37_percent() -> None:
    ours, backbone = (PARAMETERS[key][0] for key in ("mscf", "cenet"))
    assert ours - backbone == 108_086
    assert round(100 * (ours - backbone) / backbone, 2) == 0.37


@pytest.mark.parametrize("key", METHODS)
def test_logits_have_the_size_of_the_slices(key) -> None:
    height, width = side(key), side(key) + METHODS[key].multiple
    logits = mscf.build(key, classes=2).eval()(torch.randn(1, 3, height, width))
    assert logits.shape == (1, 2, height, width)


@pytest.mark.parametrize("key", METHODS)
def test_batch_of_two_equals_two_of_one_in_evaluation(key) -> None:
    torch.manual_seed(0)
    network = mscf.build(key).eval()
    x = torch.randn(2, 3, side(key), side(key))
    with torch.inference_mode():
        together = network(x)
        apart = torch.cat([network(x[:1]), network(x[1:])])
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("key", METHODS)
def test_gradients_reach_every_parameter(key) -> None:
    torch.manual_seed(0)
    network = mscf.build(key)
    for name, parameter in network.named_parameters():
        if name.rsplit(".", 1)[-1] in ("alpha", "beta", "gamma"):
            nn.init.constant_(parameter, 0.5)  # at 0 nothing flows behind them
    network(torch.randn(2, 3, side(key), side(key))).square().mean().backward()
    missing = [n for n, p in network.named_parameters() if p.grad is None]
    assert not missing
    still = [
        n
        for n, p in network.named_parameters()
        if n.endswith("weight") and not p.grad.abs().sum()
    ]
    assert not still


@pytest.mark.parametrize("key", METHODS)
@pytest.mark.parametrize("wrong", [(160, 192), (192, 160), (200, 192), (192, 230)])
def test_size_that_does_not_fit_names_a_good_one(key, wrong) -> None:
    with pytest.raises(ValueError, match=r"nearest good one: (192|224)"):
        mscf.build(key)(torch.zeros(1, 3, *wrong))


@pytest.mark.parametrize("key", METHODS)
def test_bf16_autocast_stays_close_to_float32(key) -> None:
    torch.manual_seed(0)
    network = mscf.build(key).eval()
    x = torch.randn(1, 3, side(key), side(key))
    with torch.inference_mode():
        exact = network(x)
        with torch.autocast("cpu", torch.bfloat16):
            rough = network(x).float()
    assert rough.isfinite().all()
    assert (rough - exact).abs().max() < 0.1 * exact.abs().max()


def test_unknown_method_names_those_there_are() -> None:
    with pytest.raises(SettingsError, match=r"found: unett.*cenet, mscf"):
        find_method("unett")


def test_contexts_at_the_start_double_the_skips_of_cenet() -> None:
    torch.manual_seed(0)
    ours = mscf.build("mscf").double().eval()
    backbone = mscf.build("cenet").double().eval()
    shared = {k: v for k, v in ours.state_dict().items() if "contexts" not in k}
    backbone.load_state_dict(shared)
    x = torch.randn(1, 3, 192, 192, dtype=torch.float64)
    with torch.inference_mode():
        *skips, bottleneck = backbone.encoder(x)
        doubled = backbone.decoder(
            backbone.multi_kernel(bottleneck), [2 * skip for skip in skips]
        )
        torch.testing.assert_close(ours(x), doubled, rtol=1e-10, atol=1e-10)


def test_encoder_says_when_imagenet_weights_cannot_be_had(monkeypatch) -> None:
    from mscf.models import encoder

    def unreachable(self, **kwargs):
        raise OSError("no route")

    monkeypatch.setattr(encoder.ResNet34_Weights, "get_state_dict", unreachable)
    with pytest.warns(encoder.PretrainedUnavailable, match="no route"):
        network = mscf.build("cenet", pretrained=True)
    assert not network.encoder.loaded


def test_encoder_takes_imagenet_weights_where_they_are(monkeypatch) -> None:
    from mscf.models import encoder

    given = encoder.resnet34().state_dict()
    monkeypatch.setattr(
        encoder.ResNet34_Weights, "get_state_dict", lambda self, **kwargs: given
    )
    network = mscf.build("cenet", pretrained=True)
    assert network.encoder.loaded
    first = network.encoder.stem[0].weight
    torch.testing.assert_close(first, given["conv1.weight"], rtol=0, atol=0)
