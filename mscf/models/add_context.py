"""The paper's block in other networks: behind any layer whose output is a map.

Pang et al. 2020 put it on CE-Net's skips (`mscf_net`). Behind an encoder's stage, as
here, what goes down the encoder passes through it as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches

import torch
from torch import Tensor, nn

from mscf.models.context import ContextBlock

SIDE = 256  # pixels of the default example: any usual number of halvings fits
REDUCTION = 8  # channels of query and key are the map's over this


class WithContext(nn.Module):
    """A layer of another network, then a context block: maps in, map out as before."""

    def __init__(self, layer: nn.Module, context: ContextBlock) -> None:
        super().__init__()
        self.layer = layer
        self.context = context

    def forward(self, *inputs: object, **named: object) -> Tensor:
        x = self.layer(*inputs, **named)
        out = self.context(x)
        # In the layer's memory order: in another one the layers behind round otherwise.
        return out.contiguous() if x.is_contiguous() else out


def add_context(
    model: nn.Module,
    layers: Sequence[str],
    example: Tensor | None = None,
    residual: str = "once",
    **options: bool | str,
) -> nn.Module:
    """Puts a `ContextBlock` behind each of the named layers, and gives the model back.

    The model itself is changed: layer ``name`` becomes ``name.layer``, its block is
    ``name.context``, so weights of the plain network are loaded first. A dry run in
    evaluation mode on ``example`` ``(B, C, H, W)`` tells the channels; without one it
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
            is not called exactly once; the dry run failed; an option is no choice. The
            model is then as it was.
    """
    check_names(model, layers)
    maps = dry_run(model, layers, example)
    blocks = {
        name: block_for(name, seen, residual, options) for name, seen in maps.items()
    }
    for name in sorted(layers, key=len, reverse=True):  # inner layers before outer ones
        layer = model.get_submodule(name)
        model.set_submodule(
            name, WithContext(layer, blocks[name].train(layer.training))
        )
    return model


def check_names(model: nn.Module, layers: Sequence[str]) -> None:
    """Each must name one layer, once, that has no block yet."""
    if isinstance(layers, str) or not layers:
        raise ValueError(
            f"layers must be a list of at least one module's name (found: {layers!r})"
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
        names = names_by_place(modules, name)
        times = sum(modules.get(other) is modules[name] for other in layers)
        if len(names) > 1 or times > 1:
            raise ValueError(
                f"layer {name} must have one name, given once (found: "
                f"{', '.join(names)}; given {times} times)"
            )


def names_by_place(modules: dict[str, nn.Module], name: str) -> list[str]:
    """One name for each place that holds this layer.

    Two names may lead to one place: nnU-Net's decoder holds the encoder too, and a
    block put into a stage of it is seen under both names.
    """
    places = {}
    for other, module in modules.items():
        if module is modules[name]:
            parent, _, last = other.rpartition(".")
            places.setdefault((id(modules.get(parent)), last), other)
    return list(places.values())


def dry_run(
    model: nn.Module, layers: Sequence[str], example: Tensor | None
) -> dict[str, Tensor]:
    """What each of the layers gives for the example, in evaluation mode."""
    seen: dict[str, list[object]] = {name: [] for name in layers}
    hooks = [
        model.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, output, name=name: seen[name].append(output)
        )
        for name in layers
    ]
    try:
        with evaluating(model), torch.no_grad():
            model(default_example(model) if example is None else example)
    except Exception as error:  # the model is another's: it may assert, or miss a key
        said = f"{type(error).__name__}: {error}".rstrip(": ")
        raise ValueError(
            f"example must be an input that the model takes (found: {said}); "
            "give one as example=torch.zeros(1, channels, height, width)"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    for name, outputs in seen.items():
        if len(outputs) != 1:
            raise ValueError(
                f"layer {name} must be called once in a forward pass (found: "
                f"{len(outputs)} times)"
            )
    return {name: outputs[0] for name, outputs in seen.items()}


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, then each module in the mode that it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def default_example(model: nn.Module) -> Tensor:
    """Zeros ``(1, C, 256, 256)`` with the channels of the first convolution."""
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    if first is None:
        raise ValueError(
            "no 2-D convolution, which tells the channels; a block is for 2-D maps, "
            "none is for volumes"
        )
    return first.weight.new_zeros(1, first.in_channels, SIDE, SIDE)


def block_for(
    name: str, output: object, residual: str, options: dict[str, bool | str]
) -> ContextBlock:
    """A block for the map that a layer gives, where it is and in its precision."""
    is_map = isinstance(output, Tensor) and output.dim() == 4
    if not is_map or output.shape[1] < REDUCTION:
        found = tuple(output.shape) if isinstance(output, Tensor) else type(output)
        raise ValueError(
            f"layer {name} must give one (B, C, H, W) map of at least {REDUCTION} "
            f"channels (found: {found})"
        )
    block = ContextBlock(output.shape[1], residual=residual, **options)
    return block.to(output.device, output.dtype)
