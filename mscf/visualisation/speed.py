"""Pictures of what `python -m benchmarks` measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator

from mscf.visualisation.style import INK, MAIN, PALE, SECOND, THIRD

COLOURS = {"plain": SECOND, "ours": MAIN}


def draw_sizes(axes: Sequence[Axes], figures: Sequence[dict]) -> Sequence[Axes]:
    """Seconds (left) and peak memory (right) of a step against the side of a slice."""
    for ax, key, label in zip(
        axes, ("seconds", "mib"), ("seconds a step", "memory that a step adds, MiB"),
        strict=True,
    ):  # fmt: skip
        for form, colour in COLOURS.items():
            lines = [line for line in figures if form in line[key]]
            sides = [line["value"] for line in lines]
            values = [line[key][form] for line in lines]
            if key == "seconds":
                values = [value["median"] for value in values]
            ax.plot(sides, values, "o-", color=colour, label=form)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ticks = [line["value"] for line in figures]
        ax.set_xticks(ticks, [f"{side:g}" for side in ticks])
        # Under two decades: powers of ten alone would leave an axis with one number.
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.minorticks_off()
        ax.set_xlabel("pixels a side")
        ax.set_ylabel(label)
        ax.legend()
    return axes


def draw_parts(ax: Axes, parts: Mapping[str, dict]) -> Axes:
    """Milliseconds of each part of a step (``speed.part_lines``), both ways."""
    places = np.arange(len(parts))
    forward = np.array(
        [1e3 * p["forward"]["seconds"]["median"] for p in parts.values()]
    )
    both = np.array([1e3 * p["both"]["seconds"]["median"] for p in parts.values()])
    backward = np.maximum(both - forward, 0)
    ax.barh(places, forward, color=MAIN, label="forward")
    ax.barh(places, backward, left=forward, color=PALE, label="backward")
    for place, total in zip(places, both, strict=True):
        ax.text(total, place, f" {total / both.sum():.0%}", va="center", fontsize=8)
    ax.set_yticks(places, list(parts))
    ax.invert_yaxis()
    ax.set_xlabel("milliseconds, one slice")
    ax.legend(loc="lower right")
    return ax


def draw_roofline(
    ax: Axes, parts: Mapping[str, dict], product: float, copy: float
) -> Axes:
    """Rate of each part's forward pass against its work a byte, under both ceilings.

    ``product`` in GFLOP/s and ``copy`` in GB/s are the machine's.
    """
    work = np.geomspace(1, 3000, 100)
    ax.plot(work, np.minimum(product, copy * work), color=INK, linewidth=1.2)
    ax.text(3000, product, f"product {product:.0f} GFLOP/s", ha="right", va="bottom")
    colours = {"spatial": SECOND, "channel": THIRD}
    for n, (name, part) in enumerate(parts.items(), 1):
        flops = 2 * part["value"]  # G
        x = 1e3 * flops / part["megabytes"]
        y = flops / part["forward"]["seconds"]["median"]
        colour = colours.get(name.split()[0], MAIN)
        ax.scatter(x, y, color=colour, s=26, zorder=3)
        # Neighbours in turn left and right: parts 2 and 3 lie on each other.
        place, side = ((-4, 3), "right") if n % 2 else ((4, -9), "left")
        ax.annotate(
            str(n),
            (x, y),
            xytext=place,
            textcoords="offset points",
            ha=side,
            fontsize=8,
        )
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("operations a byte that must be moved")
    ax.set_ylabel("GFLOP/s")
    return ax
