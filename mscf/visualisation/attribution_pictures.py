"""Attribution drawn: maps over their slice, correlations and curves as lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from mscf.visualisation.attribution import SHARES
from mscf.visualisation.segmentations import (
    Image,
    Mask,
    draw_contour,
    draw_slice,
    legend,
)
from mscf.visualisation.style import (
    FALSE_POSITIVE,
    INK,
    MAIN,
    MISS,
    PALE,
    SECOND,
    THIRD,
    TRUTH,
)

RAISES, LOWERS = FALSE_POSITIVE, MISS  # vermilion and sky blue stand out on CT
LINES = [  # told apart without colour as well
    (MAIN, "o", "-"), (MAIN, "s", "--"), (MAIN, "^", ":"), (SECOND, "D", "-"),
    (THIRD, "v", "-"),
]  # fmt: skip


def draw_attribution(
    ax: Axes, hu: Image, attribution: NDArray[np.floating], truth: Mask
) -> Axes:
    """A map ``(h, w)`` over its slice ``(H, W)``, and the border of the truth.

    The colour says the sign, the opacity the size, full from the map's 99th percentile
    of sizes on; cells are drawn as coarse as they are.
    """
    height, width = hu.shape
    draw_slice(ax, hu)
    ax.imshow(
        signed_colours(attribution), extent=(-0.5, width - 0.5, height - 0.5, -0.5),
        interpolation="nearest",
    )  # fmt: skip
    return draw_contour(ax, truth, TRUTH)


def signed_colours(attribution: NDArray[np.floating]) -> NDArray[np.float64]:
    """``(h, w, 4)``: what raises the logit in one colour, what lowers it in another."""
    sizes = np.abs(attribution.astype(np.float64))
    full = (
        np.quantile(sizes, 0.99) or sizes.max() or 1
    )  # a map may be 0 nearly all over
    picture = np.empty((*attribution.shape, 4))
    for colour, where in ((RAISES, attribution > 0), (LOWERS, attribution <= 0)):
        picture[where, :3] = to_rgb(colour)
    picture[..., 3] = 0.85 * np.minimum(sizes / full, 1)
    return picture


def attribution_legend() -> list[Line2D]:
    """What the colours of ``draw_attribution`` mean, as handles for a legend."""
    return legend(
        {"true border": TRUTH, "raises the logit": RAISES, "lowers it": LOWERS}
    )


def errors_beside_attribution_legend() -> list[Line2D]:
    """The same where ``draw_errors``, which has the same colours, fills the left."""
    return legend(
        {
            "true border": TRUTH,
            "left: false positive; else raises the logit": RAISES,
            "left: missed; else lowers it": LOWERS,
        }
    )


def draw_correlations(ax: Axes, table: pd.DataFrame) -> Axes:
    """Rank correlation with the trained network's map, as parts become untrained.

    A row of ``table`` is a method, its columns the parts; a line begins at 1, with no
    part untrained. Looks repeat after five; the caller places a legend.
    """
    places = np.arange(len(table.columns) + 1)
    for (name, values), (colour, marker, style) in zip(
        table.iterrows(), cycle(LINES), strict=False
    ):
        ax.plot(
            places, [1, *values], color=colour, marker=marker, linestyle=style,
            markersize=5, label=name,
        )  # fmt: skip
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.set_xticks(places, ["none", *table.columns])
    ax.set_xlabel("parts that are untrained")
    ax.set_ylabel("rank correlation")
    ax.set_ylim(-1.05, 1.05)
    return ax


def draw_curves(
    axes: Sequence[Axes],
    deletion: Mapping[str, NDArray[np.floating]],
    insertion: Mapping[str, NDArray[np.floating]],
) -> Sequence[Axes]:
    """Tumour probability as cells go (first axes) and as they come (second).

    Curves ``(n, len(SHARES))`` of n slices by name; their mean is drawn. "random" is
    grey and "the true tumour" black, others are as in `draw_correlations`.
    """
    own = {"random": (PALE, "x", "-"), "the true tumour": (INK, "+", "-")}
    others = [name for name in deletion if name not in own]
    looks = own | dict(zip(others, cycle(LINES), strict=False))
    for ax, curves, what in zip(
        axes, (deletion, insertion), ("taken away", "given"), strict=True
    ):
        for name, (colour, marker, style) in looks.items():
            if name in curves:
                ax.plot(
                    SHARES, curves[name].mean(axis=0), color=colour, marker=marker,
                    linestyle=style, markersize=4, label=name,
                )  # fmt: skip
        ax.set_xlabel(f"cells {what}")
        ax.set_xscale("function", functions=(np.sqrt, np.square))
        ax.set_xticks([0, 0.04, 0.16, 0.36, 0.64, 1])
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.set_ylim(-0.03, 1.03)
    axes[0].set_ylabel("tumour probability in the tumour")
    return axes
