"""The examples of the page on the block: each is run, and prints what stands there."""

import doctest
import re
import sys
from inspect import signature
from pathlib import Path
from types import ModuleType
from unittest.mock import MagicMock

import pytest
import torch

import mscf
from mscf.models.add_context import WithContext
from mscf.models.cost import parameters

PAGE = Path(__file__).parents[2] / "book/block.md"


@pytest.mark.check
def test_every_example_prints_what_stands_under_it() -> None:
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert tried > 15
    assert failed == 0


def trainer_on_the_page() -> str:
    """The code of the file that the page shows."""
    page = PAGE.read_text(encoding="utf-8")
    return re.search(r"```python\n(import mscf\n.*?)```", page, re.DOTALL)[1]


def test_the_trainer_of_the_page_puts_blocks_behind_stages_1_to_3(monkeypatch) -> None:
    """Where nnU-Net is not installed; with it the tests below see the network."""
    place, stub = "nnunetv2.training.nnUNetTrainer.nnUNetTrainer", ModuleType("stub")
    plain = {"build_network_architecture": staticmethod(lambda *_, **__: "network")}
    stub.nnUNetTrainer = type("nnUNetTrainer", (), plain)
    for n in range(1, 5):
        monkeypatch.setitem(sys.modules, ".".join(place.split(".")[:n]), stub)
    monkeypatch.setattr(mscf, "add_context", lambda network, layers: (network, layers))
    names: dict = {}
    exec(trainer_on_the_page(), names)
    build = names["nnUNetTrainerContext"].build_network_architecture
    assert next(iter(signature(build).parameters)) == "plans_manager"
    stages = [f"encoder.stages.{n}" for n in (1, 2, 3)]
    assert build("plans") == ("network", stages)


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
def trainers(monkeypatch):
    """The page's trainer and the plain one, and a function that builds with nnU-Net."""
    pytest.importorskip("nnunetv2", reason="needs nnU-Net: the extra `nnunet`")
    from nnunetv2.training.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    names: dict = {}
    exec(trainer_on_the_page(), names)
    plans = PlansManager({
        "dataset_name": "any", "plans_name": "any",
        "configurations": {"2d": {"architecture": ARCHITECTURE, "batch_size": 12}},
    })  # fmt: skip

    monkeypatch.setattr(nnUNetTrainer, "determine_num_input_channels", lambda *_: 1)
    monkeypatch.setattr(nnUNetTrainer, "infer_dataset_class", MagicMock())

    def built(trainer: type) -> torch.nn.Module:
        """By nnU-Net's own `initialize`, which sees how a trainer is to be called."""
        torch.manual_seed(0)
        started = MagicMock(
            was_initialized=False, is_ddp=False, enable_deep_supervision=True,
            plans_manager=plans, configuration_manager=plans.get_configuration("2d"),
            build_network_architecture=trainer.build_network_architecture, device="cpu",
        )  # fmt: skip
        started.label_manager.num_segmentation_heads = 3
        started.configure_optimizers.return_value = None, None
        started._do_i_compile.return_value = False
        trainer.initialize(started)
        return started.network

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
