import numpy as np
import pytest

from mscf.visualisation.attention import (
    affinity_facts,
    centre_of,
    draw_affinity,
    draw_attention,
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
