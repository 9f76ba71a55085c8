import pandas as pd
import pytest

from mscf.visualisation.audit import (
    draw_dice_bounds,
    draw_f1_check,
    draw_missed_slices,
    draw_readings,
)


def test_f1_that_rounding_cannot_explain_lies_outside_its_band(ax) -> None:
    check = pd.DataFrame({
        "computed": [80.0, 80.0], "low": [79.995] * 2, "high": [80.005] * 2,
        "printed": [80.0, 79.9], "fits": [True, False],
    }, index=["a", "b"])  # fmt: skip
    draw_f1_check(ax, check, {"a": "A"})
    bands, printed = ax.collections
    assert bands.get_segments()[0][:, 0].tolist() == pytest.approx([-0.01, 0.01])
    assert printed.get_offsets()[:, 0].tolist() == pytest.approx([0, -0.1])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["A", "b"]
    assert len(set(map(tuple, printed.get_facecolors()))) == 2


def test_rows_lie_between_the_two_bounds(ax) -> None:
    draw_dice_bounds(ax, pd.DataFrame({"jaccard": [70.0], "dice": [79.0]}))
    upper, lower = ax.lines
    x, y = upper.get_xydata()[0]
    assert y == pytest.approx(200 * x / (100 + x))
    assert lower.get_xydata()[0].tolist() == pytest.approx([x, x])


def test_both_explanations_of_a_gap_are_shown(ax) -> None:
    missed = pd.DataFrame({"hd": [2.2], "recall": [11.5]}, index=["danet"])
    draw_missed_slices(ax, missed, {"danet": "DANet"})
    assert [c.get_offsets()[0][0] for c in ax.collections[1:]] == [2.2, 11.5]


def test_readings_that_give_the_print_are_marked(ax) -> None:
    draw_readings(ax, {"a": 0.3727, "b": 0.3765}, 0.37)
    first, second = ax.collections[0].get_facecolors()
    assert tuple(first) != tuple(second)
    assert [t.get_text() for t in ax.texts] == ["0.373", "0.377"]
