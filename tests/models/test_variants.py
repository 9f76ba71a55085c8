"""Ours with one choice changed, as the ablation runs it."""

import pytest
import torch
from filled import filled

import mscf
from mscf.errors import SettingsError
from mscf.evaluation.claims import BRANCHES, ONE_SCALE
from mscf.models import CONTROLS, VARIANTS, find_method, on_meta
from mscf.models.context import ContextBlock
from mscf.models.cost import multiply_accumulates, parameters
from mscf.models.decoder import Decoder
from mscf.models.mscf_net import MSCFNet

CENET, OURS = 29_003_093, 29_111_179
PARAMETERS = {
    "spatial": OURS - 3,
    "channel": CENET + 3,
    "f-none": OURS,
    "rowmax-minus": OURS,
    "scaled": OURS,
    "rows": OURS,
    "once": OURS,
    "cat": 29_332_779,
    "only-64": CENET + 5_202,
    "only-128": CENET + 20_642,
    "only-256": CENET + 82_242,
    "spatial+twice": OURS - 3,
    "channel+twice": CENET + 3,
    "neither": CENET,
    "gain": OURS,
    "only-64+twice": CENET + 5_202,
    "only-128+twice": CENET + 20_642,
    "only-256+twice": CENET + 82_242,
}
BACKBONE, WITH_CAT = 20.505, 20.983  # G multiply-accumulates at 448
SPATIAL = {64: 0.064 + 11.329, 128: 0.064 + 1.416, 256: 0.064 + 0.177}
CHANNEL = 0.103
CONTEXT = sum(SPATIAL.values()) + 3 * CHANNEL
COST = dict.fromkeys(PARAMETERS, BACKBONE + CONTEXT) | {
    "spatial": BACKBONE + sum(SPATIAL.values()),
    "channel": BACKBONE + 3 * CHANNEL,
    "cat": WITH_CAT + CONTEXT,
    "only-64": BACKBONE + SPATIAL[64] + CHANNEL,
    "only-128": BACKBONE + SPATIAL[128] + CHANNEL,
    "only-256": BACKBONE + SPATIAL[256] + CHANNEL,
    "spatial+twice": BACKBONE + sum(SPATIAL.values()),
    "channel+twice": BACKBONE + 3 * CHANNEL,
    "neither": BACKBONE,
    "gain": BACKBONE + sum(SPATIAL.values()),
    "only-64+twice": BACKBONE + SPATIAL[64] + CHANNEL,
    "only-128+twice": BACKBONE + SPATIAL[128] + CHANNEL,
    "only-256+twice": BACKBONE + SPATIAL[256] + CHANNEL,
}


def slices() -> torch.Tensor:
    random = torch.Generator().manual_seed(2)
    return torch.rand(1, 3, 192, 224, generator=random) * 3.2 - 1.6


def test_every_variant_is_counted_here() -> None:
    assert PARAMETERS.keys() >= VARIANTS.keys()
    declared = {*BRANCHES.values(), *ONE_SCALE} - {"mscf"}
    assert declared == {f"mscf+{name}" for name in PARAMETERS if name not in VARIANTS}
    assert {n for key in declared for n in key.split("+")} >= CONTROLS.keys()


@pytest.mark.parametrize("name", PARAMETERS)
def test_variant_has_exactly_its_parameters(name) -> None:
    assert parameters(on_meta(f"mscf+{name}")) == PARAMETERS[name]
    assert parameters(on_meta(f"mscf+{name}", classes=2)) == PARAMETERS[name] + 289


@pytest.mark.parametrize("name", PARAMETERS)
def test_variant_costs_what_the_formulas_say(name) -> None:
    cost = multiply_accumulates(on_meta(f"mscf+{name}"), 448, 448) / 1e9
    assert cost == pytest.approx(COST[name], abs=0.004)  # up to seven rounded terms


@pytest.fixture(scope="module")
def ours():
    """Weights of ours, all of them filled, and the logits that they give."""
    network = filled(mscf.build("mscf")).eval()
    with torch.inference_mode():
        return network.state_dict(), network(slices())


@pytest.mark.check
@pytest.mark.parametrize("name", PARAMETERS)
def test_variant_computes_something_else_than_ours(name, ours) -> None:
    weights, expected = ours
    variant = filled(mscf.build(f"mscf+{name}")).eval()
    own = variant.state_dict()
    shared = {k: v for k, v in weights.items() if k in own and v.shape == own[k].shape}
    variant.load_state_dict(own | shared)
    with torch.inference_mode():
        logits = variant(slices())
    assert logits.shape == expected.shape
    assert logits.isfinite().all()
    assert (logits - expected).std() > 1e-3 * expected.std()


@pytest.mark.parametrize("scale", [64, 128, 256])
def test_one_scale_leaves_the_other_skips_as_they_are(scale) -> None:
    network = mscf.build(f"mscf+only-{scale}").eval()
    seen = {}
    network.encoder.register_forward_hook(
        lambda module, given, made: seen.update(before=made[:3])
    )
    network.decoder.register_forward_pre_hook(
        lambda module, given: seen.update(after=given[1])
    )
    with torch.inference_mode():
        network(slices())
    for before, after in zip(seen["before"], seen["after"], strict=True):
        doubled = before.shape[1] == scale  # alpha and beta start at 0
        torch.testing.assert_close(after, (1 + doubled) * before, rtol=0, atol=0)


@pytest.mark.parametrize("key", ["mscf", *BRANCHES.values(), *ONE_SCALE])
def test_what_the_claims_compare_begins_as_the_same_network(key) -> None:
    """X twice on every skip, so that no contrast is one of how much passes."""
    for skip, block in zip((64, 128, 256), mscf.build(key).contexts, strict=True):
        x = torch.randn(2, skip, 3, 4)
        torch.testing.assert_close(block(x), 2 * x, rtol=0, atol=0)
        assert block.times_input == 2


def test_gain_moves_every_channel_by_itself_alone() -> None:
    block = mscf.build("mscf+gain").contexts[0]
    block.channel.beta.data.fill_(0.3)
    x = torch.randn(2, 64, 3, 4)
    torch.testing.assert_close(block(x), 2.3 * x)


def test_a_block_without_branches_is_nothing() -> None:
    x = torch.randn(2, 64, 3, 4)
    for residual in ("printed", "once"):
        block = ContextBlock(64, spatial=False, channel=False, residual=residual)
        torch.testing.assert_close(block(x), x, rtol=0, atol=0)


def test_concatenated_skip_comes_first() -> None:
    up, skip = torch.zeros(1, 2, 3, 4), torch.ones(1, 2, 3, 4)
    joined = Decoder(join="cat").joined(up, skip)
    assert joined[0, :, 0, 0].tolist() == [1, 1, 0, 0]
    added = Decoder().joined(up + 2, skip)
    assert added[0, :, 0, 0].tolist() == [3, 3]


def test_variants_combine() -> None:
    method = find_method("mscf+once+rows")
    assert method.title == "Ours: once, rows"
    assert method.options == {"residual": "once", "eq5": "rows"}
    for block in method.build().contexts:
        assert block.channel.eq5 == "rows"
        x = torch.randn(1, block.spatial.value.in_channels, 3, 4)
        torch.testing.assert_close(block(x), x)  # once, at the start


@pytest.mark.parametrize("key", ["mscf+onec", "mscf+once+row", "mscf+"])
def test_unknown_variant_names_those_there_are(key) -> None:
    with pytest.raises(SettingsError) as refused:
        find_method(key)
    assert key in str(refused.value)
    assert all(name in str(refused.value) for name in VARIANTS)


@pytest.mark.parametrize(
    "key", ["mscf+spatial+channel", "mscf+only-64+only-128", "mscf+rows+gain"]
)
def test_two_words_about_one_choice_are_refused(key) -> None:
    with pytest.raises(SettingsError, match=r"must say once what \w+ is"):
        find_method(key)


def test_only_ours_has_variants() -> None:
    with pytest.raises(SettingsError, match=r"found: cenet\+once"):
        find_method("cenet+once")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"f": "gelu"}, "relu, none"),
        ({"softmax": "rowmax_minus"}, "rowmax-minus"),
        ({"eq5": "row"}, "literal, rows, identity"),
        ({"residual": "onec"}, "printed, once, twice"),
        ({"join": "concat"}, "add, cat"),
        ({"scales": (32,)}, "64, 128, 256"),
    ],
)
def test_a_misspelt_choice_is_refused(options, named) -> None:
    with pytest.raises(ValueError, match=named):
        MSCFNet(**options)
