import pytest

import mscf
from mscf.visualisation.architecture import (
    context_costs,
    draw_architecture,
    parameter_table,
)


def test_drawing_has_the_shapes_of_fig_2(ax) -> None:
    draw_architecture(ax, 448)
    texts = [text.get_text() for text in ax.texts]
    for shape, boxes in {
        "64@112": 3, "128@56": 3, "256@28": 3, "512@14": 1, "516@14": 1, "64@224": 1,
        "1@448": 1,
    }.items():  # fmt: skip
        assert texts.count(shape) == boxes, shape
    assert texts.count("context block") == 3


def test_table_adds_up_to_the_papers_percentage() -> None:
    table = parameter_table(mscf.build("cenet"), mscf.build("mscf"))
    assert table.loc["total", ["CE-Net", "MSCF", "added"]].tolist() == [
        29_003_093,
        29_111_179,
        108_086,
    ]
    assert table.loc["total", "added, % of CE-Net"] == pytest.approx(0.3727, abs=5e-5)
    contexts = table[table.index.str.startswith("(c)")]
    assert contexts["added"].tolist() == [5_202, 20_642, 82_242]
    assert table["MSCF"].iloc[:-1].sum() == table.loc["total", "MSCF"]
    others = table.drop([*contexts.index, "total"])
    assert (others["added"] == 0).all()


def test_costs_are_those_of_the_formulas() -> None:
    costs = context_costs(448)
    assert costs["map N x N, float32, MiB"].round(1).tolist() == [600.2, 37.5, 2.3]
    assert costs.filter(like="GMAC").to_numpy().sum() == pytest.approx(13.423, abs=1e-3)
