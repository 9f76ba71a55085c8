"""The methods of Table 1 under their keys, in the table's order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

from mscf.errors import SettingsError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Method:
    """One row of Table 1: its printed title, its reference, how to build it.

    ``minimum_size`` and ``multiple`` say which heights and widths it takes.
    """

    title: str
    reference: str
    module: str
    network: str
    minimum_size: int
    multiple: int

    def build(self, classes: int = 1, pretrained: bool = False) -> nn.Module:
        """The network with ``classes`` logits; torch is imported only here."""
        network: Callable[..., nn.Module] = getattr(
            import_module(f"mscf.models.{self.module}"), self.network
        )
        return network(classes=classes, pretrained=pretrained)


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "cenet": Method("CE-Net", "Gu et al. 2019", "cenet", "CENet", 192, 32),
        "mscf": Method("Ours", "Pang et al. 2020", "mscf_net", "MSCFNet", 192, 32),
    }
)


def find_method(key: str) -> Method:
    """The method of this key.

    Raises:
        SettingsError: there is none; names those that there are.
    """
    if key not in METHODS:
        keys = ", ".join(METHODS)
        raise SettingsError(
            "method", "must be a key of METHODS", key, "method", f"use one of {keys}"
        )
    return METHODS[key]


def build(key: str, classes: int = 1, pretrained: bool = False) -> nn.Module:
    """The network of this key, in training mode, on the CPU."""
    return find_method(key).build(classes=classes, pretrained=pretrained)
