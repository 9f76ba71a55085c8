"""The methods of Table 1 under their keys, in the table's order, and ours varied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

from mscf.errors import SettingsError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Method:
    """One row of Table 1: its printed title, its reference, how to build it.

    ``minimum_size`` and ``multiple`` say which heights and widths it takes; ``options``
    are further arguments of the network, of a variant's.
    """

    title: str
    reference: str
    module: str
    network: str
    minimum_size: int
    multiple: int
    options: Mapping[str, object] = field(default_factory=dict)

    def build(self, classes: int = 1, pretrained: bool = False) -> nn.Module:
        """The network with ``classes`` logits; torch is imported only here."""
        network: Callable[..., nn.Module] = getattr(
            import_module(f"mscf.models.{self.module}"), self.network
        )
        return network(classes=classes, pretrained=pretrained, **self.options)


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "unet": Method("U-Net", "Ronneberger et al. 2015", "unet", "UNet", 16, 16),
        "attention_unet": Method(
            "Attention UNet", "Oktay et al. 2018", "attention_unet", "AttentionUNet",
            16, 16,
        ),
        "r2unet": Method("R2U-Net", "Alom et al. 2018", "r2unet", "R2UNet", 16, 16),
        "nested_unet": Method(
            "Nested UNet", "Zhou et al. 2018", "nested_unet", "NestedUNet", 16, 16
        ),
        "cenet": Method("CE-Net", "Gu et al. 2019", "cenet", "CENet", 192, 32),
        "senet": Method("SENet", "Hu et al. 2018", "senet", "SENet", 192, 32),
        "self_attention": Method(
            "Self-attention", "Zhang et al. 2019", "self_attention", "SelfAttentionNet",
            192, 32,
        ),
        "danet": Method("DANet", "Fu et al. 2019", "danet", "DANet", 1, 1),
        "csnet": Method("CS-Net", "Mou et al. 2019", "csnet", "CSNet", 16, 16),
        "mscf": Method("Ours", "Pang et al. 2020", "mscf_net", "MSCFNet", 192, 32),
    }
)  # fmt: skip

# Ours with one choice changed: `mscf+NAME`, or several, `mscf+NAME+NAME`.
VARIANTS: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "spatial": {"spatial": True, "channel": False},  # Eq. 1-3 alone
        "channel": {"spatial": False, "channel": True},  # Eq. 4-6 alone
        "f-none": {"f": "none"},  # open point 15
        "rowmax-minus": {"softmax": "rowmax-minus"},  # open point 17
        "scaled": {"softmax": "scaled"},
        "rows": {"eq5": "rows"},  # open point 18
        "once": {"residual": "once"},  # open point 19
        "cat": {"join": "cat"},  # open point 20
        "only-64": {"scales": (64,)},
        "only-128": {"scales": (128,)},
        "only-256": {"scales": (256,)},
    }
)
# Not readings of the paper: what C3 and C9 of "What counts as reproduced" compare with.
CONTROLS: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "twice": {"residual": "twice"},  # X twice with a branch or a block off
        "neither": {"spatial": False, "channel": False, "residual": "twice"},  # 2 X
        "gain": {"eq5": "identity"},  # (1 + beta) X for the channel branch
    }
)


def find_method(key: str) -> Method:
    """The method of this key; ``mscf+spatial`` and the like are variants of ours.

    Raises:
        SettingsError: there is none, and names those that there are; two of its names
            choose the same.
    """
    base, *names = key.split("+")
    if base == "mscf" and names:
        options: dict[str, object] = {}
        known = {**VARIANTS, **CONTROLS}
        for name in names:
            if name not in known:
                raise SettingsError(
                    "method", "must be a variant of mscf", key, "method",
                    f"use one of {', '.join(known)}",
                )  # fmt: skip
            if twice := options.keys() & known[name].keys():
                raise SettingsError(
                    "method", f"must say once what {min(twice)} is", key, "method"
                )
            options |= known[name]
        ours = METHODS["mscf"]
        return replace(ours, title=f"{ours.title}: {', '.join(names)}", options=options)
    if key not in METHODS:
        keys = ", ".join(METHODS)
        raise SettingsError(
            "method", "must be a key of METHODS", key, "method", f"use one of {keys}"
        )
    return METHODS[key]


def is_method(key: str) -> bool:
    """Whether ``find_method`` knows it; a run kept under a label has no such key."""
    try:
        find_method(key)
    except SettingsError:
        return False
    return True


def build(key: str, classes: int = 1, pretrained: bool = False) -> nn.Module:
    """The network of this key, in training mode, on the CPU."""
    return find_method(key).build(classes=classes, pretrained=pretrained)


def on_meta(key: str, classes: int = 1) -> nn.Module:
    """The same without numbers: nothing is computed, shapes and counts are real."""
    import torch

    with torch.device("meta"):
        return build(key, classes)
