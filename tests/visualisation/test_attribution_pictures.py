import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from mscf.visualisation.attribution import SHARES
from mscf.visualisation.attribution_pictures import (
    LOWERS,
    RAISES,
    attribution_legend,
    draw_attribution,
    draw_correlations,
    draw_curves,
    errors_beside_attribution_legend,
    signed_colours,
)
from mscf.visualisation.segmentations import error_legend


def test_the_colour_is_the_sign_and_the_opacity_the_size() -> None:
    picture = signed_colours(np.array([[1.0, -1.0], [0.5, 0.0]]))
    assert picture[0, 0, :3] == pytest.approx(to_rgb(RAISES))
    assert picture[0, 1, :3] == pytest.approx(to_rgb(LOWERS))
    assert picture[..., 3] == pytest.approx(np.array([[0.85, 0.85], [0.425, 0]]))


def test_a_map_of_zeros_and_one_with_a_single_value_are_drawn() -> None:
    assert (signed_colours(np.zeros((4, 4)))[..., 3] == 0).all()
    single = np.zeros((20, 20), np.float16)
    single[3, 4] = 7
    assert signed_colours(single)[3, 4, 3] == pytest.approx(0.85)


def test_a_map_covers_its_slice_in_cells_as_coarse_as_they_are(ax) -> None:
    truth = np.zeros((20, 30), bool)
    truth[5:10, 5:10] = True
    draw_attribution(ax, np.zeros((20, 30)), np.ones((2, 3)), truth)
    slice_, over = ax.images
    assert slice_.get_array().shape == (20, 30)
    assert over.get_array().shape == (2, 3, 4)
    assert over.get_extent() == [-0.5, 29.5, 19.5, -0.5]
    assert over.get_interpolation() == "nearest"
    assert len(ax.collections) == 1  # the border


def test_the_legends_name_all_three_colours() -> None:
    labels = [line.get_label() for line in attribution_legend()]
    assert labels == ["true border", "raises the logit", "lowers it"]
    both = {n.get_label(): n.get_color() for n in errors_beside_attribution_legend()}
    for wrong in error_legend()[1:]:  # in the colour that draw_errors fills it with
        (label,) = [text for text in both if wrong.get_label() in text]
        assert both[label] == wrong.get_color()


def test_correlations_begin_at_one_and_name_the_parts(ax) -> None:
    table = pd.DataFrame(
        np.linspace(-0.5, 0.5, 12).reshape(6, 2),
        list("abcdef"),
        ["decoder", "+ encoder"],
    )
    draw_correlations(ax, table)
    lines = [line for line in ax.lines if not line.get_label().startswith("_")]
    assert [line.get_label() for line in lines] == list("abcdef")  # none is dropped
    assert lines[0].get_ydata().tolist() == [1, *table.loc["a"]]
    ticks = [tick.get_text() for tick in ax.get_xticklabels()]
    assert ticks == ["none", "decoder", "+ encoder"]
    assert ax.get_ylabel() == "rank correlation"
    assert ax.get_xlabel() == "parts that are untrained"
    looks = {(n.get_color(), n.get_marker(), n.get_linestyle()) for n in lines[:5]}
    assert len(looks) == 5


def test_curves_are_means_over_slices_with_random_in_grey() -> None:
    each = np.stack([SHARES, np.ones_like(SHARES)])
    names = ("random", "the true tumour", "occlusion")
    figure, axes = plt.subplots(1, 2)
    draw_curves(axes, dict.fromkeys(names, each), dict.fromkeys(names, 1 - each))
    for ax, mean in zip(
        axes, (each.mean(axis=0), (1 - each).mean(axis=0)), strict=True
    ):
        assert [line.get_label() for line in ax.lines] == list(names)
        for line in ax.lines:
            np.testing.assert_allclose(line.get_ydata(), mean)
            np.testing.assert_allclose(line.get_xdata(), SHARES)
        assert len({line.get_color() for line in ax.lines}) == 3
    labels = [ax.get_xlabel() for ax in axes]
    assert labels == ["cells taken away", "cells given"]
    assert axes[0].get_ylabel() == "tumour probability in the tumour"
    plt.close(figure)
