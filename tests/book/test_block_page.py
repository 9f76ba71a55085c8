"""The examples of the page on the block: each is run, and prints what stands there."""

import doctest
import re
from pathlib import Path

import pytest
import torch

from mscf.models.add_context import WithContext
from mscf.models.cost import parameters

PAGE = Path(__file__).parents[2] / "book/block.md"


@pytest.mark.check
def test_every_example_prints_what_stands_under_it() -> None:
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert tried > 15
    assert failed == 0


STAGES = 8  # what nnU-Net plans for 512 x 512
ARCHITECTURE = {
    "network_class_name": "dynamic_network_architectures.architectures.unet."
    "PlainConvUNet",
    "arch_kwargs": {
        "n_stages": STAGES,
        "features_per_stage": [32, 64, 128, 256, 512, 512, 512, 512],
        "conv_op": "torch.nn.modules.conv.Conv2d",
        "kernel_sizes": [[3, 3]] * STAGES,
        "strides": [[1, 1]] + [[2, 2]] * (STAGES - 1),
        "n_conv_per_stage": [2] * STAGES,
        "n_conv_per_stage_decoder": [2] * (STAGES - 1),
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    },
    "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
}


@pytest.fixture
def trainers():
    """The page's trainer and the plain one, and a function that builds with nnU-Net."""
    pytest.importorskip("nnunetv2", reason="needs nnU-Net: the extra `nnunet`")
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    code = re.search(r"```python\n(import mscf\n.*?)```", PAGE.read_text(), re.DOTALL)
    names = {}
    exec(code[1], names)
    plans = PlansManager({
        "dataset_name": "any", "plans_name": "any",
        "configurations": {"2d": {"architecture": ARCHITECTURE}},
    })  # fmt: skip

    def built(trainer: type) -> torch.nn.Module:
        torch.manual_seed(0)
        settings = plans.get_configuration("2d")
        return trainer.build_network_architecture(plans, settings, 1, 3, True)

    return built, names["nnUNetTrainerContext"], names["nnUNetTrainer"]


@pytest.mark.check
def test_nnunets_network_gets_the_papers_blocks_and_computes_the_same(trainers) -> None:
    built, with_context, plain = trainers
    network, before = built(with_context), built(plain)
    blocks = [m for m in network.modules() if isinstance(m, WithContext)]
    assert len(blocks) == 3
    assert parameters(network) - parameters(before) == 108_086
    x = torch.randn(1, 1, 256, 256)
    kept = before.state_dict()
    network.load_state_dict({
        name: kept.get(name.replace(".layer.", "."), value)
        for name, value in network.state_dict().items()
    })  # fmt: skip
    with torch.inference_mode():
        for one, other in zip(network.eval()(x), before.eval()(x), strict=True):
            assert torch.equal(one, other)
