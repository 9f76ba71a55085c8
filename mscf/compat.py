"""What other packages' builds make necessary, each with its reason and its end.

Every module that needs torchvision imports this one first.
"""

from __future__ import annotations

import sys

import torch

_schemas: torch.library.Library | None = None  # alive as long as the process


def import_torchvision() -> None:
    """Imports torchvision, also when its compiled operators cannot be loaded.

    A torchvision wheel linked to CUDA beside a CPU build of torch fails at import:
    its Python code registers shapes for two operators that the missing binary would
    have defined. Defining their schemas is enough for models and transforms; calling
    them still fails, and nothing here does. With matching builds the first import
    succeeds and nothing is defined. Ends when torchvision ships CPU wheels for every
    platform, or guards those registrations itself.
    """
    global _schemas
    try:
        import torchvision
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
        for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
            del sys.modules[name]  # the failed import leaves half of itself behind
        if _schemas is None:
            _schemas = torch.library.Library("torchvision", "DEF")
            for name in ("nms", "qnms"):
                signature = (
                    "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                )
                _schemas.define(name + signature)
        import torchvision  # noqa: F401


import_torchvision()
