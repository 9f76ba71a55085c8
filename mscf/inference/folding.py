"""Batch norms folded into the convolutions before them, for networks that only infer.

In evaluation mode a batch norm multiplies and adds fixed numbers; torch's
``fuse_conv_bn_eval`` puts them into the convolution's weights. Which norm follows which
convolution is seen in a forward pass, so that a network needs no particular form.
"""

from __future__ import annotations

import copy
from contextlib import ExitStack
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

CONVOLUTIONS = nn.Conv2d, nn.ConvTranspose2d


def folded(network: nn.Module, example: Tensor) -> nn.Module:
    """A copy in evaluation mode that computes the same without those batch norms.

    ``example`` is any input. A convolution's output must go to its norm only, which
    holds for the ten networks and is not looked for: compare the results.
    """
    network = copy.deepcopy(network).eval()
    pairs = norms_behind_convolutions(network, example)
    for norm_name, conv_name in pairs.items():
        conv, norm = map(network.get_submodule, (conv_name, norm_name))
        is_transposed = isinstance(conv, nn.ConvTranspose2d)
        network.set_submodule(conv_name, fuse_conv_bn_eval(conv, norm, is_transposed))
        network.set_submodule(norm_name, nn.Identity())
    return network


@torch.inference_mode()
def norms_behind_convolutions(network: nn.Module, example: Tensor) -> dict[str, str]:
    """The name of each batch norm that always follows one convolution, with its name.

    Also where both run several times, as in R2U-Net.
    """
    made: list[tuple[Tensor, str]] = []
    before: dict[str, set[str]] = {}

    def remember(name: str, _module: nn.Module, _given: tuple, output: Tensor) -> None:
        made.append((output, name))

    def look_up(name: str, _module: nn.Module, given: tuple[Tensor]) -> None:
        conv = [conv for output, conv in made if output is given[0]]
        before.setdefault(name, set()).update(conv or [""])

    with ExitStack() as hooks:
        for name, module in network.named_modules():
            if isinstance(module, CONVOLUTIONS):
                hook = module.register_forward_hook(partial(remember, name))
                hooks.enter_context(hook)
            elif isinstance(module, nn.BatchNorm2d):
                hook = module.register_forward_pre_hook(partial(look_up, name))
                hooks.enter_context(hook)
        network(example)
    return {
        norm: min(convs)
        for norm, convs in before.items()
        if len(convs) == 1 and min(convs)
    }
