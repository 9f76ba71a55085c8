"""A slice in a page: point at a pixel, and see where it looks at every scale.

The page is HTML with all it needs inside: it works without a kernel, without a server
and without a network. Where no script runs, a strip of chosen pixels stands there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from mscf.visualisation.attention import MAP_COLOURS, draw_attention, position_of
from mscf.visualisation.embedded import as_address, as_text, grey_png
from mscf.visualisation.segmentations import draw_contour, mark_sides
from mscf.visualisation.style import LIVER, MISS, TRUTH
from mscf.visualisation.viewer import png_of

TISSUES = ("elsewhere", "liver", "tumour")  # by label
NO_BREAK = "\u00a0"  # a space at which no line ends


@dataclass(frozen=True)
class AskedScale:
    """Where R x C pixels of a slice look at one scale; c its cells of positions."""

    channels: int
    positions: NDArray[np.int64]  # (2,), of the scale's map
    alpha: float  # of Eq. 3
    looks: NDArray[np.uint8]  # (R, C, r, c), means over cells; 255 is the highest
    highest: NDArray[np.float32]  # (R, C), times the even share
    shares: NDArray[np.float32]  # (R, C, 3), percent on tumour, liver, elsewhere

    def times(self, asking: tuple[int, int]) -> NDArray[np.float64]:
        """How many times the even share each cell gets: ``(r, c)``."""
        return self.looks[asking] / 255 * self.highest[asking]

    def agreeing(self) -> float:
        """The part of the pixels whose strongest cell is the one that most share."""
        strongest = self.looks.reshape(*self.looks.shape[:2], -1).argmax(axis=-1)
        return np.bincount(strongest.ravel()).max() / strongest.size


@dataclass(frozen=True)
class AskedSlice:
    """A slice, asked by a grid of its pixels."""

    case: str
    slice: int
    hu: NDArray[np.int16]  # (H, W)
    labels: NDArray[np.uint8]  # (H, W)
    window: NDArray[np.float64]  # (2,), HU
    pixels: NDArray[np.int64]  # (R, C, 2), row and column; they can be asked
    names: NDArray[np.str_]  # (A,), what some of them lie in
    chosen: NDArray[np.int64]  # (A, 2), which these are: row and column of the grid
    scales: tuple[AskedScale, ...]


def ask_page(asked: AskedSlice) -> str:
    """HTML of the figure, to stand in a page or in the output of a cell."""
    height, width = asked.hu.shape
    data = json.dumps(for_script(asked), separators=(",", ":"))
    parts = {
        "style": read_part("ask_page.css"),
        "script": read_part("ask_page.js"),
        "data": data,
        "id": "ask-" + hashlib.sha256(data.encode()).hexdigest()[:8],
        "height": height,
        "width": width,
        "slice": as_address(grey_png(asked.hu, asked.window)),
        "alt": escape(
            f"CT slice {asked.slice} of {asked.case}, liver and tumour outlined"
        ),
        "liver": border(asked.labels > 0),
        "tumour": border(asked.labels == 2),
        "liver_colour": LIVER,
        "tumour_colour": TRUTH,
        "mark_colour": MISS,
        "scales": listed(str(scale.channels) for scale in asked.scales),
        "strip": "\n".join(picture(asked, a) for a in range(len(asked.names))),
        "rows": "\n".join(table_rows(asked)),
        "caption": escape(in_words(asked)),
    }
    return Template(read_part("ask_page.html")).substitute(parts)


def whole_page(figure: str, title: str) -> str:
    """The figure as a page of its own, light or dark as the reader has it."""
    page = Template(read_part("ask_page_alone.html"))
    return page.substitute(title=escape(title), figure=figure)


def read_part(name: str) -> str:
    """One of the files beside this one."""
    return files("mscf.visualisation").joinpath(name).read_text(encoding="utf-8")


def for_script(asked: AskedSlice) -> dict:
    """What the script looks up; pixels that can be asked are counted row by row."""
    start = asked.chosen[0].tolist()
    colours = mpl.colormaps[MAP_COLOURS](np.arange(256), bytes=True)[:, :3]
    return {
        "height": asked.hu.shape[0],
        "width": asked.hu.shape[1],
        "rows": asked.pixels[:, 0, 0].tolist(),
        "columns": asked.pixels[0, :, 1].tolist(),
        "start": start,
        "tissues": TISSUES,
        "labels": asked.labels[tuple(asked.pixels.reshape(-1, 2).T)].tolist(),
        "colours": as_text(colours.tobytes()),
        "scales": [
            {
                "name": name_of(scale),
                "cells": scale.looks.shape[2:],
                "looks": as_text(scale.looks.tobytes()),
                "highest": [float(f"{value:.5g}") for value in scale.highest.flat],
                "shares": scale.shares.reshape(-1, 3).astype(float).round(1).tolist(),
            }
            for scale in asked.scales
        ],
    }


def name_of(scale: AskedScale) -> str:
    """The scale as its panel is titled."""
    rows, columns = scale.positions
    alpha = f"{scale.alpha:.3f}".replace("-", "\u2212")
    size = f"{rows} × {columns} positions"
    words = (f"{scale.channels} channels", size, f"α = {alpha}")
    return ", ".join(part.replace(" ", NO_BREAK) for part in words)


def table_rows(asked: AskedSlice) -> list[str]:
    """Rows for the script to fill, one a scale, and the slice to compare with."""
    shares = [100 * (asked.labels == label).mean() for label in (2, 1, 0)]
    rows = [table_row(str(scale.channels), [""] * 3) for scale in asked.scales]
    return [*rows, table_row("the slice", [f"{share:.1f}" for share in shares])]


def table_row(name: str, cells: Iterable[str]) -> str:
    """A row of the table under its name."""
    inside = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr><th scope="row">{name}</th>{inside}</tr>'


def in_words(asked: AskedSlice) -> str:
    """The slice, what can be asked, how coarsely it is shown, and how far all agree."""
    rows, columns = asked.pixels.shape[:2]
    height, width = asked.hu.shape
    cells = listed(f"{r} × {c}" for r, c in (s.looks.shape[2:] for s in asked.scales))
    agreeing = listed(percent(100 * scale.agreeing(), 0) for scale in asked.scales)
    low, high = asked.window
    return (
        f"{asked.case}, slice {asked.slice}, {height} × {width} pixels; {rows} × "
        f"{columns} of them, evenly spread, can be asked. HU window from {low:g} to "
        f"{high:g}; R is the patient's right. Answers are shown as "
        f"means over {cells} cells, without colour below the even share; the table is "
        f"of the full rows. {agreeing} of all that can be asked have their strongest "
        "cell in common."
    )


def percent(value: float, digits: int = 1) -> str:
    """A number and its sign, which stay on one line."""
    return f"{value:.{digits}f}{NO_BREAK}%"


def listed(parts: Iterable[str]) -> str:
    """In words: a, b and c."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def picture(asked: AskedSlice, a: int) -> str:
    """What a chosen pixel looks at, at every scale, as one picture told in words."""
    row, column = asked.chosen[a]
    pixel = tuple(asked.pixels[row, column])
    figure, axes = plt.subplots(
        1, len(asked.scales), figsize=(6, 2), dpi=100, layout="constrained",
        squeeze=False, facecolor="white",
    )  # fmt: skip
    for ax, scale in zip(axes.flat, asked.scales, strict=True):
        times = scale.times((row, column))
        draw_attention(
            ax, asked.hu, times.ravel() / times.size,
            position_of(pixel, times.shape, asked.hu.shape), times.shape,
            tuple(asked.window), highest=times.size,
        )  # fmt: skip
        draw_contour(ax, asked.labels == 2, "white", width=1)
    mark_sides(axes[0, 0])
    asks = f"{asked.names[a]} (row {pixel[0]}, column {pixel[1]})".capitalize()
    shares = listed(percent(scale.shares[row, column, 0]) for scale in asked.scales)
    alt = f"The slice once a scale; coloured cells mark where it gathers from: {asks}"
    return (
        f'<div><img class="dark-light" src="{as_address(png_of(figure))}" '
        f'alt="{escape(alt)}">\n'
        f'<p class="ask-name">{escape(asks)}: {shares} on tumour</p></div>'
    )


def border(mask: NDArray[np.bool_]) -> str:
    """The edges between pixels of a mask and others, as the path of an SVG."""
    padded = np.pad(mask, 1)
    across = np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1])
    down = np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1])
    edges = [f"M{c} {r}h1" for r, c in across] + [f"M{c} {r}v1" for r, c in down]
    return "".join(edges)
