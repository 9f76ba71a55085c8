import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from mscf.visualisation.attention import (
    affinity_facts,
    centre_of,
    draw_affinity,
    draw_against_chance,
    draw_attention,
    draw_context,
    position_of,
    row_entropy,
)


def test_attention_is_drawn_in_multiples_of_the_even_share(ax) -> None:
    row = np.array([0.7, 0.1, 0.1, 0.1, 0, 0])
    picture = draw_attention(ax, np.zeros((20, 30)), row, 4, shape=(2, 3))
    times = picture.get_array()
    assert times.shape == (2, 3)
    assert times[0, 0] == pytest.approx(4.2)
    assert times.count() == 1  # the others get less than the even share
    assert picture.get_extent() == [-0.5, 29.5, 19.5, -0.5]  # over the whole slice
    assert ax.lines[0].get_xydata().tolist() == [[14.5, 14.5]]  # row 1, column 1


def test_a_row_without_choice_is_drawn_too(ax) -> None:
    picture = draw_attention(ax, np.zeros((8, 8)), np.full(4, 0.25), 0, shape=(2, 2))
    ax.figure.canvas.draw()
    assert picture.get_array().count() == 4


@pytest.mark.parametrize("position", [0, 3, 11])
def test_a_positions_centre_lies_in_that_position(position) -> None:
    x, y = centre_of(position, (3, 4), (30, 80))
    assert position_of((int(y), int(x)), (3, 4), (30, 80)) == position


def test_entropy_is_zero_for_one_choice_and_log_n_for_none() -> None:
    weights = np.array([[1, 0, 0, 0], [0.25] * 4])
    np.testing.assert_allclose(row_entropy(weights), [0, np.log(4)], atol=1e-12)


def test_affinity_is_drawn_from_nothing_to_all(ax) -> None:
    picture = draw_affinity(ax, np.eye(5) / 2)
    assert picture.get_clim() == (0, 1)
    assert ax.get_xticks().tolist() == [0, 4]


def test_facts_of_a_map_in_which_all_choose_one() -> None:
    affinity = np.zeros((3, 3))
    affinity[:, 1] = 1
    facts = affinity_facts(affinity)
    assert facts["rows that choose themselves"] == 1
    assert facts["channels chosen by any row"] == 1
    assert facts["largest column sum"] == 3
    assert facts["mean row entropy (nats)"] == 0


def test_a_channel_that_is_0_chooses_none() -> None:
    affinity = np.array([[1 / 3, 1 / 3, 1 / 3], [0, 0, 1], [0, 0, 1.0]])
    facts = affinity_facts(affinity)
    assert facts["rows that choose themselves"] == 1
    assert facts["channels chosen by any row"] == 1


def test_patients_means_and_intervals_stand_beside_what_chance_gives(ax) -> None:
    slices = pd.DataFrame({
        "channels": [64, 64, 64, 128], "patient": ["A", "A", "B", "A"],
        "above_liver_asked": [0.8, 0.6, 0.9, 0.1],
        "above_liver_asking": [0.5, 0.5, 0.4, 0.3],
    })  # fmt: skip
    summary = pd.DataFrame([
        {"channels": c} | {
            f"{kind}{end}": value
            for kind in ("above_liver_asked", "above_liver_asking")
            for end, value in (("", m), ("_low", m - 0.1), ("_high", m + 0.1))
        }
        for c, m in ((64, 0.75), (128, 0.2))
    ])  # fmt: skip
    draw_against_chance(ax, slices, summary)
    chance, points, spread, mean, *_ = ax.lines
    assert chance.get_xdata() == [50, 50]
    np.testing.assert_allclose(points.get_xdata(), [70, 90])  # a point a patient
    np.testing.assert_allclose(spread.get_xdata(), [65, 85])
    np.testing.assert_allclose(mean.get_xdata(), [75])
    names = [text.get_text() for text in ax.get_yticklabels()]
    assert names == ["64 channels", "128 channels"]
    assert len(ax.get_legend_handles_labels()[1]) == 2


def test_entropy_is_drawn_as_a_share_of_no_choice_at_its_own_scale() -> None:
    _, axes = plt.subplots(1, 3)
    watched = pd.DataFrame({"epoch": [0], "alpha_64": [0.3]})
    for channels in (64, 128, 256):
        watched[f"entropy_{channels}"] = np.log(channels) / 2
    draw_context(axes, watched)
    (alpha,) = axes[0].lines
    assert alpha.get_xydata().tolist() == [[1, 0.3]]
    assert [line.get_ydata() for line in axes[2].lines] == [pytest.approx([0.5])] * 3
