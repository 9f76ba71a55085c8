import numpy as np
import pandas as pd
import pytest

from mscf.visualisation.statistics import (
    draw_dice_comparison,
    draw_history,
    draw_profile,
    draw_ranked,
    draw_split,
    draw_tumour_shares,
    has_neighbour,
    split_legend,
    spread,
)


def test_history_shows_every_epoch_from_one_and_the_rate_beside_it(ax) -> None:
    history = pd.DataFrame(
        {"epoch": [0, 1, 2], "loss": [0.5, 0.2, 0.1], "learning_rate": [2e-4] * 3}
    )
    draw_history(ax, history)
    np.testing.assert_array_equal(
        ax.lines[0].get_xydata(), [[1, 0.5], [2, 0.2], [3, 0.1]]
    )
    (rate,) = (other for other in ax.figure.axes if other is not ax)
    np.testing.assert_array_equal(rate.lines[0].get_ydata(), [2e-4] * 3)


def test_history_marks_every_cut_of_the_rate_where_it_took_effect(ax) -> None:
    rates = [2e-4, 2e-4, 1e-4, 1e-4, 5e-5]
    history = pd.DataFrame(
        {"epoch": range(5), "loss": np.linspace(0.5, 0.1, 5), "learning_rate": rates}
    )
    draw_history(ax, history)
    marked = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == ":"]
    assert marked == [2.5, 4.5]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["rate cut"]


def test_comparison_shows_every_slice_the_mean_and_the_pooled_dice(ax) -> None:
    dice = {"a": [0.2, 0.6, 0.1], "b": [0.0, 1.0]}
    draw_dice_comparison(ax, dice, {"a": 0.35, "b": 0.75})
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([0.3, 0.5])
    points = [c.get_offsets()[:, 0].tolist() for c in ax.collections]
    assert points == [[0.1, 0.2, 0.6], [0.35], [0.0, 1.0], [0.75]]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    assert ax.yaxis_inverted()  # the first on top
    assert {"0.30", "0.35", "0.50", "0.75"} <= {text.get_text() for text in ax.texts}


def test_points_are_spread_within_their_row() -> None:
    offsets = spread(200)
    assert np.abs(offsets).max() <= 0.22
    assert np.abs(np.diff(offsets)).min() > 0.1


def test_tumour_shares_tell_mean_and_median(ax) -> None:
    draw_tumour_shares(ax, [0.1, 0.2, 3.0])
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [
        "mean 1.10 %",
        "median 0.20 %",
    ]
    assert sum(bar.get_height() for bar in ax.patches) == 3


def test_a_share_off_the_scale_is_counted_at_its_end(ax) -> None:
    draw_tumour_shares(ax, [0.001, 90.0])
    heights = [bar.get_height() for bar in ax.patches]
    assert (heights[0], heights[-1]) == (1, 1)


def test_profile_counts_the_tumour_as_liver(ax) -> None:
    labels = np.zeros((2, 10, 10), np.uint8)
    labels[1, :2] = 1
    labels[1, 2] = 2
    draw_profile(ax, labels)
    liver, tumour = ax.lines
    np.testing.assert_allclose(liver.get_ydata(), [0, 30])
    np.testing.assert_allclose(tumour.get_ydata(), [0, 10])


INDEX = pd.DataFrame(
    {"case": ["a"] * 4 + ["b"] * 2, "slice": [3, 4, 5, 9, 4, 6]}, index=range(6)
)


@pytest.mark.parametrize(
    ("tested", "expected"),
    [
        ([0], [True]),  # 4 is trained
        ([1], [True]),
        ([3], [False]),  # 8 and 10 are not there
        ([4], [False]),  # the 5 is another case's
        ([0, 1, 2], [False, False, False]),  # tested neighbours do not count
    ],
)
def test_a_neighbour_is_the_next_slice_of_the_same_case(tested, expected) -> None:
    trained = np.setdiff1d(np.arange(6), tested)
    assert has_neighbour(INDEX, np.array(tested), trained).tolist() == expected


def test_split_shows_each_slice_in_its_cases_row(ax) -> None:
    (image,) = draw_split(ax, INDEX, np.array([1, 5])).images
    cells = image.get_array()
    assert cells.shape == (2, 10)
    assert cells[0, [3, 4, 5, 9]].tolist() == [0, 1, 0, 0]
    assert cells[1, [4, 6]].tolist() == [0, 1]
    assert cells.count() == 6  # all others are blank
    tests = split_legend()[1].get_facecolor()
    np.testing.assert_allclose(image.cmap(image.norm(1.0)), tests)


def test_ranked_shows_the_largest_first(ax) -> None:
    draw_ranked(ax, [1, *range(13)], even=1)
    assert [bar.get_height() for bar in ax.patches] == [*range(12, 0, -1)]
    assert ax.lines[0].get_ydata()[0] == 1
