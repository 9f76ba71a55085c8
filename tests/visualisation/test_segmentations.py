import numpy as np
import pytest
from matplotlib.colors import to_hex

from mscf.visualisation.segmentations import (
    draw_contour,
    draw_errors,
    draw_labels,
    draw_slice,
    error_legend,
    mark_sides,
)
from mscf.visualisation.style import FALSE_POSITIVE, LIVER, MISS, TRUTH

HU = np.linspace(-1000, 1000, 64).reshape(8, 8)


def contours(ax) -> dict[str, np.ndarray]:
    """Colour to the points of its line, columns and rows."""
    found = {}
    for collection in ax.collections:
        paths = [p.vertices for p in collection.get_paths() if len(p.vertices)]
        if paths:
            found[to_hex(collection.get_edgecolor()[0]).upper()] = np.concatenate(paths)
    return found


def square(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros((8, 8), bool)
    mask[rows, columns] = True
    return mask


def test_a_slice_is_black_and_white_at_the_ends_of_its_window(ax) -> None:
    (image,) = draw_slice(ax, HU, (-40, 160)).images
    assert image.norm.vmin == -40
    assert image.norm.vmax == 160
    grey = image.cmap(image.norm(np.array([-500, -40, 160, 900])))[:, 0]
    np.testing.assert_array_equal(grey, [0, 0, 1, 1])
    assert ax.yaxis_inverted()  # row 0 on top


def test_a_contour_runs_along_the_border_of_its_mask(ax) -> None:
    draw_contour(ax, square(slice(2, 5), slice(3, 7)), TRUTH)
    line = contours(ax)[TRUTH]
    np.testing.assert_allclose(line.min(axis=0), [2.5, 1.5])
    np.testing.assert_allclose(line.max(axis=0), [6.5, 4.5])


def test_a_mask_at_the_edge_has_a_closed_border(ax) -> None:
    draw_contour(ax, square(slice(None), slice(None)), TRUTH)
    line = contours(ax)[TRUTH]
    np.testing.assert_array_equal(line[0], line[-1])
    assert ax.get_xlim() == (-0.5, 7.5)
    assert ax.get_ylim() == (7.5, -0.5)


@pytest.mark.filterwarnings("error")
def test_an_empty_mask_draws_nothing(ax) -> None:
    draw_contour(ax, square(slice(0), slice(0)), TRUTH)
    assert not ax.collections


def test_the_liver_is_drawn_with_its_tumours(ax) -> None:
    labels = np.zeros((8, 8), np.uint8)
    labels[1:7, 1:7] = 1
    labels[1:3, 1:3] = 2  # at the liver's rim
    draw_labels(ax, HU, labels)
    found = contours(ax)
    np.testing.assert_allclose(found[LIVER].min(axis=0), [0.5, 0.5])
    np.testing.assert_allclose(found[TRUTH].max(axis=0), [2.5, 2.5])


def test_errors_are_filled_where_the_masks_differ(ax) -> None:
    prediction = square(slice(0, 4), slice(0, 4))
    truth = square(slice(2, 6), slice(0, 4))
    _, false_positive, missed = draw_errors(ax, HU, prediction, truth).images
    np.testing.assert_array_equal(
        false_positive.get_array()[..., 3] > 0, prediction & ~truth
    )
    np.testing.assert_array_equal(missed.get_array()[..., 3] > 0, truth & ~prediction)
    assert contours(ax).keys() == {FALSE_POSITIVE, MISS, TRUTH}


def test_a_right_prediction_shows_the_true_border_only(ax) -> None:
    truth = square(slice(2, 6), slice(0, 4))
    draw_errors(ax, HU, truth, truth)
    assert contours(ax).keys() == {TRUTH}
    assert len(ax.images) == 1


def test_the_legend_names_every_colour_of_the_errors() -> None:
    colours = {handle.get_color() for handle in error_legend()}
    assert colours == {FALSE_POSITIVE, MISS, TRUTH}


def test_what_is_round_in_the_body_is_round_in_the_picture(ax) -> None:
    draw_slice(ax, HU, spacing=(2.0, 0.5))
    assert ax.get_aspect() == 4


def test_the_patients_right_is_marked_on_the_left(ax) -> None:
    mark_sides(draw_slice(ax, HU))
    (right, left) = ax.texts
    assert (right.get_text(), left.get_text()) == ("R", "L")
    assert right.get_position()[0] < 0.5 < left.get_position()[0]
