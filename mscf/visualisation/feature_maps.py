"""What passes a skip before and after its context block, read by hooks.

The model is handed in; its blocks are its ``contexts``, and CE-Net has none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from torch import Tensor, nn


def skip_features(
    model: nn.Module, images: Tensor
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Input and output ``(C, H, W)`` of every context block for the first image.

    The model works in evaluation mode; afterwards each module has its own mode back.
    """
    seen: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []

    def look(_block: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        seen.append((given[0][0].float().cpu().numpy(), made[0].float().cpu().numpy()))

    hooks = [
        block.register_forward_hook(look) for block in getattr(model, "contexts", [])
    ]
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        with torch.no_grad():
            model(images)
    finally:
        for module, training in modes.items():
            module.training = training
        for hook in hooks:
            hook.remove()
    return seen


def strongest(features: NDArray[np.floating], n: int) -> NDArray[np.int64]:
    """The ``n`` channels of ``(C, H, W)`` with the largest mean, strongest first."""
    return np.argsort(-features.mean(axis=(1, 2)), kind="stable")[:n]


def draw_feature_maps(
    axes: Sequence[Sequence[Axes]],
    before: NDArray[np.floating],
    after: NDArray[np.floating],
) -> Sequence[Sequence[Axes]]:
    """The strongest channels, before in the upper row of axes and after in the lower.

    Each map has its own grey range; the largest value stands above it.
    """
    channels = strongest(before, len(axes[0]))
    for row, (name, features) in zip(
        axes, (("before", before), ("after", after)), strict=True
    ):
        for ax, channel in zip(row, channels, strict=True):
            ax.imshow(features[channel], cmap="viridis")
            ax.set_xticks([])
            ax.set_yticks([])
            ax.set_title(f"{channel}: {features[channel].max():.3g}", fontsize=8)
        row[0].set_ylabel(name)
    return axes
