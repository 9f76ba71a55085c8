"""Fig. 2 as a drawing, and its parts as tables."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch
from torch import nn

from mscf.visualisation.style import INK, MAIN, SECOND, THIRD

SCALES = ((64, 4), (128, 8), (256, 16))  # channels and stride of the three skips
ENCODER, MULTI_KERNEL, CONTEXT, DECODER = "#CFE3F1", "#F7E3A1", "#F6C9AE", "#C5E5D9"
BOX = (1.75, 0.62)


# The drawing


def draw_architecture(ax: Axes, size: int = 448) -> Axes:
    """Fig. 2: encoder down, multi-kernel context, decoder up, contexts on the skips.

    Every box says channels @ side for an input of ``size`` pixels. The notebook
    ``network`` shows it; the README's picture, book/_static/mscf.png, is the same.
    """
    levels = {4: 3.0, 8: 2.0, 16: 1.0, 32: 0.0}  # stride to height on the page
    draw_box(ax, 0, 4.0, "slice", f"3@{size}", "white")
    draw_box(ax, 0, levels[4], "stem, stage 1", f"64@{size // 4}", ENCODER)
    draw_box(ax, 0, levels[8], "stage 2", f"128@{size // 8}", ENCODER)
    draw_box(ax, 0, levels[16], "stage 3", f"256@{size // 16}", ENCODER)
    draw_box(ax, 0, levels[32], "stage 4", f"512@{size // 32}", ENCODER)
    for channels, stride in SCALES:
        text = f"{channels}@{size // stride}"
        draw_box(ax, 3, levels[stride], "context block", text, CONTEXT)
    draw_box(ax, 3, 0, "multi-kernel context", f"516@{size // 32}", MULTI_KERNEL, 2.3)
    for channels, stride in reversed(SCALES):
        number = {4: 2, 8: 3, 16: 4}[stride]
        text = f"{channels}@{size // stride}"
        draw_box(ax, 6, levels[stride], f"up {number}, + skip", text, DECODER)
    draw_box(ax, 8.3, 3.0, "up 1", f"64@{size // 2}", DECODER)
    draw_box(ax, 8.3, 4.0, "head: tumour logit", f"1@{size}", DECODER, 2.1)

    for high, low in ((4.0, 3.0), (3.0, 2.0), (2.0, 1.0), (1.0, 0.0)):
        draw_arrow(ax, (0, high - BOX[1] / 2), (0, low + BOX[1] / 2), MAIN)
    for stride in (4, 8, 16):
        y = levels[stride]
        draw_arrow(ax, (BOX[0] / 2, y), (3 - BOX[0] / 2, y), SECOND)
        draw_arrow(ax, (3 + BOX[0] / 2, y), (6 - BOX[0] / 2, y), SECOND)
    draw_arrow(ax, (BOX[0] / 2, 0), (3 - 1.15, 0), MAIN)
    ax.plot([3 + 1.15, 6], [0, 0], color=THIRD, linewidth=1.6)
    draw_arrow(ax, (6, 0), (6, 1 - BOX[1] / 2), THIRD)
    for low, high in ((1.0, 2.0), (2.0, 3.0)):
        draw_arrow(ax, (6, low + BOX[1] / 2), (6, high - BOX[1] / 2), THIRD)
    draw_arrow(ax, (6 + BOX[0] / 2, 3.0), (8.3 - BOX[0] / 2, 3.0), THIRD)
    draw_arrow(ax, (8.3, 3.0 + BOX[1] / 2), (8.3, 4.0 - BOX[1] / 2), THIRD)
    for x, y, text in (
        (0, 4.55, "(a) encoder: ResNet-34"),
        (3, -0.55, "(b) DAC and RMP"),
        (3, 3.55, "(c) Eq. 1-7 at three scales"),
        (7.7, 4.55, "(d) decoder"),
    ):
        ax.text(x, y, text, ha="center", va="center", color=INK, weight="bold")
    ax.set_xlim(-1.25, 9.55)
    ax.set_ylim(-0.8, 4.8)
    ax.set_aspect("equal")
    ax.set_axis_off()
    return ax


def draw_box(
    ax: Axes, x: float, y: float, name: str, shape: str, colour: str, width: float = 0
) -> None:
    """A box around its centre: what it is, and what leaves it."""
    wide, high = width or BOX[0], BOX[1]
    corner = (x - wide / 2, y - high / 2)
    ax.add_patch(
        FancyBboxPatch(
            corner,
            wide,
            high,
            boxstyle="round,pad=0,rounding_size=0.08",
            facecolor=colour,
            edgecolor=INK,
            linewidth=0.9,
        )
    )
    ax.text(x, y + 0.13, name, ha="center", va="center", fontsize=8.5)
    ax.text(x, y - 0.15, shape, ha="center", va="center", fontsize=8.5, color=MAIN)


def draw_arrow(
    ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: str
) -> None:
    """From the edge of one box to that of the next."""
    style = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.6}
    style |= {"shrinkA": 0, "shrinkB": 0}
    ax.annotate("", xy=end, xytext=start, arrowprops=style)


# The tables


def parameter_table(cenet: nn.Module, mscf: nn.Module) -> pd.DataFrame:
    """Parameters of every part of both networks, the total, and what mscf adds."""
    columns = {"CE-Net": parts(cenet), "MSCF": parts(mscf)}
    table = pd.DataFrame(columns).fillna(0).astype(int)
    table = table.reindex(list(columns["MSCF"]))
    table.loc["total"] = table.sum()
    table["added"] = table["MSCF"] - table["CE-Net"]
    table["added, % of CE-Net"] = 100 * table["added"] / table.loc["total", "CE-Net"]
    return table


def parts(model: nn.Module) -> dict[str, int]:
    """Parameters of each part of Fig. 2, in the order of ``forward``."""
    dense, pooling = model.multi_kernel
    counts = {
        "(a) encoder": count(model.encoder),
        "(b) dense atrous convolution": count(dense),
        "(b) residual multi-kernel pooling": count(pooling),
    }
    contexts = getattr(model, "contexts", ())
    for (channels, stride), block in zip(SCALES, contexts, strict=False):
        counts[f"(c) context, {channels} channels, stride {stride}"] = count(block)
    head = count(model.decoder.head)
    counts["(d) decoder"] = count(model.decoder) - head
    counts["(d) head"] = head
    return counts


def count(module: nn.Module) -> int:
    """All parameters, all of which are trained."""
    return sum(parameter.numel() for parameter in module.parameters())


def context_costs(size: int = 448) -> pd.DataFrame:
    """The three context blocks by formula, for one slice of ``size`` pixels a side.

    N positions, C channels. Multiply-accumulates: the three convolutions N (2 C C/8 +
    C C), both products of the spatial map N N (C/8 + C), the channel branch 2 C C N.
    """
    rows = []
    for channels, stride in SCALES:
        side = size // stride
        n = side * side
        rows.append(
            {
                "channels": channels,
                "side": side,
                "positions N": n,
                "map N x N, float32, MiB": n * n * 4 / 2**20,
                "convolutions, GMAC": n * channels**2 * (2 / 8 + 1) / 1e9,
                "spatial map, GMAC": n * n * channels * (1 / 8 + 1) / 1e9,
                "channel branch, GMAC": 2 * channels**2 * n / 1e9,
            }
        )
    return pd.DataFrame(rows).set_index("channels")
