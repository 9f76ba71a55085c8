"""A perfect mask that is enlarged as CE-Net's test code does comes out too large."""

import numpy as np
import pytest

from mscf.pages.enlarged import LARGE, SMALL, discs, enlarged_disc

RADII = (5, 12, 19)


@pytest.mark.parametrize("side", [SMALL, LARGE])
@pytest.mark.parametrize("radius", RADII)
def test_the_discs_have_the_area_of_a_circle_on_both_grids(radius, side) -> None:
    pixel = (LARGE / side) ** 2
    assert discs(radius, side).sum(axis=(1, 2)).mean() * pixel == pytest.approx(
        np.pi * radius**2, rel=0.01
    )


@pytest.mark.parametrize("radius", RADII)
def test_above_20_of_255_a_perfect_mask_grows_and_at_one_half_it_does_not(
    radius,
) -> None:
    ratios = dict(zip(RADII, (1.22, 1.09, 1.06), strict=True))
    assert enlarged_disc(radius) == pytest.approx(ratios[radius], abs=0.01)
    assert enlarged_disc(radius, above=0.5) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("above", [20 / 255, 0.4])
def test_resizing_equals_a_plain_form_line_by_line(above) -> None:
    small = discs(12, SMALL).astype(float)
    at = (np.arange(LARGE) + 0.5) * SMALL / LARGE - 0.5  # in pixels of the small one

    def lines(x):
        return np.interp(at, np.arange(SMALL), x)

    large = np.apply_along_axis(lines, 1, np.apply_along_axis(lines, 2, small))
    expected = (large > above).sum() / discs(12, LARGE).sum()
    assert enlarged_disc(12, above) == pytest.approx(expected, abs=1e-6)
