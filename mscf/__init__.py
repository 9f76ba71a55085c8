"""Multi-scale fine-grained context (PAKDD 2020), replicated.

``mscf.METHODS`` names the networks, ``mscf.build("mscf")`` gives one. Importing this
package loads nothing slow: torch comes with the first network.
"""

from importlib.metadata import version

from mscf.models import METHODS, build

__all__ = ["METHODS", "__version__", "build"]

__version__ = version("mscf")
