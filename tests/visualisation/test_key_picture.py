import base64
import io
import re

import numpy as np
import pytest
from matplotlib.image import imread

from mscf.visualisation.key_picture import FIELD, key_picture, window_around

SHAPE = (120, 160)


def square(top: float, left: float, bottom: float, right: float) -> np.ndarray:
    """A closed line of rows and columns."""
    corners = [(top, left), (top, right), (bottom, right), (bottom, left), (top, left)]
    return np.array(corners, float)


def shown(svg: str) -> np.ndarray:
    """The grey values within an SVG, 0 to 255."""
    packed = re.search(r'href="data:image/png;base64,([^"]+)"', svg)[1]
    picture = imread(io.BytesIO(base64.b64decode(packed)), format="png")
    return np.round(255 * picture[..., 0])


def points(svg: str, kind: str) -> list[np.ndarray]:
    """x and y of the corners of each of its lines."""
    found = re.findall(rf'<{kind} points="([^"]+)"', svg)
    return [np.array([p.split(",") for p in line.split()], float) for line in found]


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 2.0), (2.0, 0.5)])
def test_the_window_is_square_in_the_body_and_holds_the_lesion(spacing) -> None:
    window = window_around([square(140, 170, 152, 178)], (300, 310), spacing)
    assert window.height == pytest.approx(FIELD, abs=spacing[0])
    assert window.width == pytest.approx(FIELD, abs=spacing[1])
    assert window.top + window.rows / 2 == pytest.approx(146.5, abs=1)
    assert window.left + window.columns / 2 == pytest.approx(174.5, abs=1)


def test_a_lesion_larger_than_the_field_is_shown_whole_and_something_around() -> None:
    line = square(20, 30, 95, 90)
    window = window_around([line], SHAPE, (1, 1))
    assert window.top < 20 - 5
    assert window.left < 30 - 5
    assert window.top + window.rows > 95 + 5
    assert window.left + window.columns > 90 + 5


@pytest.mark.parametrize(
    "line", [square(-0.5, -0.5, 3, 3), square(110, 150, 119.5, 159.5)]
)
def test_the_window_never_leaves_the_slice(line) -> None:
    window = window_around([line], SHAPE, (1, 1))
    assert (window.rows, window.columns) == (60, 60)
    assert 0 <= window.top <= 120 - 60
    assert 0 <= window.left <= 160 - 60
    assert (line >= (window.top - 0.5, window.left - 0.5)).all()


def test_a_slice_smaller_than_the_field_is_shown_whole() -> None:
    window = window_around([square(0, 0, 3, 3)], (8, 9), (1, 1))
    assert (window.top, window.left, window.rows, window.columns) == (0, 0, 8, 9)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 1.5)])
def test_lines_lie_on_the_pixels_that_they_go_round(spacing) -> None:
    hu = np.full(SHAPE, -40)
    hu[60:64, 80:90] = 160
    svg = key_picture(hu, [square(59.5, 79.5, 63.5, 89.5)], spacing, "mm", "lesion")
    grey = shown(svg)
    rows, columns = np.nonzero(grey)
    assert set(np.unique(grey)) == {0, 255}
    (line,) = points(svg, "polygon")
    x, y = line[:, 0] / spacing[1], line[:, 1] / spacing[0]
    assert (x.min(), x.max()) == pytest.approx((columns.min(), columns.max() + 1))
    assert (y.min(), y.max()) == pytest.approx((rows.min(), rows.max() + 1))
    width, height = map(float, re.search(r'viewBox="0 0 (\S+) (\S+)"', svg).groups())
    assert width == pytest.approx(grey.shape[1] * spacing[1])
    assert height == pytest.approx(grey.shape[0] * spacing[0])


@pytest.mark.parametrize("spacing", [(0.4, 0.4), (0.8, 1.1), (5.0, 5.0)])
def test_the_scale_bar_is_as_long_as_it_says(spacing) -> None:
    svg = key_picture(
        np.zeros(SHAPE), [square(50, 50, 60, 60)], spacing, "pixels", "lesion"
    )
    length, unit = re.search(r">(\d+) (\w+)</text>", svg).groups()
    assert re.search(r"<path d=\"M\S+ h-(\d+) ", svg)[1] == length
    assert unit == "pixels"
    width = float(re.search(r'viewBox="0 0 (\S+) ', svg)[1])
    assert width / 8 <= int(length) <= width / 3


def test_other_lesions_callipers_and_the_right_side_are_drawn_when_given() -> None:
    line, other = square(50, 50, 60, 60), square(70, 70, 74, 74)
    ends = np.array([[50.0, 50], [60, 60]])
    bare = key_picture(np.zeros(SHAPE), [line], (1, 1), "mm", "a", sides=False)
    assert (len(points(bare, "polygon")), len(points(bare, "polyline"))) == (1, 0)
    assert ">R<" not in bare
    full = key_picture(
        np.zeros(SHAPE), [line], (1, 1), "mm", "a", others=[other], callipers=[ends]
    )
    assert (len(points(full, "polygon")), len(points(full, "polyline"))) == (2, 1)
    assert ">R<" in full
