"""The block in other people's networks: six that many use, and layers that cannot."""

import copy
import io

import onnxruntime
import pytest
import torch
from some import some
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

import mscf
from mscf.models.add_context import WithContext
from mscf.models.context import ContextBlock
from mscf.models.cost import parameters

import mscf.compat  # isort: skip  (before what imports torchvision)


def fcn() -> nn.Module:
    from torchvision.models.segmentation import fcn_resnet50

    return fcn_resnet50(weights=None, weights_backbone=None, num_classes=1)


def deeplabv3() -> nn.Module:
    from torchvision.models.segmentation import deeplabv3_resnet50

    return deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=1)


def smp_unet() -> nn.Module:
    import segmentation_models_pytorch as smp

    return smp.Unet("resnet34", encoder_weights=None)


def monai_unet() -> nn.Module:
    from monai.networks.nets import UNet

    return UNet(2, 1, 1, channels=(16, 32, 64), strides=(2, 2), num_res_units=2)


def monai_attention_unet() -> nn.Module:
    from monai.networks.nets import AttentionUnet

    return AttentionUnet(2, 1, 1, channels=(16, 32, 64), strides=(2, 2))


def monai_segresnet() -> nn.Module:
    from monai.networks.nets import SegResNet

    return SegResNet(2, 16, 1, 1)


# What builds it; which layers; the channels of what each gives; the input's.
NETWORKS = {
    "FCN": (fcn, {"backbone.layer2": 512, "classifier.2": 512}, 3),
    "DeepLabV3": (deeplabv3, {"classifier.0": 256}, 3),
    "smp.Unet": (
        smp_unet,
        {"encoder.layer1": 64, "encoder.layer2": 128, "encoder.layer3": 256},
        3,
    ),
    "monai UNet": (monai_unet, {"model.0": 16, "model.1.submodule.0": 32}, 1),
    "monai AttentionUnet": (
        monai_attention_unet,
        {"model.1.attention": 16, "model.1.submodule.1.attention": 32},
        1,
    ),
    "monai SegResNet": (monai_segresnet, {"down_layers.1": 32}, 1),
}


@pytest.fixture(params=some(NETWORKS, "smp.Unet", "monai SegResNet"))
def case(request) -> tuple[nn.Module, dict[str, int], Tensor]:
    """A network in evaluation mode, layers with their channels, and an input."""
    make, layers, channels = NETWORKS[request.param]
    torch.manual_seed(0)
    return make().eval(), layers, torch.rand(2, channels, 64, 64)


@torch.inference_mode()
def computed(model: nn.Module, x: Tensor) -> Tensor:
    """The logits; torchvision's networks give them in a dictionary."""
    made = model(x)
    return made if isinstance(made, Tensor) else made["out"]


def moved(model: nn.Module) -> nn.Module:
    """Every alpha and beta away from 0, so that the blocks do something."""
    for module in model.modules():
        if isinstance(module, ContextBlock):
            nn.init.constant_(module.spatial.alpha, 0.7)
            nn.init.constant_(module.channel.beta, 0.3)
    return model


def test_a_network_computes_the_same_bits_at_the_start(case) -> None:
    model, layers, x = case
    before = computed(model, x)
    assert mscf.add_context(model, list(layers), x) is model
    torch.testing.assert_close(computed(model, x), before, rtol=0, atol=0)
    after = computed(moved(model), x)
    assert (after - before).abs().max() > 1e-3 * before.abs().max()


def test_it_does_so_under_autocast_too(case) -> None:
    model, layers, x = case
    with torch.autocast("cpu", torch.bfloat16):
        before = computed(model, x)
        mscf.add_context(model, list(layers), x)
        after = computed(model, x)
    torch.testing.assert_close(after, before, rtol=0, atol=0)


def test_the_blocks_add_the_parameters_of_their_channels(case) -> None:
    model, layers, x = case
    before = parameters(model)
    mscf.add_context(model, list(layers), x)
    # Query and key to C / 8, value, all with bias; alpha and beta.
    added = [2 * (c + 1) * (c // 8) + (c + 1) * c + 2 for c in layers.values()]
    assert parameters(model) - before == sum(added)


def test_the_papers_three_scales_get_the_papers_parameters() -> None:
    model, layers, _ = smp_unet(), *NETWORKS["smp.Unet"][1:]
    before = parameters(model)
    assert parameters(mscf.add_context(model, list(layers))) - before == 108_086


def test_as_printed_the_block_doubles_its_maps(case) -> None:
    model, layers, x = case
    (name, *_) = layers
    seen = {}
    mscf.add_context(model, [name], x, residual="printed")
    block = model.get_submodule(name)
    block.layer.register_forward_hook(lambda *args: seen.update(plain=args[-1].clone()))
    block.register_forward_hook(lambda *args: seen.update(block=args[-1].clone()))
    computed(model, x)
    torch.testing.assert_close(seen["block"], 2 * seen["plain"], rtol=0, atol=0)


def test_training_moves_every_alpha_and_beta(case) -> None:
    model, layers, x = case
    model = mscf.add_context(model, list(layers), x).train()
    target = (torch.rand(2, 1, 64, 64) > 0.5).float()
    made = model(x)
    logits = made if isinstance(made, Tensor) else made["out"]
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    binary_cross_entropy_with_logits(logits, target).backward()
    optimizer.step()
    scales = {
        n: p for n, p in model.named_parameters() if n.endswith(("alpha", "beta"))
    }
    assert len(scales) == 2 * len(layers)
    assert all(scale.item() for scale in scales.values()), scales


def test_blocks_survive_a_copy_and_a_state_dict(case) -> None:
    model, layers, x = case
    other = mscf.add_context(copy.deepcopy(model), list(layers), x)
    moved(mscf.add_context(model, list(layers), x))
    expected = computed(model, x)
    torch.testing.assert_close(computed(copy.deepcopy(model), x), expected)
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(computed(other, x), expected, rtol=0, atol=0)


@pytest.mark.check
def test_a_network_with_blocks_is_compiled_whole(case) -> None:
    model, layers, x = case
    moved(mscf.add_context(model, list(layers), x))
    torch.compiler.reset()
    captured = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(computed(captured, x), computed(model, x))


@pytest.mark.check
def test_a_network_with_blocks_is_exported(case) -> None:
    model, layers, x = case
    moved(mscf.add_context(model, list(layers), x))
    model, x = model.double(), x.double()  # one-hot maps of Eq. 4 show every rounding
    exported = torch.export.export(model, (x,)).module()
    expected = computed(model, x)
    torch.testing.assert_close(computed(exported, x), expected, rtol=1e-9, atol=1e-9)


def small() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())


def test_what_is_exported_may_change_its_device_and_type() -> None:
    model = moved(mscf.add_context(small().eval(), ["2"]))
    x = torch.rand(1, 3, 8, 9)
    program = torch.export.export(model, (x,))
    nodes = [
        node
        for part in program.graph_module.modules()
        if isinstance(part, torch.fx.GraphModule)
        for node in part.graph.nodes
    ]
    assert not [node for node in nodes if "assert_tensor_metadata" in str(node.target)]
    made, x = program.module().double()(x.double()), x.double()
    torch.testing.assert_close(made, model.double()(x), rtol=1e-10, atol=1e-10)


def test_the_older_exporter_to_onnx_takes_a_network_with_blocks() -> None:
    model, file = moved(mscf.add_context(small().eval(), ["2"])), io.BytesIO()
    free = {"x": {0: "batch", 2: "height", 3: "width"}}
    torch.onnx.export(
        model, (torch.rand(2, 3, 8, 9),), file, dynamo=False, input_names=["x"],
        dynamic_axes=free,
    )  # fmt: skip
    session = onnxruntime.InferenceSession(
        file.getvalue(), providers=["CPUExecutionProvider"]
    )
    x = torch.rand(1, 3, 12, 7)
    (made,) = session.run(None, {"x": x.numpy()})
    torch.testing.assert_close(torch.from_numpy(made), model(x), rtol=0, atol=1e-5)


def test_a_dry_run_leaves_modes_and_statistics_as_they_were() -> None:
    model = small().train()
    model[1].eval()
    before = copy.deepcopy(model.state_dict())
    mscf.add_context(model, ["0"])
    after = model.state_dict()
    assert [m.training for m in model] == [True, False, True]
    assert model[0].context.training
    assert all(
        torch.equal(after[n.replace("0.", "0.layer.")], before[n]) for n in before
    )


def test_a_block_has_the_precision_of_its_layer() -> None:
    model = mscf.add_context(small().double(), ["2"])
    assert {p.dtype for p in model.parameters()} == {torch.float64}


class WithAutocast(nn.Module):
    """As `book/block.md` recommends where a network is compiled."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.inner = small()
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", self.dtype):
            return self.inner(x)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layer", ["inner.0", "inner.1", "inner.2"])
def test_a_block_has_the_precision_of_the_weights_not_of_autocast(half, layer) -> None:
    """A convolution gives half there; what stands behind it may have no weights."""
    model = mscf.add_context(WithAutocast(half), [layer])
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    with torch.autocast("cpu", half):
        around = mscf.add_context(small(), [layer.removeprefix("inner.")])
    assert {p.dtype for p in around.parameters()} == {torch.float32}
    around(torch.rand(1, 3, 16, 16)).sum().backward()


def test_a_network_in_half_starts_as_it_was_whatever_its_maps() -> None:
    """All channels gather in the strongest; their sum is more than float16 holds."""
    block = ContextBlock(256, residual="once").half()
    x = torch.full((1, 256, 8, 8), 600.0, dtype=torch.float16)
    x[:, 0] = 800
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(
    ("fix", "said"),
    [
        (torch.jit.script, "before torch.jit.*RecursiveScriptModule"),
        (lambda m: torch.jit.trace(m, torch.rand(1, 3, 16, 16)), "before torch.jit"),
        (lambda m: nn.Sequential(nn.LazyConv2d(8, 3), m), "example must be given"),
    ],
)
def test_a_model_that_cannot_grow_is_refused_by_its_name(fix, said) -> None:
    model = fix(small())
    name, _ = list(model.named_modules())[-1]
    with pytest.raises(ValueError, match=said):
        mscf.add_context(model, [name])


def test_blocks_come_before_distributed_data_parallel(tmp_path) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1
    )
    try:
        model = nn.parallel.DistributedDataParallel(small())
        with pytest.raises(ValueError, match="before it goes into Distributed"):
            mscf.add_context(model, ["module.2"])
    finally:
        torch.distributed.destroy_process_group()


def test_a_layer_and_one_inside_it_are_both_given_blocks() -> None:
    model = nn.Sequential(small(), nn.Conv2d(8, 1, 1))
    x = torch.rand(1, 3, 16, 16)
    before = model(x)
    mscf.add_context(model, ["0", "0.1"], x)
    assert sum(isinstance(m, WithContext) for m in model.modules()) == 2
    torch.testing.assert_close(model(x), before, rtol=0, atol=0)


class Shared(nn.Module):
    """A U-Net whose decoder holds the encoder as well, as nnU-Net's does."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = small()
        self.decoder = nn.Module()
        self.decoder.encoder = self.encoder

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x)


def test_a_layer_in_a_part_that_two_hold_gets_one_block_under_both_names() -> None:
    model, x = Shared().eval(), torch.rand(1, 3, 16, 16)
    before = model(x)
    mscf.add_context(model, ["encoder.2"], x)
    assert model.encoder[2] is model.decoder.encoder[2]
    assert sum(isinstance(m, ContextBlock) for m in model.modules()) == 1
    torch.testing.assert_close(model(x), before, rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"decoder\.encoder\.2 must have no context"):
        mscf.add_context(model, ["decoder.encoder.2"], x)


def test_a_layer_in_two_places_gets_one_block_in_both() -> None:
    from monai.networks.nets import DynUNet

    model = DynUNet(2, 1, 1, [3, 3, 3], [1, 2, 2], [2, 2], filters=[8, 16, 32]).eval()
    x = torch.rand(1, 1, 32, 32)
    before = computed(model, x)
    mscf.add_context(model, ["downsamples.0"], x)
    assert model.downsamples[0] is model.skip_layers.next_layer.downsample
    assert sum(isinstance(m, WithContext) for m in model.modules()) == 1
    torch.testing.assert_close(computed(model, x), before, rtol=0, atol=0)
    assert (computed(moved(model), x) - before).abs().max() > 1e-3


class Listed(nn.Module):
    """Its forward pass calls the first stage from a plain list of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = small(), nn.Conv2d(8, 8, 1)
        self.stages = [self.first, self.second]

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.stages[0](x))


class Looking(nn.Module):
    """Its forward pass reads what a layer has, but a block has not."""

    def __init__(self) -> None:
        super().__init__()
        self.second = small()
        self.first = nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(x)
        return self.first(x) / self.first.out_channels


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (Listed, r"layer first must be called from its place .*\(found: 0 calls"),
        (Looking, r"run with blocks in place \(found: AttributeError: .*out_channels"),
    ],
)
def test_a_block_that_the_network_goes_around_is_refused(make, said) -> None:
    model, x = make(), torch.rand(1, 3, 16, 16)
    modules, state = dict(model.named_modules()), copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=said):
        mscf.add_context(model, ["second", "first"], x)
    assert dict(model.named_modules()) == modules
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())
    torch.testing.assert_close(model.state_dict(), state, rtol=0, atol=0)
    mscf.add_context(model, ["second"], x)  # whose place is the one that is called
    assert isinstance(model.second, WithContext)


def test_one_layer_by_two_names_is_given_twice() -> None:
    model = Shared()
    with pytest.raises(ValueError, match=r"given once .*encoder\.2, decoder"):
        mscf.add_context(model, ["encoder.2", "decoder.encoder.2"])
    assert not any(isinstance(m, WithContext) for m in model.modules())


class Odd(nn.Module):
    """Layers that cannot be given a block, each for another reason."""

    def __init__(self) -> None:
        super().__init__()
        self.good = nn.Conv2d(3, 8, 1)
        self.twice = nn.Conv2d(8, 8, 1)
        self.never = nn.Conv2d(8, 8, 1)
        self.narrow = nn.Conv2d(8, 4, 1)
        self.last = Permute(0, 2, 3, 1)
        self.back = Permute(0, 3, 1, 2)
        self.flat = nn.Flatten()
        self.pair = Pair()

    def forward(self, x: Tensor) -> Tensor:
        x = self.twice(self.twice(self.good(x)))
        x = self.back(self.last(x))
        return self.flat(self.narrow(self.pair(x)[0]))


class Permute(nn.Module):
    def __init__(self, *order: int) -> None:
        super().__init__()
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self.order)


class Pair(nn.Module):
    def forward(self, x: Tensor) -> list[Tensor]:
        return [x, x]


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ([], "at least one"),
        ("good", "list .*found: 'good'"),
        ([nn.Conv2d(3, 8, 1)], r"names,.*found: \[Conv2d"),
        (["goood"], "found: goood.*nearest: good"),
        (["xyz"], "nearest: none"),
        ([""], "nearest"),
        (["good", "good"], "given once .*good, good"),
        (["twice"], "once.*found: 2 times"),
        (["never"], "once.*found: 0 times"),
        (["narrow"], r"at least 8 channels .*\(1, 4, 256, 256\)"),
        (["flat"], r"map .*found: \(1, 262144\)"),
        (["last"], r"map .*found: \(1, 256, 256, 8\), .*\(1, 512, 256, 8\)"),
        (["pair"], "map .*list"),
    ],
)
def test_a_layer_that_cannot_have_a_block_is_named(layers, said) -> None:
    model = Odd()
    names = [name for name, _ in model.named_modules()]
    with pytest.raises(ValueError, match=said):
        mscf.add_context(model, layers)
    assert [name for name, _ in model.named_modules()] == names
    assert not any(module._forward_hooks for module in model.modules())


def test_names_may_come_one_by_one() -> None:
    model = mscf.add_context(small(), (name for name in ("0", "2")))
    assert [isinstance(layer, WithContext) for layer in model] == [True, False, True]


@pytest.mark.parametrize("again", ["0", "0.layer", "0.context"])
def test_a_layer_is_given_one_block_only(again) -> None:
    model = mscf.add_context(small(), ["0"])
    with pytest.raises(
        ValueError, match=rf"layer {again} must have no context block yet"
    ):
        mscf.add_context(model, [again])


def test_an_example_that_does_not_fit_is_said_with_the_networks_own_words() -> None:
    with pytest.raises(ValueError, match=r"example .*3 channels.*example=torch"):
        mscf.add_context(small(), ["0"], torch.zeros(1, 1, 16, 16))
    with pytest.raises(ValueError, match=r"no 2-D convolution.*example=torch"):
        mscf.add_context(nn.Sequential(nn.ReLU()), ["0"])


def test_a_network_of_two_inputs_is_said_not_to_take_one() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 8, 1)

        def forward(self, x, other):
            return self.layer(x) + other

    with pytest.raises(ValueError, match="must be an input that the model takes"):
        mscf.add_context(Two(), ["layer"])


class Refusing(nn.Module):
    """A network that looks at its input by itself."""

    def __init__(self, error: type[Exception]) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 8, 1)
        self.error = error

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-2:] != (192, 192):
            raise self.error("192 pixels")
        return self.layer(x)


@pytest.mark.parametrize(
    "error", [AssertionError, KeyError, IndexError, AttributeError, TypeError]
)
def test_however_a_network_refuses_its_input_it_is_said_and_left_as_it_was(
    error,
) -> None:
    model = Refusing(error)
    said = rf"example must .*found: {error.__name__}.*192 pixels.*example=torch"
    with pytest.raises(ValueError, match=said):
        mscf.add_context(model, ["layer"])
    assert isinstance(model.layer, nn.Conv2d)
    assert model.layer.training
    assert not model.layer._forward_hooks
    mscf.add_context(model, ["layer"], torch.zeros(1, 3, 192, 192))
    assert isinstance(model.layer, WithContext)


def test_a_layer_of_volumes_is_refused() -> None:
    model = nn.Sequential(nn.Conv3d(1, 8, 3))
    with pytest.raises(ValueError, match="none is for volumes"):
        mscf.add_context(model, ["0"])
    with pytest.raises(ValueError, match=r"map .*found: \(1, 8, 6, 6, 6\)"):
        mscf.add_context(model, ["0"], torch.zeros(1, 1, 8, 8, 8))


def test_an_option_that_is_no_choice_leaves_the_model_as_it_was() -> None:
    model = small()
    with pytest.raises(ValueError, match="residual must be one of"):
        mscf.add_context(model, ["0"], residual="thrice")
    with pytest.raises(TypeError, match="spatail"):
        mscf.add_context(model, ["0"], spatail=False)
    assert isinstance(model[0], nn.Conv2d)
