"""The paper's block in other networks: behind any layer whose output is a map.

Pang et al. 2020 put it on CE-Net's skips (`mscf_net`). Behind an encoder's stage, as
here, what goes down the encoder passes through it as well.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from difflib import get_close_matches

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mscf.evaluation_mode import evaluation_mode
from mscf.models.context import REDUCTION, ContextBlock

SIDE = 256  # pixels of the default example: any usual number of halvings fits


class WithContext(nn.Module):
    """A layer of another network, then a context block: maps in, map out as before."""

    def __init__(self, layer: nn.Module, context: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.context = context

    def forward(self, *inputs: object, **named: object) -> Tensor:
        x = self.layer(*inputs, **named)
        out = self.context(x)
        if out.dtype != x.dtype:  # autocast: the channel context gives float32
            out = out.to(x.dtype)
        # In the layer's memory order: in another one the layers behind round otherwise.
        return out.contiguous() if x.is_contiguous() else out


def add_context(
    model: nn.Module,
    layers: Iterable[str],
    example: Tensor | None = None,
    residual: str = "once",
    **options: bool | str,
) -> nn.Module:
    """Puts a `ContextBlock` behind each of the named layers, and gives the model back.

    The model itself is changed: layer ``name`` becomes ``name.layer``, its block is
    ``name.context``, so weights of the plain network are loaded first. A dry run in
    evaluation mode on ``example`` ``(B, C, H, W)`` tells the channels, and one at twice
    the height whether they come second, if the model takes that; without an example it
    is zeros of 256 x 256 with the channels of the first convolution. With
    ``residual="once"`` the network computes the same to the last bit until training
    moves alpha and beta; "printed" is the paper's Eq. 7, which doubles those maps.
    ``options`` are `ContextBlock`'s.

    >>> from torchvision.models.segmentation import fcn_resnet50
    >>> model = fcn_resnet50(weights="DEFAULT")
    >>> layers = ["backbone.layer2", "backbone.layer3"]
    >>> model = mscf.add_context(model, layers=layers)

    Raises:
        ValueError: the model has no layer of this name (the nearest are named), it has
            its block already, gives no ``(B, C, H, W)`` map of 8 channels or more, or
            is not called exactly once, from its place in the model; the model is a
            script, or in DistributedDataParallel; a dry run failed; an option is no
            choice.
        TypeError: an option that `ContextBlock` has not.

    The model is then as it was.
    """
    names = layers if isinstance(layers, str) else list(layers)
    check_names(model, names)
    # The layers themselves: a block behind an outer one renames those inside.
    layers = {name: model.get_submodule(name) for name in names}
    example = default_example(model) if example is None else example
    blocks = {
        name: block_for(name, maps, residual, options).to(type_of(layers[name], model))
        for name, maps in dry_run(model, layers, example).items()
    }
    check_places(model, layers, example)
    for name, layer in layers.items():
        block = blocks[name].train(layer.training)
        replace(model, layer, WithContext(layer, block))
    return model


def check_names(model: nn.Module, layers: list[str] | str) -> None:
    """Each must name one layer, once, that has no block yet, of a model that grows."""
    for module in model.modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise ValueError(
                "model must be as it was before torch.jit, whose code is fixed "
                f"(found: {type(module).__name__})"
            )
        if isinstance(module, DistributedDataParallel):
            raise ValueError(
                "model must get its blocks before it goes into "
                "DistributedDataParallel, which sums no later weight's gradients"
            )
    names = isinstance(layers, list) and all(isinstance(name, str) for name in layers)
    if not names or not layers:
        raise ValueError(
            f"layers must be a list of modules' names, at least one (found: {layers!r})"
        )
    modules = dict(model.named_modules(remove_duplicate=False))
    del modules[""]  # the model itself has no place in which it could be replaced
    for name in layers:
        if name not in modules:
            near = get_close_matches(name, modules, n=3, cutoff=0.4)
            raise ValueError(
                f"layers must name modules of the model (found: {name}); nearest: "
                + (", ".join(near) or "none, see model.named_modules()")
            )
        parent = modules.get(name.rpartition(".")[0])
        if isinstance(modules[name], WithContext) or isinstance(parent, WithContext):
            raise ValueError(f"layer {name} must have no context block yet")
        given = [other for other in layers if modules.get(other) is modules[name]]
        if len(given) > 1:
            raise ValueError(
                f"layer {name} must be given once (found: {', '.join(given)})"
            )


def replace(model: nn.Module, layer: nn.Module, other: nn.Module) -> None:
    """Puts another module wherever the model holds this layer.

    MONAI's DynUNet holds each stage in a list and in a skip. nnU-Net's decoder holds
    the encoder too, so a stage of it has two names, but one place.
    """
    places = [
        (holder, name)
        for holder in model.modules()
        for name, module in holder._modules.items()
        if module is layer
    ]
    for holder, name in places:
        setattr(holder, name, other)


def dry_run(
    model: nn.Module, layers: dict[str, nn.Module], example: Tensor
) -> dict[str, list[object]]:
    """What each layer gives for the example; if taken, for one of twice the height."""
    try:
        seen = outputs_of(model, layers, example)
    except Exception as error:  # the model is another's: it may assert, or miss a key
        raise ValueError(
            f"example must be an input that the model takes (found: {said(error)}); "
            "give one as example=torch.zeros(1, channels, height, width)"
        ) from error
    for name, outputs in seen.items():
        if len(outputs) != 1:
            raise ValueError(
                f"layer {name} must be called once in a forward pass (found: "
                f"{len(outputs)} times)"
            )
    with suppress(Exception):  # the example's size may be the only one
        taller = outputs_of(model, layers, torch.cat([example[:1]] * 2, dim=2))
        seen = {name: seen[name] + taller[name] for name in layers}
    return seen


def check_places(
    model: nn.Module, layers: dict[str, nn.Module], example: Tensor
) -> None:
    """What stands in a layer's place must be called once, as the layer was.

    Tried with nothing where the blocks will be: on large maps they would take long.
    """
    tried = {name: WithContext(layer, nn.Identity()) for name, layer in layers.items()}
    for name, layer in layers.items():
        replace(model, layer, tried[name])
    try:
        seen = outputs_of(model, tried, example)
    except Exception as error:
        raise ValueError(
            f"the model must run with blocks in place (found: {said(error)})"
        ) from error
    finally:
        for name, layer in layers.items():
            replace(model, tried[name], layer)
    for name, outputs in seen.items():
        if len(outputs) != 1:
            raise ValueError(
                f"layer {name} must be called from its place in the model, not from a "
                f"plain list, say (found: {len(outputs)} calls of a block there)"
            )


def said(error: Exception) -> str:
    """An error of the model's own in one line: its kind and its words."""
    return f"{type(error).__name__}: {error}".rstrip(": ")


def outputs_of(
    model: nn.Module, layers: dict[str, nn.Module], example: Tensor
) -> dict[str, list[object]]:
    """What each layer gives at each call, in evaluation mode."""
    seen: dict[str, list[object]] = {name: [] for name in layers}
    with ExitStack() as hooks, evaluation_mode(model), torch.no_grad():
        for name, layer in layers.items():
            hook = layer.register_forward_hook(
                lambda _module, _inputs, output, name=name: seen[name].append(output)
            )
            hooks.enter_context(hook)
        model(example)
    return seen


def default_example(model: nn.Module) -> Tensor:
    """Zeros ``(1, C, 256, 256)`` with the channels of the first convolution."""
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    if first is None or isinstance(first, nn.LazyConv2d):
        raise ValueError(
            "example must be given (found: no 2-D convolution, which tells the "
            "channels; a block is for 2-D maps, none is for volumes), as "
            "example=torch.zeros(1, channels, height, width)"
        )
    return first.weight.new_zeros(1, first.in_channels, SIDE, SIDE)


def block_for(
    name: str, outputs: list[object], residual: str, options: dict[str, bool | str]
) -> ContextBlock:
    """A block for the map that a layer gives, where it is.

    Where channels come last, rows stand in their place, which change with the height.
    """
    output = outputs[0]
    is_map = isinstance(output, Tensor) and output.dim() == 4
    channels = {made.shape[1] for made in outputs} if is_map else set()
    if len(channels) != 1 or min(channels) < REDUCTION:
        found = ", at twice the height ".join(
            str(tuple(made.shape) if isinstance(made, Tensor) else type(made))
            for made in outputs
        )
        raise ValueError(
            f"layer {name} must give one (B, C, H, W) map of at least {REDUCTION} "
            f"channels (found: {found})"
        )
    block = ContextBlock(output.shape[1], residual=residual, **options)
    return block.to(output.device)


def type_of(layer: nn.Module, model: nn.Module) -> torch.dtype:
    """The type of a layer's weights, the model's where it has none.

    Not that of its map, which autocast has in half.
    """
    weights = itertools.chain(layer.parameters(), model.parameters())
    return next((w.dtype for w in weights if w.is_floating_point()), torch.float32)
