"""What a command hands to the library: a function in its place that keeps it."""

import importlib
import inspect

import pytest


def recorded(patch: pytest.MonkeyPatch, place: str, answer: object) -> dict:
    """The arguments by name that the function at ``place`` gets from now on."""
    module, name = place.rsplit(".", 1)
    called = inspect.signature(getattr(importlib.import_module(module), name))
    heard = {}

    def record(*args, **kwargs) -> object:
        heard.update(called.bind(*args, **kwargs).arguments)
        return answer

    patch.setattr(place, record)
    return heard
