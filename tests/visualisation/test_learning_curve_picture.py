import pandas as pd

from mscf.visualisation.learning_curve import draw_learning_curve


def test_a_learning_curve_has_a_line_a_patient_and_the_mean_by_size(ax) -> None:
    trained_on = {"mscf+16-patients": 16, "mscf+4-patients": 4}
    rows = pd.DataFrame({
        "method": ["mscf+16-patients"] * 3 + ["mscf+4-patients"] * 3,
        "patient": ["a", "a", "b"] * 2, "dice": [0.6, 0.8, 0.3, 0.5, 0.5, 0.2],
    })  # fmt: skip
    table = pd.DataFrame(
        {"dice": [0.57, 0.4], "dice_low": [0.3, 0.2], "dice_high": [0.7, 0.5]},
        index=list(trained_on),
    )
    draw_learning_curve(ax, rows, table, trained_on)
    *patients, mean = ax.lines
    drawn = [line.get_ydata().round(6).tolist() for line in patients]
    assert drawn == [[0.5, 0.7], [0.2, 0.3]]
    assert mean.get_xydata().tolist() == [[4, 0.4], [16, 0.57]]
    ends = [segment[:, 1].tolist() for segment in ax.collections[0].get_segments()]
    assert ends == [[0.2, 0.5], [0.3, 0.7]]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["4", "16"]
