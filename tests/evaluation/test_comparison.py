import numpy as np
import pandas as pd
import pytest

from mscf.evaluation.comparison import comparison, in_words
from mscf.evaluation.metrics import slice_metrics


def rows_of(shifts: list[int]) -> pd.DataFrame:
    """A slice for each shift of a 4 x 4 square against the truth, two patients."""
    rows = []
    for number, shift in enumerate(shifts):
        prediction, truth = np.zeros((2, 16, 16), bool)
        truth[4:8, 4:8] = True
        prediction[4:8, 4 + shift : 8 + shift] = True
        row = {"case": f"c{number % 2}", "patient": f"p{number % 2}", "slice": number}
        row |= {"height": 16, "width": 16, "spacing_y": 1.0, "spacing_x": 1.0}
        rows.append(row | slice_metrics(prediction, truth))
    return pd.DataFrame(rows)


def test_comparison_has_mean_and_pooled_dice_of_each_name() -> None:
    table = comparison({"good": rows_of([0, 2, 0, 0]), "bad": rows_of([4, 4, 4, 2])})
    assert table.index.tolist() == ["good", "bad"]
    assert table.loc["good", "mean Dice"] == pytest.approx((3 + 0.5) / 4)
    assert table.loc["bad", "pooled Dice"] == pytest.approx(0.5 / 4)
    assert table["slices without overlap"].tolist() == [0, 3]
    assert table["patients"].tolist() == [2, 2]
    low, high = table.loc["good", ["from", "to"]]
    assert low <= table.loc["good", "mean Dice"] <= high


def test_words_say_where_each_rival_stands_at_two_decimals() -> None:
    dice = {"mean Dice": [0.4, 0.5, 0.1], "pooled Dice": [0.541, 0.544, 0.2]}
    table = pd.DataFrame(
        {**dice, "of": 9, "patients": 2}, index=["network", "threshold", "untrained"]
    )
    assert in_words(table, "network", ("threshold", "untrained")) == (
        "On 9 slices of 2 patients that it has not seen, *network* has a Dice of 0.40 "
        "as the mean over slices and 0.54 pooled over pixels. "
        "*threshold*: 0.50 and 0.54, above it and level. "
        "*untrained*: 0.10 and 0.20, below it in both."
    )
