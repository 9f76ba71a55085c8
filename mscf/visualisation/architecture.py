"""Fig. 2 as a drawing of the network that is handed in, and its parts as tables."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch
from torch import Tensor, nn

from mscf.visualisation.style import INK, MAIN, SECOND, THIRD

SCALES = ((64, 4), (128, 8), (256, 16))  # channels and stride of the three skips
ENCODER, MULTI_KERNEL, CONTEXT, DECODER = "#CFE3F1", "#F7E3A1", "#F6C9AE", "#C5E5D9"
BOX = (1.85, 0.74)
LEFT, MIDDLE, RIGHT = 0.0, 2.4, 4.8
# Module, its name in the drawing, column and row; a row up doubles the side.
DOWN = (
    ("encoder.stem", "stem", 4), ("encoder.stage1", "stage 1", 3),
    ("encoder.stage2", "stage 2", 2), ("encoder.stage3", "stage 3", 1),
    ("encoder.stage4", "stage 4", 0),
)  # fmt: skip
UP = (
    ("decoder.block4", "up 4", 1), ("decoder.block3", "up 3", 2),
    ("decoder.block2", "up 2", 3), ("decoder.block1", "up 1", 4),
    ("decoder.head", "head", 5),
)  # fmt: skip
SKIPS = (("contexts.0", 3), ("contexts.1", 2), ("contexts.2", 1))


# The drawing


def output_shapes(
    model: nn.Module, names: Iterable[str], size: int
) -> dict[str, tuple[int, ...]]:
    """What leaves modules of a network for one slice of ``size``, without the batch.

    Read off a forward pass of a copy on the meta device: shapes, no numbers. Names that
    the network has not are left out.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    twin = copy.deepcopy(model).to("meta").eval()
    modules = dict(twin.named_modules())

    def note(name: str) -> object:
        def look(_module: nn.Module, _given: tuple[Tensor, ...], made: Tensor) -> None:
            shapes[name] = tuple(made.shape[1:])

        return look

    for name in names:
        if name in modules:
            modules[name].register_forward_hook(note(name))
    twin(torch.empty(1, 3, size, size, device="meta"))
    return shapes


def draw_architecture(ax: Axes, model: nn.Module, size: int = 448) -> Axes:
    """Fig. 2: encoder down, multi-kernel context, decoder up, contexts on the skips.

    Every box says what leaves it, channels @ side, and its parameters; all of it is
    read from the model, CE-Net or one built on it.

    Raises:
        ValueError: the model has other parts.
    """
    names = [*(n for n, *_ in DOWN), *(n for n, *_ in UP), *(n for n, _ in SKIPS)]
    shapes = output_shapes(model, [*names, "multi_kernel"], size)
    lacking = [n for n in [*names[:10], "multi_kernel"] if n not in shapes]
    if lacking:
        raise ValueError(f"the drawing is of CE-Net's parts; missing: {lacking}")

    def box(x: float, y: float, title: str, name: str, colour: str) -> None:
        parameters = count(model.get_submodule(name))
        lines = (as_text(shapes[name]), f"{parameters:,}")
        draw_box(ax, x, y, title, lines, colour)

    draw_box(ax, LEFT, 5, "slice", (f"3 @ {size}", ""), "white")
    for name, title, y in DOWN:
        box(LEFT, y, title, name, ENCODER)
        draw_arrow(ax, (LEFT, y + 1 - BOX[1] / 2), (LEFT, y + BOX[1] / 2), MAIN)
    for name, title, y in UP:
        box(RIGHT, y, title, name, DECODER)
        if y > 1:
            draw_arrow(ax, (RIGHT, y - 1 + BOX[1] / 2), (RIGHT, y - BOX[1] / 2), THIRD)
    for name, y in SKIPS:
        start = LEFT
        if name in shapes:
            box(MIDDLE, y, "context block", name, CONTEXT)
            draw_skip(ax, LEFT, MIDDLE, y)
            start = MIDDLE
        draw_skip(ax, start, RIGHT, y)
        join = getattr(model.decoder, "join", "add")
        ax.text(
            RIGHT - BOX[0] / 2 - 0.16, y + 0.16, "+" if join == "add" else "cat",
            ha="center", color=SECOND, fontsize=9,
        )  # fmt: skip
    box(MIDDLE, 0, "DAC, RMP", "multi_kernel", MULTI_KERNEL)
    draw_arrow(ax, (LEFT + BOX[0] / 2, 0), (MIDDLE - BOX[0] / 2, 0), MAIN)
    ax.plot([MIDDLE + BOX[0] / 2, RIGHT], [0, 0], color=THIRD, linewidth=1.6)
    draw_arrow(ax, (RIGHT, 0), (RIGHT, 1 - BOX[1] / 2), THIRD)
    for x, y, text in (
        (LEFT, 5.6, "(a) encoder"), (MIDDLE, -0.57, "(b) multi-kernel context"),
        (MIDDLE, 3.6, "(c) Eq. 1-7"), (RIGHT, 5.6, "(d) decoder"),
    ):  # fmt: skip
        if text[1] != "c" or "contexts.0" in shapes:
            ax.text(x, y, text, ha="center", va="center", color=INK, weight="bold")
    ax.set_xlim(LEFT - 1, RIGHT + 1)
    ax.set_ylim(-0.75, 5.8)
    ax.set_aspect("equal")
    ax.set_axis_off()
    return ax


def as_text(shape: tuple[int, ...]) -> str:
    """Channels @ side; both sides where they differ."""
    channels, height, width = shape
    return f"{channels} @ {height}" + (f" x {width}" if width != height else "")


def draw_box(
    ax: Axes,
    x: float,
    y: float,
    title: str,
    lines: tuple[str, str],
    colour: str,
    size: tuple[float, float] = BOX,
) -> None:
    """A box around its centre: what it is, what leaves it, and a third line."""
    width, height = size
    ax.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2), width, height,
            boxstyle="round,pad=0,rounding_size=0.08", facecolor=colour,
            edgecolor=INK, linewidth=0.9,
        )
    )  # fmt: skip
    middle = {"ha": "center", "va": "center"}
    first, second, third = (height * share for share in (0.29, -0.02, -0.32))
    ax.text(x, y + (first if any(lines) else 0), title, fontsize=9, **middle)
    ax.text(x, y + second, lines[0], fontsize=8.5, color=MAIN, **middle)
    ax.text(x, y + third, lines[1], fontsize=7.5, color="#555555", **middle)


def draw_skip(ax: Axes, start: float, end: float, y: float) -> None:
    """The way of a skip, from the box at ``start`` to that at ``end``."""
    draw_arrow(ax, (start + BOX[0] / 2, y), (end - BOX[0] / 2, y), SECOND)


def draw_arrow(
    ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: str
) -> None:
    """From the edge of one box to that of the next."""
    style = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.4}
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
