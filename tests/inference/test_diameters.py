import itertools
import math

import numpy as np
import pytest
from scipy.ndimage import label

from mscf.inference.diameters import diameters, outline


def ellipse(a: float, b: float, turn: float, spacing, centre=(0.0, 0.0)) -> np.ndarray:
    """Pixels whose centres lie in an ellipse of half axes ``a`` and ``b`` in mm."""
    n = math.ceil(a / min(spacing)) + 3
    y = (np.arange(-n, n + 1)[:, None] + centre[0]) * spacing[0]
    x = (np.arange(-n, n + 1)[None, :] + centre[1]) * spacing[1]
    along = x * math.cos(turn) + y * math.sin(turn)
    across = y * math.cos(turn) - x * math.sin(turn)
    return (along / a) ** 2 + (across / b) ** 2 <= 1


@pytest.mark.parametrize("spacing", [(0.8, 0.8), (0.5, 1.4), (1.4, 0.5)])
@pytest.mark.parametrize("turn", [0, 0.4, math.pi / 4, 1.3, math.pi / 2, 2.5])
@pytest.mark.parametrize(("a", "b"), [(5, 4), (12, 7), (30, 11)])
def test_an_ellipses_axes_are_measured_to_a_pixel(a, b, turn, spacing) -> None:
    found = diameters(ellipse(a, b, turn, spacing, (0.3, 0.2)), spacing)
    assert abs(found.longest - 2 * a) < max(spacing)
    assert abs(found.perpendicular - 2 * b) < max(spacing)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_a_row_of_pixels_is_as_long_as_they_are_and_one_wide(n) -> None:
    found = diameters(np.ones((1, n), bool), (3, 4))
    assert (found.longest, found.perpendicular) == pytest.approx((4 * n, 3))
    found = diameters(np.ones((n, 1), bool), (4, 3))
    assert (found.longest, found.perpendicular) == pytest.approx((4 * n, 3))


def test_the_perpendicular_is_measured_where_it_is_longest_and_at_right_angles() -> (
    None
):
    region = np.zeros((9, 21), bool)
    region[4], region[1:8, 16] = True, True  # a bar, and one across near its end
    spacing = (2.0, 1.0)
    found = diameters(region, spacing)
    assert (found.longest, found.perpendicular) == pytest.approx((21, 14))
    assert found.perpendicular_ends[:, 1] == pytest.approx([16, 16])
    assert sorted(found.perpendicular_ends[:, 0]) == pytest.approx([0.5, 7.5])
    along, across = (
        np.diff(ends, axis=0)[0] * spacing
        for ends in (found.longest_ends, found.perpendicular_ends)
    )
    assert along @ across == pytest.approx(0, abs=1e-9)


def brute(region, spacing) -> tuple[float, float]:
    """Over all pairs of corners, then of all edges that a line across meets."""
    lines = [line * spacing for line in outline(region)]
    points = np.concatenate(lines)
    p, q = max(itertools.combinations(points, 2), key=lambda two: math.dist(*two))
    along = (q - p) / math.dist(p, q)
    turn = np.stack([along, (-along[1], along[0])], axis=1)
    edges = [e for line in lines for e in itertools.pairwise(line @ turn)]
    widest = 0.0
    for at in {end[0] for edge in edges for end in edge}:
        met = [
            (1 - share) * a[1] + share * b[1]
            for a, b in edges
            if a[0] != b[0] and 0 <= (share := (at - a[0]) / (b[0] - a[0])) <= 1
        ]
        widest = max(widest, max(met) - min(met))
    return math.dist(p, q), widest


@pytest.mark.parametrize("seed", range(12))
def test_any_shape_holes_included_agrees_with_trying_all_lines(seed) -> None:
    random = np.random.default_rng(seed)
    regions, _ = label(random.random((9, 8)) < 0.65)
    region = regions == 1 + np.bincount(regions.ravel())[1:].argmax()
    spacing = tuple(random.uniform(0.5, 2, 2))
    found = diameters(region, spacing)
    assert (found.longest, found.perpendicular) == pytest.approx(brute(region, spacing))


def test_a_hole_changes_no_diameter() -> None:
    solid = ellipse(12, 8, 0.4, (1, 1))
    ring = solid.copy()
    ring[13:17, 13:17] = False
    assert solid.sum() == ring.sum() + 16
    first, second = (diameters(region, (1, 1)) for region in (solid, ring))
    assert (first.longest, first.perpendicular) == (
        second.longest,
        second.perpendicular,
    )
