"""Looking through a volume with sliders, where a kernel is alive."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mscf.visualisation.segmentations import draw_labels, mark_sides
from mscf.visualisation.style import LIVER_WINDOW

if TYPE_CHECKING:
    from ipywidgets import VBox


def slice_viewer(
    hu: NDArray[np.int16],
    labels: NDArray[np.uint8],
    spacing: tuple[float, float] = (1.0, 1.0),
    window: tuple[float, float] = LIVER_WINDOW,
) -> VBox:
    """Sliders for slice and window, a box for the borders of the labels.

    ``hu`` and ``labels`` are ``(Z, H, W)``, ``spacing`` the millimetres of a row and of
    a column. It begins with the slice of most tumour. The picture is sent as PNG, so it
    needs no backend of matplotlib.

    Raises:
        ValueError: both are not volumes of one shape.
    """
    from ipywidgets import Checkbox, Image, IntRangeSlider, IntSlider, VBox

    if hu.ndim != 3 or hu.shape != labels.shape:
        raise ValueError(f"two volumes of one shape: {hu.shape} and {labels.shape}")
    most = int((labels == 2).sum(axis=(1, 2)).argmax())
    number = IntSlider(value=most, min=0, max=len(hu) - 1, description="slice")
    low, high = (int(end) for end in window)
    ends = IntRangeSlider(value=(low, high), min=-1000, max=1000, description="HU")
    borders = Checkbox(value=True, description="borders of liver and tumour")
    picture = Image(format="png")

    def draw(*_: object) -> None:
        picture.value = as_png(
            hu[number.value], labels[number.value] * borders.value, spacing, ends.value
        )

    for control in (number, ends, borders):
        control.observe(draw, "value")
    draw()
    return VBox([number, ends, borders, picture])


def as_png(
    hu: NDArray[np.int16],
    labels: NDArray[np.uint8],
    spacing: tuple[float, float],
    window: tuple[float, float],
) -> bytes:
    """One slice as the bytes of a picture."""
    figure, ax = plt.subplots(figsize=(5, 5))
    draw_labels(ax, hu, labels, window, spacing)
    mark_sides(ax)
    return png_of(figure)


def png_of(figure: Figure) -> bytes:
    """A figure as the bytes of a picture; it is closed."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    plt.close(figure)
    return file.getvalue()
