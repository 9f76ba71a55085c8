import re

import pytest
from torch import nn

import mscf
from mscf.models.context import ContextBlock
from mscf.visualisation.architecture import (
    context_costs,
    draw_architecture,
    output_shapes,
    parameter_table,
)
from mscf.visualisation.context_block import draw_context_block


@pytest.fixture(scope="module")
def network():
    return mscf.build("mscf")


def texts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_the_drawing_has_the_shapes_of_fig_2(ax, network) -> None:
    found = texts(draw_architecture(ax, network, 448))
    for shape, boxes in {
        "64 @ 112": 4, "128 @ 56": 3, "256 @ 28": 3, "512 @ 14": 1, "516 @ 14": 1,
        "64 @ 224": 1, "1 @ 448": 1, "3 @ 448": 1,
    }.items():  # fmt: skip
        assert found.count(shape) == boxes, shape
    assert found.count("context block") == found.count("+") == 3


def test_shapes_and_parameters_are_those_of_the_model_at_hand(ax) -> None:
    network = mscf.build("mscf+cat")
    network.decoder.head[-1] = nn.Conv2d(32, 7, 1)
    found = texts(draw_architecture(ax, network, 192))
    assert "7 @ 192" in found
    heads = sum(p.numel() for p in network.decoder.head.parameters())
    assert f"{heads:,}" in found
    assert found.count("cat") == 3
    assert "+" not in found


def test_the_numbers_of_all_boxes_add_up_to_the_network(ax, network) -> None:
    found = texts(draw_architecture(ax, network))
    counts = [int(t.replace(",", "")) for t in found if re.fullmatch(r"[\d,]+", t)]
    assert sum(counts) == 29_111_179


def test_a_network_without_contexts_has_plain_skips(ax) -> None:
    found = texts(draw_architecture(ax, mscf.build("cenet"), 192))
    assert "context block" not in found
    assert "(c) Eq. 1-7" not in found
    assert found.count("+") == 3


def test_a_network_of_other_parts_is_refused(ax) -> None:
    with pytest.raises(ValueError, match=r"CE-Net's parts; missing: .*encoder\.stem"):
        draw_architecture(ax, mscf.build("unet"), 64)


def test_reading_shapes_leaves_the_model_as_it_was(network) -> None:
    network.train()
    assert output_shapes(network, ["encoder.stage4", "nowhere"], 192) == {
        "encoder.stage4": (512, 6, 6)
    }
    assert network.training
    assert not any(m._forward_hooks for m in network.modules())
    assert next(network.parameters()).device.type == "cpu"


def test_the_block_is_drawn_with_the_widths_of_its_layers(ax, network) -> None:
    found = texts(draw_context_block(ax, network.contexts[1], 128, 56))
    assert found.count("N x 16") == 2  # keys and queries
    assert found.count("N x 128") == 6  # F, M F, X^s; X, X', X^c
    assert "N x N, N = 3,136" in found
    assert "128 x 128" in found
    assert "$X^s + X^c$" in found
    assert "Eq. 7; 20,642 parameters" in found


@pytest.mark.parametrize(
    ("options", "there", "absent"),
    [
        ({"channel": False}, "the one branch", "Eq. 4"),
        ({"spatial": False}, "the one branch", "Eq. 2"),
        ({"residual": "once"}, "$X^s + X^c - X$", "the one branch"),
        ({"f": "none"}, "K: 1 x 1", "K: 1 x 1, ReLU"),
        ({"softmax": "scaled"}, "$G$ = softmax($X^T X / N$)", "$G$ = softmax($X^T X$)"),
        ({"eq5": "rows"}, "$X'$ = $X G^T$", "$X'$ = $X G$"),
        ({"eq5": "identity"}, "$X'$ = $X$", "$G$ = softmax($X^T X$)"),
        ({"channel": False, "residual": "twice"}, "the one branch $+ X$", "Eq. 4"),
    ],
)
def test_a_changed_block_is_another_drawing(options, there, absent, ax) -> None:
    found = texts(draw_context_block(ax, ContextBlock(64, **options), 64, 8))
    assert there in found
    assert absent not in found


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
