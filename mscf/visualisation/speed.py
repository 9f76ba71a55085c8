"""Pictures and tables of what `python -m benchmarks` measured, from its files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from mscf.errors import InputError
from mscf.visualisation.style import INK, MAIN, PALE, SECOND, THIRD

COLOURS = {"plain": SECOND, "ours": MAIN}


def read_benchmark(path: Path) -> dict:
    """One file of ``results/benchmarks``.

    Raises:
        InputError: missing, or something else.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        _ = [line["what"] for line in record["figures"]], record["machine"]["cpu"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            path, "must be what a benchmark wrote", error, "benchmark-file",
            "run `python -m benchmarks`",
        ) from error  # fmt: skip
    return record


def machines(records: Mapping[str, dict]) -> pd.DataFrame:
    """On what, when and by which code each topic was measured."""
    rows = {
        topic: {
            "made": record["made"],
            "processor": record["machine"]["cpu"],
            "cores": record["machine"]["cores"],
            "GPU": record["machine"].get("gpu") or "none",
            "torch": record["versions"]["torch"],
            "float32 product, GFLOP/s": record["machine"]["matrix_rate"],
            "commit": record["commit"][:7],
        }
        for topic, record in records.items()
    }
    return pd.DataFrame(rows).T


def figures_table(figures: Sequence[dict], only_wanted: bool = False) -> pd.DataFrame:
    """A row a figure: what, of what, median and range, wanted, whether reached."""
    rows = []
    for line in figures:
        wanted = line["wanted"]
        if only_wanted and wanted is None:
            continue
        ratio = line.get("ratio") or line.get("share") or line.get("rate")
        value = ratio["median"] if ratio else line["value"]
        row = {
            "what": line["what"],
            "measured": digits(value),
            "range": f"{digits(ratio['low'])} to {digits(ratio['high'])}"
            if ratio
            else "",
            "unit": line.get("of") or line.get("unit", ""),
        }
        if wanted is None:
            row |= {"wanted": "", "reached": ""}
        else:
            at_most = line.get("at_most", False)
            reached = value <= wanted if at_most else value >= wanted
            row["wanted"] = f"at {'most' if at_most else 'least'} {wanted:g}"
            row["reached"] = "yes" if reached else "no"
        rows.append(row)
    return pd.DataFrame(rows)


def digits(value: float) -> str:
    """Three digits that count, no exponent."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


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
        ax.minorticks_off()
        ax.set_xlabel("pixels a side")
        ax.set_ylabel(label)
        ax.legend()
    return axes


def part_lines(figures: Sequence[dict]) -> dict[str, dict]:
    """The lines of ``parts.json`` that are parts of the network, by their names."""
    return {
        line["what"].rpartition(": ")[2]: line for line in figures if "both" in line
    }


def draw_parts(ax: Axes, figures: Sequence[dict]) -> Axes:
    """Milliseconds of each part of a step, forward and backward."""
    parts = part_lines(figures)
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


def draw_roofline(ax: Axes, figures: Sequence[dict]) -> Axes:
    """Rate of each part's forward pass against its work a byte, under both ceilings."""
    rates = {line["unit"]: line["value"] for line in figures if "rate" in line}
    product, copy = rates["GFLOP/s"], rates["GB/s"]
    work = np.geomspace(1, 3000, 100)
    ax.plot(work, np.minimum(product, copy * work), color=INK, linewidth=1.2)
    ax.text(3000, product, f"product {product:.0f} GFLOP/s", ha="right", va="bottom")
    colours = {"spatial": SECOND, "channel": THIRD}
    for n, (name, part) in enumerate(part_lines(figures).items(), 1):
        flops = 2 * part["value"]  # G
        x = 1e3 * flops / part["megabytes"]
        y = flops / part["forward"]["seconds"]["median"]
        colour = colours.get(name.split()[0], MAIN)
        ax.scatter(x, y, color=colour, s=26, zorder=3)
        ax.annotate(
            str(n), (x, y), xytext=(4, -9), textcoords="offset points", fontsize=8
        )
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("operations a byte that must be moved")
    ax.set_ylabel("GFLOP/s")
    return ax
