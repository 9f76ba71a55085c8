"""Fig. 3 as a drawing of the context block that is handed in."""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from matplotlib.axes import Axes
from torch import nn

from mscf.visualisation.architecture import CONTEXT, count, draw_arrow, draw_box
from mscf.visualisation.style import MAIN, THIRD

SMALL, WIDE = (1.6, 0.78), (2.35, 0.78)
SPATIAL, CHANNEL = "#CFE3F1", "#C5E5D9"
KEYS, QUERIES, VALUES, FEATURES = 0.0, 1.72, 3.44, 5.6  # columns
BETWEEN, SPATIAL_END = (KEYS + QUERIES) / 2, VALUES - 0.9
INPUT, FIRST, MAP, GATHERED, SCALED, SUM = 6.0, 4.8, 3.6, 2.4, 1.2, 0.0  # rows
HALF = SMALL[1] / 2


def draw_context_block(ax: Axes, block: nn.Module, channels: int, side: int) -> Axes:
    """Fig. 3: the contexts of one skip ``(channels, side, side)``, from top to bottom.

    Every box has its equation and what leaves it, with N = side * side positions; the
    widths are those of the block's own layers. A branch that is off is not drawn; of
    the two one must be on.
    """
    at = f"{channels} @ {side}"
    ends = []  # where each branch leaves
    if block.spatial:
        ends.append((SPATIAL_END, MAIN))
        draw_spatial(ax, block.spatial, channels, side * side)
    if block.channel:
        ends.append((FEATURES, THIRD))
        draw_channel(ax, block.channel, channels)
    middle = sum(x for x, _ in ends) / len(ends)
    draw_box(ax, middle, INPUT, "$X$", (at, "from the encoder"), "white", WIDE)
    words = "$X^s + X^c$" if block.further == 0 else "$X^s + X^c - X$"
    if len(ends) == 1:
        words = "the one branch" + (" $+ X$" if block.further else "")
    draw_box(
        ax,
        middle,
        SUM,
        words,
        (at, f"Eq. 7; {count(block):,} parameters"),
        CONTEXT,
        WIDE,
    )
    tops = [KEYS, QUERIES, VALUES] * bool(block.spatial)
    tops += [FEATURES] * bool(block.channel)
    for x in tops:
        draw_arrow(ax, (middle, INPUT - HALF), (x, FIRST + HALF), "#777777")
    for x, colour in ends:
        draw_arrow(ax, (x, SCALED - HALF), (middle, SUM + HALF), colour)
    ax.set_xlim(min(tops) - 1.25, max(tops) + 1.25)
    ax.set_ylim(SUM - 0.5, INPUT + 0.5)
    ax.set_aspect("equal")
    ax.set_axis_off()
    return ax


def draw_spatial(ax: Axes, branch: nn.Module, channels: int, n: int) -> None:
    """Eq. 1 to 3: every position gathers from all others."""
    twin = copy.deepcopy(branch).to("meta")
    x = torch.empty(1, channels, n, 1, device="meta")
    bent = "1 x 1, ReLU" if isinstance(branch.query[-1], nn.ReLU) else "1 x 1"
    for column, title, layer in (
        (KEYS, f"K: {bent}", twin.key),
        (QUERIES, f"Q: {bent}", twin.query),
        (VALUES, "F: 1 x 1", twin.value),
    ):
        shape = f"N x {layer(x).shape[1]}"
        draw_box(ax, column, FIRST, title, (shape, "Eq. 1"), SPATIAL, SMALL)
    for column, row, title, shape, equation in (
        (BETWEEN, MAP, r"$M$ = softmax($K Q^T$)", f"N x N, N = {n:,}", "Eq. 2"),
        (SPATIAL_END, GATHERED, "$M F$", f"N x {channels}", "Eq. 3"),
        (SPATIAL_END, SCALED, r"$X^s = \alpha\,(M F) + X$", f"N x {channels}", "Eq. 3"),
    ):
        draw_box(ax, column, row, title, (shape, equation), SPATIAL, WIDE)
    for column in (KEYS, QUERIES):
        draw_arrow(ax, (column, FIRST - HALF), (BETWEEN, MAP + HALF), MAIN)
    for column, row in ((BETWEEN, MAP), (VALUES, FIRST)):
        draw_arrow(ax, (column, row - HALF), (SPATIAL_END, GATHERED + HALF), MAIN)
    draw_arrow(ax, (SPATIAL_END, GATHERED - HALF), (SPATIAL_END, SCALED + HALF), MAIN)


def draw_channel(ax: Axes, branch: nn.Module, channels: int) -> None:
    """Eq. 4 to 6: every channel gathers from all others, without a convolution."""
    kinds = {
        "plain": "softmax($X^T X$)",
        "rowmax-minus": r"softmax(max $-\,X^T X$)",
        "scaled": "softmax($X^T X / N$)",
    }
    mixed = {"literal": "$X G$", "rows": "$X G^T$", "identity": "$X$"}
    steps = [
        (FIRST, "$X$, no convolution", f"N x {channels}", ""),
        (MAP, f"$G$ = {kinds[branch.softmax]}", f"{channels} x {channels}", "Eq. 4"),
        (GATHERED, f"$X'$ = {mixed[branch.eq5]}", f"N x {channels}", "Eq. 5"),
        (SCALED, r"$X^c = \beta X' + X$", f"N x {channels}", "Eq. 6"),
    ]
    if branch.eq5 == "identity":
        del steps[1]
    for row, title, shape, equation in steps:
        draw_box(ax, FEATURES, row, title, (shape, equation), CHANNEL, WIDE)
    for (upper, *_), (lower, *_) in pairwise(steps):
        draw_arrow(ax, (FEATURES, upper - HALF), (FEATURES, lower + HALF), THIRD)
