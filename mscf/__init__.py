"""Multi-scale fine-grained context (PAKDD 2020), replicated.

``mscf.METHODS`` names the networks, ``mscf.build("mscf")`` gives one, ``mscf.load`` a
trained one, ``mscf.add_context`` puts the paper's block into any other. Importing this
package loads nothing slow: torch comes with the first network.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from mscf.models import METHODS, build

if TYPE_CHECKING:
    from mscf.inference.weights import load
    from mscf.models.add_context import add_context

    __version__: str

__all__ = ["METHODS", "__version__", "add_context", "build", "load"]

NEED_TORCH = {
    "add_context": "mscf.models.add_context",
    "load": "mscf.inference.weights",
}


def __getattr__(name: str) -> object:
    """What takes long to import, when it is first asked for."""
    if name == "__version__":
        from importlib.metadata import version

        return version("mscf")
    if name not in NEED_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(NEED_TORCH[name]), name)
