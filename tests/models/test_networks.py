"""What holds for every network of Table 1, and what the specification counts."""

import copy
from itertools import pairwise

import pytest
import torch
from filled import filled
from some import some
from ten_networks import TABLE
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import mscf
from mscf.checkpoint import load_weights, read_checkpoint, write_checkpoint
from mscf.errors import SettingsError
from mscf.models import METHODS, context, find_method, on_meta, self_attention
from mscf.models.cost import multiply_accumulates, parameters
from mscf.models.danet import conv_bn_relu

BACKBONE = {
    "encoder.stem": 9_536,
    "encoder.stage1": 221_952,
    "encoder.stage2": 1_116_416,
    "encoder.stage3": 6_822_400,
    "encoder.stage4": 13_114_368,
    "multi_kernel.0": 7_342_080,
    "multi_kernel.1": 513,
    "decoder.block4": 250_899,
    "decoder.block3": 62_208,
    "decoder.block2": 15_744,
    "decoder.block1": 4_640,
    "decoder.head.0": 32_800,
    "decoder.head.2": 9_248,
    "decoder.head.4": 289,
}
UP_AND_HEAD = {
    "up.0": 4_720_128, "up.1": 1_180_416, "up.2": 295_296, "up.3": 73_920, "head": 65,
}  # fmt: skip
UNET = UP_AND_HEAD | {
    "encoder.0": 38_976, "encoder.1": 221_952, "encoder.2": 886_272,
    "encoder.3": 3_542_016, "encoder.4": 14_161_920, "decoder.0": 7_080_960,
    "decoder.1": 1_771_008, "decoder.2": 443_136, "decoder.3": 110_976,
}  # fmt: skip
PARTS = {
    "unet": UNET,
    "attention_unet": UNET
    | {"gates.0": 263_939, "gates.1": 66_435, "gates.2": 16_835, "gates.3": 4_323},
    "r2unet": UP_AND_HEAD
    | {
        "encoder.0": 74_368, "encoder.1": 304_000, "encoder.2": 1_214_208,
        "encoder.3": 4_853_248, "encoder.4": 19_405_824, "decoder.0": 5_246_464,
        "decoder.1": 1_312_512, "decoder.2": 328_576, "decoder.3": 82_368,
    },
    "nested_unet": {
        "nodes.0_0": 10_272, "nodes.1_0": 55_680, "nodes.2_0": 221_952,
        "nodes.3_0": 886_272, "nodes.4_0": 3_542_016, "nodes.0_1": 37_056,
        "nodes.1_1": 147_840, "nodes.2_1": 590_592, "nodes.3_1": 2_360_832,
        "nodes.0_2": 46_272, "nodes.1_2": 184_704, "nodes.2_2": 738_048,
        "nodes.0_3": 55_488, "nodes.1_3": 221_568, "nodes.0_4": 64_704, "head": 33,
    },
    "cenet": BACKBONE,
    "senet": BACKBONE
    | {"excitations.0": 8_192, "excitations.1": 2_048, "excitations.2": 512},
    "self_attention": BACKBONE
    | {"attentions.0": 5_201, "attentions.1": 20_641, "attentions.2": 82_241},
    "danet": {
        "encoder": 23_508_032, "position.0": 9_438_208, "position.1": 328_321,
        "position.2": 2_360_320, "channel.0": 9_438_208, "channel.1": 1,
        "channel.2": 2_360_320, "main": 513, "of_position": 513, "of_channel": 513,
    },
    "csnet": {
        "encoder": 4_891_360, "spatial": 459_649, "channel": 1, "up": 696_800,
        "decoder": 2_352_960, "head": 33,
    },
    "mscf": BACKBONE
    | {
        "contexts.0": 5_202, "contexts.1": 20_642, "contexts.2": 82_242,
        "contexts.0.spatial.value": 4_160, "contexts.1.spatial.value": 16_512,
        "contexts.2.spatial.value": 65_792, "contexts.2.channel": 1,
    },
}  # fmt: skip


def slices(key: str, number: int = 1) -> torch.Tensor:
    """A small batch with more columns than rows."""
    height, width = {16: (32, 48), 32: (192, 224), 1: (50, 67)}[METHODS[key].multiple]
    random = torch.Generator().manual_seed(1)
    return torch.rand(number, 3, height, width, generator=random) * 3.2 - 1.6


def one_of_ten(quick: str) -> pytest.MarkDecorator:
    """Where each of the ten takes seconds; all of them by `make check`."""
    return pytest.mark.parametrize("key", some(METHODS, quick), scope="module")


@pytest.fixture(scope="module", params=METHODS)
def key(request):
    return request.param


@pytest.fixture(scope="module")
def network(key):
    """One for all tests of this method, in evaluation mode; do not change it."""
    return filled(mscf.build(key)).eval()


@torch.inference_mode()
def logits_of(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return network(x)


def test_table_lists_the_methods_of_the_paper_in_its_order() -> None:
    rows = {}
    for key, method in METHODS.items():
        one, two = on_meta(key), on_meta(key, classes=2)
        counts = parameters(one), parameters(two)
        rows[key] = (method.title, type(one).__name__, *counts)
    assert rows == {key: row[:4] for key, row in TABLE.items()}
    assert list(rows) == list(TABLE)


def test_context_adds_0_37_percent() -> None:
    ours, backbone = (parameters(on_meta(key)) for key in ("mscf", "cenet"))
    assert ours - backbone == 108_086
    assert round(100 * (ours - backbone) / backbone, 2) == 0.37


def test_danet_with_the_stem_that_its_code_has_by_default_would_be_larger() -> None:
    """Three convolutions for one, twice the channels behind them (open point 12)."""
    danet, channels = on_meta("danet"), (3, 64, 64, 128)
    stem = sum(parameters(conv_bn_relu(*pair)) for pair in pairwise(channels))
    first = danet.encoder.stages[0][0]
    behind = 64 * (first.conv1.out_channels + first.downsample[0].out_channels)
    more = stem + behind - parameters(danet.encoder.stem)
    assert parameters(danet) + more == 47_558_725


@pytest.mark.parametrize("key", METHODS)
def test_parts_have_the_parameters_of_the_specification(key) -> None:
    network = on_meta(key)
    counts = {part: parameters(network.get_submodule(part)) for part in PARTS[key]}
    assert counts == PARTS[key]


@pytest.mark.parametrize("key", METHODS)
def test_cost_at_448_is_that_of_the_specification(key) -> None:
    cost = multiply_accumulates(on_meta(key), 448, 448) / 1e9
    assert cost == pytest.approx(TABLE[key][4], abs=0.001)


@pytest.mark.parametrize("key", METHODS)
def test_cost_is_half_of_the_operations_that_torch_counts(key, monkeypatch) -> None:
    def plain(query, key, value):
        return torch.softmax(query @ key.mT, dim=-1) @ value

    for module in (context, self_attention):  # the fused kernels' widths differ
        monkeypatch.setattr(module, "attend", plain)
    height, width = slices(key).shape[-2:]
    with FlopCounterMode(display=False) as operations:
        on_meta(key).eval()(torch.empty(1, 3, height, width, device="meta"))
    cost = multiply_accumulates(on_meta(key), height, width)
    assert 2 * cost == operations.get_total_flops()


@pytest.mark.parametrize("key", METHODS)
def test_batch_norm_is_that_of_the_specification(key) -> None:
    norms = [m for m in on_meta(key).modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    for norm in norms:
        assert (norm.eps, norm.momentum) == (1e-5, 0.1)
        assert norm.affine
        assert norm.track_running_stats


@pytest.mark.parametrize("classes", [1, 2])
@pytest.mark.parametrize("key", METHODS)
def test_logits_have_the_size_of_the_slices(key, classes) -> None:
    network = on_meta(key, classes).eval()
    x = slices(key, 2)
    assert network(x.to("meta")).shape == (2, classes, *x.shape[-2:])
    assert {head.out_channels for head in network.heads()} == {classes}


def test_least_size_is_taken(key, network) -> None:
    least = METHODS[key].minimum_size
    logits = logits_of(network, torch.zeros(1, 3, least, least))
    assert logits.shape == (1, 1, least, least)
    assert logits.isfinite().all()


@pytest.mark.parametrize("key", [key for key in METHODS if key != "danet"])
def test_size_that_does_not_fit_names_the_nearest_good_one(key) -> None:
    least, multiple = METHODS[key].minimum_size, METHODS[key].multiple
    network = on_meta(key)
    for wrong, good in (
        (least - 1, least),
        (least + 1, least),
        (least + multiple - 1, least + multiple),
        (least + 3 * multiple + 1, least + 3 * multiple),
    ):
        x = torch.empty(1, 3, wrong, 2 * least, device="meta")
        said = rf"of {multiple} and .* {least} \(found: {wrong}\); .*one: {good}$"
        with pytest.raises(ValueError, match=f"^height .*{said}"):
            network(x)
        with pytest.raises(ValueError, match=f"^width .*{said}"):
            network(x.mT)


def test_batch_of_two_equals_two_of_one_in_evaluation(key, network) -> None:
    x = slices(key, 2)
    together = logits_of(network, x)
    apart = torch.cat([logits_of(network, x[:1]), logits_of(network, x[1:])])
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-4)
    assert (apart[0] - apart[1]).abs().max() > 1e-2  # other slices, other logits


def test_evaluation_gives_the_same_twice(key, network) -> None:
    x = slices(key)
    torch.testing.assert_close(
        logits_of(network, x), logits_of(network, x), rtol=0, atol=0
    )


def test_gradients_reach_every_parameter(key, network) -> None:
    network = copy.deepcopy(network).train()
    made = network(slices(key))
    outputs = made if isinstance(made, tuple) else (made,)
    sum(logits.square().mean() for logits in outputs).backward()
    gradients = {name: p.grad for name, p in network.named_parameters()}
    assert not [name for name, g in gradients.items() if g is None]
    assert all(g.isfinite().all() for g in gradients.values())
    # A bias before a batch norm moves nothing; every weight and scale does.
    moved = [name for name in gradients if not name.endswith("bias")]
    assert not [name for name in moved if not gradients[name].any()]


@one_of_ten("mscf")
def test_weights_survive_writing_and_reading(key, network, tmp_path) -> None:
    x, path = slices(key), tmp_path / "best.ckpt"
    write_checkpoint(path, network.state_dict(), {"method": key})
    tensors, record = read_checkpoint(path)
    path.unlink()  # up to 190 MB, and pytest keeps folders
    again = mscf.build(key).eval()
    load_weights(again, tensors, path)
    assert record["method"] == key
    expected = logits_of(network, x)
    torch.testing.assert_close(logits_of(again, x), expected, rtol=0, atol=0)


@one_of_ten("csnet")
def test_bf16_autocast_stays_close_to_float32(key, network) -> None:
    x = slices(key)
    exact = logits_of(network, x)
    with torch.autocast("cpu", torch.bfloat16):
        rough = logits_of(network, x).float()
    assert rough.isfinite().all()
    # Eight bits a number, through up to 60 layers.
    assert (rough - exact).std() < 0.1 * exact.std()


@one_of_ten("mscf")
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_a_network_held_in_half_computes_in_it(half, key, network) -> None:
    x = slices(key)
    exact = logits_of(network, x)
    rough = logits_of(copy.deepcopy(network).to(half), x.to(half))
    assert rough.dtype == half
    assert (rough.float() - exact).std() < 0.1 * exact.std()


@one_of_ten("mscf")
def test_graph_is_captured_whole(key, network) -> None:
    torch.compiler.reset()
    captured = torch.compile(network, backend="eager", fullgraph=True)
    x = slices(key)
    expected = logits_of(network, x)
    torch.testing.assert_close(logits_of(captured, x), expected, rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_compiled_network_computes_the_same(key, network) -> None:
    torch.compiler.reset()
    compiled = torch.compile(network, fullgraph=True)
    x = slices(key)
    expected = logits_of(network, x)
    torch.testing.assert_close(logits_of(compiled, x), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_exported_network_computes_the_same(key, network) -> None:
    x = slices(key)
    exported = torch.export.export(network, (x,)).module()
    expected = logits_of(network, x)
    torch.testing.assert_close(logits_of(exported, x), expected, rtol=1e-5, atol=1e-5)


def test_unknown_method_names_those_there_are() -> None:
    with pytest.raises(SettingsError, match=rf"found: unett.*{', '.join(METHODS)}"):
        find_method("unett")


@pytest.mark.parametrize("name", ["ResNet34", "ResNet50"])
def test_encoder_says_when_imagenet_weights_cannot_be_had(name, monkeypatch) -> None:
    from mscf.models import encoder

    def unreachable(self, **kwargs):
        raise OSError("no route")

    weights = getattr(encoder, f"{name}_Weights")
    monkeypatch.setattr(weights, "get_state_dict", unreachable)
    with pytest.warns(encoder.PretrainedUnavailable, match="no route"):
        network = mscf.build(
            {"ResNet34": "cenet", "ResNet50": "danet"}[name], pretrained=True
        )
    assert not network.encoder.loaded


@pytest.mark.parametrize("key", ["cenet", "danet", "mscf"])
def test_encoder_takes_imagenet_weights_where_they_are(key, monkeypatch) -> None:
    from mscf.models import encoder

    name = "resnet50" if key == "danet" else "resnet34"
    given = filled(getattr(encoder, name)()).state_dict()
    weights = getattr(encoder, f"{name.replace('resnet', 'ResNet')}_Weights")
    asked = []

    def taken(self, **_):
        asked.append(self.name)
        return given

    monkeypatch.setattr(weights, "get_state_dict", taken)
    network = mscf.build(key, pretrained=True)
    assert asked == ["IMAGENET1K_V1"]  # of one recipe, or DANet would have a better one
    assert network.encoder.loaded
    taken = {id_of(t) for t in network.encoder.state_dict().values()}
    wanted = {id_of(t) for n, t in given.items() if not n.startswith("fc.")}
    assert taken == wanted


def id_of(tensor: torch.Tensor) -> tuple:
    return tuple(tensor.shape), float(tensor.double().sum())
