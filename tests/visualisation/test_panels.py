import matplotlib.pyplot as plt
import numpy as np
import pytest
from test_segmentations import contours

from mscf.visualisation.panels import (
    draw_panel,
    draw_row,
    draw_truth,
    name_row,
    panel_axes,
    region_of,
    rows_of_panels,
)
from mscf.visualisation.style import FALSE_POSITIVE, MISS, TRUTH

HU = np.linspace(-40, 160, 90 * 60).reshape(90, 60)


def square(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros(HU.shape, bool)
    mask[rows, columns] = True
    return mask


TUMOUR = square(slice(40, 50), slice(10, 22))


def texts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_the_region_is_a_square_around_the_tumour() -> None:
    rows, columns = region_of(TUMOUR)
    assert (rows.stop - rows.start, columns.stop - columns.start) == (20, 20)
    assert (rows.start, columns.start) == (35, 6)  # 45 and 16 in its middle


def test_a_large_tumour_has_room_around_it() -> None:
    rows, columns = region_of(square(slice(30, 60), slice(20, 40)))
    assert (rows.start, rows.stop) == (21, 69)
    assert (columns.start, columns.stop) == (6, 54)


@pytest.mark.parametrize(
    ("tumour", "start"),
    [
        (square(slice(0, 4), slice(0, 4)), (0, 0)),
        (square(slice(88, 90), slice(59, 60)), (70, 40)),
    ],
)
def test_a_region_at_the_border_stays_inside_the_slice(tumour, start) -> None:
    rows, columns = region_of(tumour)
    assert (rows.start, columns.start) == start
    assert HU[rows, columns].shape == (20, 20)


def test_a_tumour_as_large_as_the_slice_is_shown_whole() -> None:
    assert HU[region_of(square(slice(None), slice(None)))].shape == (60, 60)


def test_a_slice_without_tumour_has_no_region() -> None:
    with pytest.raises(ValueError, match="no region"):
        region_of(square(slice(0), slice(0)))


def test_a_panel_shows_the_errors_inside_its_region_and_counts_those_outside(
    ax,
) -> None:
    prediction = square(slice(42, 50), slice(10, 24)) | square(slice(0, 2), slice(0, 3))
    draw_panel(ax, HU, prediction, TUMOUR, dice=0.714)
    assert ax.images[0].get_array().shape == (20, 20)
    assert contours(ax).keys() == {FALSE_POSITIVE, MISS, TRUTH}
    assert texts(ax) == ["0.71", "+6 px"]


def test_nothing_outside_is_not_counted(ax) -> None:
    draw_panel(ax, HU, TUMOUR, TUMOUR, dice=1.0)
    assert texts(ax) == ["1.00"]


def test_the_truth_is_named(ax) -> None:
    draw_truth(ax, HU, TUMOUR, "liver_7")
    assert contours(ax).keys() == {TRUTH}
    assert texts(ax) == ["liver_7"]


def test_all_panels_of_a_slice_show_the_same_region_under_their_titles() -> None:
    figure, axes = plt.subplots(2, 2)
    masks = {"unet": ~TUMOUR, "mscf": TUMOUR}
    draw_row(
        axes.flat, HU, TUMOUR, masks, {"unet": 0, "mscf": 1}, titles=["a", "b", "c"]
    )
    shown = [ax.images[0].get_array() for ax in axes.flat[:3]]
    plt.close(figure)
    assert [ax.get_title() for ax in axes.flat] == ["a", "b", "c", ""]
    assert np.array_equal(shown[0], shown[1])
    assert np.array_equal(shown[0], shown[2])
    assert not axes[1, 1].images
    assert not axes[1, 1].axison


def test_a_row_is_named_beside_its_first_panel_which_shows_no_axis() -> None:
    figure, ax = plt.subplots()
    ax.set_axis_off()
    name_row(ax, "CE-Net")
    figure.canvas.draw()
    name, panel = ax.texts[0].get_window_extent(), ax.get_window_extent()
    plt.close(figure)
    assert ax.texts[0].get_text() == "CE-Net"
    assert name.x1 < panel.x0
    assert name.height > name.width  # upright


@pytest.mark.parametrize(
    ("n", "grid"), [(1, (1, 1)), (3, (1, 3)), (4, (1, 4)), (5, (2, 4)), (11, (3, 4))]
)
def test_rows_hold_every_panel(n, grid) -> None:
    assert rows_of_panels(n) == grid


def test_few_methods_take_a_small_figure() -> None:
    """The size was that of ten: two methods stood in an empty page."""
    ten, _ = panel_axes(11, 7)
    two, axes = panel_axes(3, 7)
    plt.close(ten)
    plt.close(two)
    assert axes.shape == (3, 7)
    assert two.get_figwidth() == ten.get_figwidth() == 7 * 1.8
    assert two.get_figheight() < ten.get_figheight() / 3
