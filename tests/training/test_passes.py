import functools
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from mscf.models.context import ChannelContext
from mscf.training import settings as settings_module
from mscf.training.passes import passes
from mscf.training.settings import TrainSettings, fastest_precision


class Products(TorchDispatchMode):
    """Keeps of which kind the numbers of every batched product are."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten.bmm.default:
            self.kinds.append(args[0].dtype)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("compiled", [False, True])
def test_what_a_network_keeps_exact_has_exact_gradients(compiled, monkeypatch) -> None:
    monkeypatch.setattr(
        torch, "compile", functools.partial(torch.compile, backend="aot_eager")
    )
    settings = TrainSettings(
        data=Path("d"), out=Path("o"), gpus=0, precision="bf16", compile=compiled
    )
    block = ChannelContext()
    nn.init.constant_(block.beta, 0.1)
    images = torch.rand(1, 4, 6, 6, requires_grad=True)
    loss = passes(block, images, settings)(images).sum()
    with Products() as products:
        loss.backward()
    assert products.kinds == [torch.float32] * 4


def test_bf16_that_a_gpu_only_emulates_is_not_chosen(monkeypatch) -> None:
    def of_a_t4(including_emulation=True):
        return including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", of_a_t4)
    assert fastest_precision(torch.device("cuda")) == "float32"


@pytest.mark.parametrize(
    "unit", ["_is_amx_tile_supported", "_is_avx512_bf16_supported"]
)
def test_bf16_is_chosen_on_a_cpu_with_one_of_the_units_for_it(
    unit, monkeypatch
) -> None:
    units = "_is_amx_tile_supported", "_is_avx512_bf16_supported"
    for name in units:  # raises where torch has it no more: they are private there
        monkeypatch.setattr(torch.cpu, name, lambda: False)
    assert fastest_precision(torch.device("cpu")) == "float32"
    monkeypatch.setattr(torch.cpu, unit, lambda: True)
    assert fastest_precision(torch.device("cpu")) == "bf16"


def test_workers_share_the_cores_of_their_own_machine(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(settings_module, "cores", lambda: 12)
    monkeypatch.setenv("WORLD_SIZE", "16")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    settings = TrainSettings(
        data=Path("d"), out=Path("o"), batch_size=16, precision="float32"
    )
    assert settings.resolved().workers == 3
