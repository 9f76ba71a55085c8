"""What the two contexts look at: rows of the spatial map, the channel map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from mscf.visualisation.segmentations import Image, draw_slice
from mscf.visualisation.style import (
    INK,
    LIVER_WINDOW,
    MAIN,
    MISS,
    PALE,
    SECOND,
    THIRD,
)

WATCHED = {
    "alpha": "alpha, spatial",
    "beta": "beta, channel",
    "entropy": "entropy of Eq. 4, relative",
}

COMPARED = {  # name, colour, and where beside the scale's line
    "above_liver_asked": ("another place asked", MAIN, -0.17),
    "above_liver_asking": ("another place asks", SECOND, 0.17),
}

MAP_COLOURS = "plasma"


def draw_attention(
    ax: Axes,
    hu: Image,
    row: NDArray[np.floating],
    position: int,
    shape: tuple[int, int],
    window: tuple[float, float] = LIVER_WINDOW,
    highest: float | None = None,
) -> AxesImage:
    """One row of M (Eq. 2) over its slice: where the marked position gathers from.

    ``row`` ``(N,)`` sums to 1 over positions counted row by row on a grid of ``shape``
    (rows, columns); drawn in multiples of the even share 1/N, on a logarithmic scale up
    to ``highest``. Positions below the even share stay clear. Gives the picture of the
    row, for a colour bar.
    """
    height, width = hu.shape
    draw_slice(ax, hu, window)
    times = row.reshape(shape) * row.size
    top = max(times.max() if highest is None else highest, 1.01)
    picture = ax.imshow(
        np.ma.masked_less(times, 1), cmap=MAP_COLOURS, norm=LogNorm(1, top),
        alpha=0.75, extent=(-0.5, width - 0.5, height - 0.5, -0.5),
        interpolation="nearest",
    )  # fmt: skip
    x, y = centre_of(position, shape, hu.shape)
    circle = {"marker": "o", "markerfacecolor": "none", "linestyle": "none"}
    ax.plot(x, y, markersize=11, color=INK, markeredgewidth=3, **circle)
    ax.plot(x, y, markersize=11, color=MISS, markeredgewidth=1.5, **circle)
    return picture


def centre_of(
    position: int, shape: tuple[int, int], image: tuple[int, int]
) -> tuple[float, float]:
    """Column and row, in pixels of the image, of a position's centre."""
    row, column = divmod(position, shape[1])
    x = (column + 0.5) * image[1] / shape[1] - 0.5
    y = (row + 0.5) * image[0] / shape[0] - 0.5
    return x, y


def position_of(
    pixel: tuple[int, int], shape: tuple[int, int], image: tuple[int, int]
) -> int:
    """The position of a grid of ``shape`` in which a pixel (row, column) lies."""
    row = pixel[0] * shape[0] // image[0]
    column = pixel[1] * shape[1] // image[1]
    return row * shape[1] + column


def draw_affinity(ax: Axes, affinity: NDArray[np.floating]) -> AxesImage:
    """The channel map G of Eq. 4 ``(C, C)``.

    In Eq. 5 as printed, X' = X G, row i says whom channel i is given to, and column j
    from whom channel j gathers.
    """
    channels = len(affinity)
    picture = ax.imshow(affinity, cmap="inferno", vmin=0, vmax=1)
    ax.set_xlabel("to channel")
    ax.set_ylabel("given by channel")
    ax.set_xticks([0, channels - 1])
    ax.set_yticks([0, channels - 1])
    return picture


def draw_against_chance(ax: Axes, slices: pd.DataFrame, summary: pd.DataFrame) -> Axes:
    """Above how many other places pairs of lesions are, by scale; dashed: by chance.

    A point a patient, the mean over slices and its interval. ``slices`` and ``summary``
    have the columns of ``lesion_attention.csv`` and of its summary.
    """
    ax.axvline(50, color=PALE, linestyle="--", linewidth=1)
    for kind, (name, colour, step) in COMPARED.items():
        of_patient = 100 * slices.groupby(["channels", "patient"])[kind].mean()
        for line, row in enumerate(summary.to_dict("records")):
            y = line + step
            points = of_patient.loc[row["channels"]]
            ax.plot(points, [y] * len(points), "o", color=PALE, markersize=4, alpha=0.6)
            low, mean, high = (
                100 * row[f"{kind}{end}"] for end in ("_low", "", "_high")
            )
            ax.plot([low, high], [y, y], color=colour, linewidth=2)
            label = None if line else name
            ax.plot(mean, y, "D", color=colour, markersize=7, label=label)
    ax.set_yticks(range(len(summary)), [f"{c} channels" for c in summary["channels"]])
    ax.set_ylim(len(summary) - 0.5, -0.5)
    ax.set_xlim(-2, 102)
    ax.set_xlabel("above how many other places of the liver, %")
    return ax


def row_entropy(weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """Entropy in nats of each row of a map: 0 chooses one, log N chooses nothing."""
    weights = np.asarray(weights, np.float64)
    logarithms = np.log(weights, where=weights > 0, out=np.zeros_like(weights))
    return -(weights * logarithms).sum(axis=-1)


def affinity_facts(affinity: NDArray[np.floating]) -> dict[str, float]:
    """What Eq. 4 does on one slice, in numbers; ``affinity`` is ``(C, C)``.

    Columns are what Eq. 5 as printed sums over: their sum is how often a channel is
    counted, 1 for all if every channel kept to itself. A row of equal weights, as of a
    channel that is 0, chooses none.
    """
    choosing = affinity.max(axis=1) > affinity.min(axis=1)
    chosen = np.where(choosing, affinity.argmax(axis=1), -1)
    return {
        "channels": len(affinity),
        "mean row entropy (nats)": float(row_entropy(affinity).mean()),
        "entropy of no choice": float(np.log(len(affinity))),
        "rows that choose themselves": int((chosen == np.arange(len(chosen))).sum()),
        "channels chosen by any row": len(np.unique(chosen[choosing])),
        "largest column sum": float(affinity.sum(axis=0).max()),
    }


def draw_context(axes: Sequence[Axes], watched: pd.DataFrame) -> Sequence[Axes]:
    """Alpha, beta and the relative entropy of Eq. 4, a line a scale over the epochs.

    ``watched`` is ``context.csv``; three axes. Entropy 0 chooses one channel, 1 none.
    """
    epochs = watched["epoch"] + 1
    for ax, (fact, label) in zip(axes, WATCHED.items(), strict=True):
        for channels, colour in zip((64, 128, 256), (MAIN, SECOND, THIRD), strict=True):
            name = f"{fact}_{channels}"
            if name in watched and watched[name].notna().any():
                unit = np.log(channels) if fact == "entropy" else 1
                ax.plot(
                    epochs, watched[name] / unit, color=colour, marker="o",
                    markersize=4, label=f"{channels} channels",
                )  # fmt: skip
        ax.set_title(label)
        ax.set_xlabel("epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes[-1].set_ylim(-0.03, 1.03)
    axes[-1].legend(loc="center right")  # its lines lie at the bottom
    return axes
