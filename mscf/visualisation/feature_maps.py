"""What passes a skip before and after its context block, read by hooks.

The model is handed in; its blocks are its ``contexts``, and CE-Net has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from torch import Tensor, nn

from mscf.evaluation_mode import evaluation_mode
from mscf.visualisation.segmentations import draw_contour


def skip_features(
    model: nn.Module, images: Tensor
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Input and output ``(C, H, W)`` of every context block for the first image.

    The model works in evaluation mode; afterwards each module has its own mode back.
    """
    seen: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []

    def look(_block: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        seen.append((given[0][0].float().cpu().numpy(), made[0].float().cpu().numpy()))

    with ExitStack() as hooks, evaluation_mode(model), torch.no_grad():
        for block in getattr(model, "contexts", []):
            hooks.enter_context(block.register_forward_hook(look))
        model(images)
    return seen


def strongest(features: NDArray[np.floating], n: int) -> NDArray[np.int64]:
    """The ``n`` channels of ``(C, H, W)`` with the largest mean, strongest first."""
    return np.argsort(-features.mean(axis=(1, 2)), kind="stable")[:n]


def least_alike(
    before: NDArray[np.floating], after: NDArray[np.floating]
) -> NDArray[np.int64]:
    """Channels of ``(C, h, w)`` by how much the block changed them, most first.

    Changed is what no factor explains: the correlation of both maps over positions. A
    map that is constant before or after tells nothing and comes last.
    """
    a, b = (
        x.reshape(len(x), -1) - x.mean(axis=(1, 2))[:, None] for x in (before, after)
    )
    length = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    alike = np.divide(
        (a * b).sum(axis=1), length, out=np.ones(len(a), a.dtype), where=length > 0
    )
    return np.argsort(alike, kind="stable")


def draw_maps(
    axes: NDArray[np.object_],
    kept: Mapping[str, NDArray],
    scale: int,
    example: int,
) -> NDArray[np.object_]:
    """The maps of one scale of an example, as ``examples.npz`` names them, in pairs.

    In ``(2 r, n)`` axes: two rows for the first n maps, two for the next. A number that
    is not known, where tumour or liver holds no position, is left out.
    """
    channel, before, after, apart_before, apart_after = (
        kept[f"{name}{scale}"][example]
        for name in ("channel", "before", "after", "apart_before", "apart_after")
    )
    times = int(kept[f"times{scale}"])
    highest = before.max(axis=(1, 2)), after.max(axis=(1, 2)) / times
    names = [
        (
            f"channel {one}, before{known(low)}\nup to {top:.2g}",
            f"after{known(high)}\nup to {top_after:.2g}",
        )
        for one, low, high, top, top_after in zip(
            channel, apart_before, apart_after, *highest, strict=True
        )
    ]
    n = axes.shape[1]
    for row in range(0, len(axes), 2):
        some = slice(row // 2 * n, row // 2 * n + n)
        draw_pairs(
            axes[row : row + 2], before[some].astype(np.float32),
            after[some].astype(np.float32), kept["truth"][example], names[some],
            times,
        )  # fmt: skip
    return axes


def known(apart: float) -> str:
    """A number with its colon; nothing where there is none."""
    return f": {apart:.2f}" if np.isfinite(apart) else ""


def draw_pairs(
    axes: NDArray[np.object_],
    before: NDArray[np.floating],
    after: NDArray[np.floating],
    tumour: NDArray[np.bool_],
    names: Sequence[tuple[str, str]],
    times_input: int = 1,
) -> NDArray[np.object_]:
    """Maps ``(n, h, w)`` before the block above, after it below, in ``(2, n)`` axes.

    Both of a pair are in one range of colours. What left the block is divided by
    ``times_input``, how often the block counts its input: else every map would be
    brighter whatever the block does. The border is that of the tumour ``(H, W)``; each
    of ``names`` stands above its two maps.
    """
    height, width = tumour.shape
    for column, *pair, titles in zip(
        axes.T, before, after / times_input, names, strict=True
    ):
        low, high = np.min(pair), np.max(pair)
        for ax, features, title in zip(column, pair, titles, strict=True):
            ax.imshow(
                features, cmap="viridis", vmin=low, vmax=high, interpolation="nearest",
                extent=(-0.5, width - 0.5, height - 0.5, -0.5),
            )  # fmt: skip
            draw_contour(ax, tumour, "white", width=0.9)
            ax.set_axis_off()
            ax.set_title(title)
    return axes


def draw_feature_maps(
    axes: Sequence[Sequence[Axes]],
    before: NDArray[np.floating],
    after: NDArray[np.floating],
) -> Sequence[Sequence[Axes]]:
    """The strongest channels, before in the upper row of axes and after in the lower.

    Each map has its own range of colours; the largest value stands above it.
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
