import numpy as np
import pytest
from test_segmentations import contours

from mscf.visualisation.lesions import border_legend, draw_areas, draw_lesion_slice
from mscf.visualisation.style import FALSE_POSITIVE, TRUTH

HU = np.full((30, 40), -1000.0)
HU[5:25, 10:35] = 50


def square(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros(HU.shape, bool)
    mask[rows, columns] = True
    return mask


def test_prediction_and_label_have_the_colours_of_the_legend_and_their_places(
    ax,
) -> None:
    mask, truth = (
        square(slice(8, 12), slice(12, 18)),
        square(slice(9, 14), slice(20, 30)),
    )
    found = contours(draw_lesion_slice(ax, HU, mask, truth=truth))
    colours = {line.get_label(): line.get_color() for line in border_legend()}
    assert colours == {"predicted": FALSE_POSITIVE, "your label": TRUTH}
    np.testing.assert_array_equal(found[FALSE_POSITIVE].min(axis=0), [11.5, 7.5])
    np.testing.assert_array_equal(found[TRUTH].max(axis=0), [29.5, 13.5])


@pytest.mark.parametrize("truth", [None, HU > 1000, HU > 0])
def test_a_slice_is_cut_to_the_body_whatever_is_drawn(truth, ax) -> None:
    draw_lesion_slice(ax, HU, HU > 1000, aspect=1.5, truth=truth)
    assert ax.get_xlim() == (9.5, 34.5)
    assert ax.get_ylim() == (24.5, 4.5)  # row 0 on top
    assert ax.get_aspect() == 1.5


def test_areas_begin_at_nought_and_mark_the_slices_shown(ax) -> None:
    draw_areas(ax, np.array([0.0, 2.0, 1.0]), [1], "cm²")
    assert ax.get_ylim()[0] == 0
    (marked,) = ax.lines
    assert list(marked.get_xdata()) == [1, 1]
