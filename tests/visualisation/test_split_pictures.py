"""Methods under two splits: whose point is where, in which colour."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.colors import to_hex

from mscf.visualisation.under_splits import (
    COLOURS,
    draw_differences_under_splits,
    draw_under_splits,
)


def test_each_split_has_its_colour_points_and_numbers() -> None:
    table = pd.DataFrame(
        {
            "split": ["slice", "slice", "patient"],
            "baseline": ["cenet", "senet", "cenet"],
            "difference": [0.031, -0.0002, 0.012],
            "low": [0.0, -0.1, -0.02],
            "high": [0.05, 0.01, 0.04],
        }
    )
    _, ax = plt.subplots()
    draw_differences_under_splits(ax, table, {"cenet": "CE-Net"})
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["CE-Net", "senet"]
    points = [c for c in ax.collections if c.get_label().startswith("split by")]
    for collection, split in zip(points, ("slice", "patient"), strict=True):
        of_split = table[table["split"] == split]
        assert (
            collection.get_offsets()[:, 0].tolist() == of_split["difference"].tolist()
        )
        assert to_hex(collection.get_facecolor()[0]) == to_hex(COLOURS[split])
        rows = [["cenet", "senet"].index(name) for name in of_split["baseline"]]
        assert collection.get_offsets()[:, 1].round().tolist() == rows
    assert [text.get_text() for text in ax.texts] == ["+3.1", "0.0", "+1.2"]


def test_one_split_stands_on_its_lines_and_means_reach_from_0_to_1() -> None:
    table = pd.DataFrame(
        {"split": ["patient"], "method": ["mscf"], "dice": [0.5], "dice_low": [0.4],
         "dice_high": [0.6]}
    )  # fmt: skip
    _, ax = plt.subplots()
    draw_under_splits(ax, table, {})
    (points,) = [c for c in ax.collections if c.get_label().startswith("split by")]
    assert points.get_offsets().tolist() == [[0.5, 0.0]]
    assert ax.get_xlim() == (-0.01, 1.01)
    assert [text.get_text() for text in ax.texts] == ["0.50"]
