import numpy as np
import pandas as pd
import pytest

from mscf.evaluation.chosen_slices import choose_slices

DICE = pd.DataFrame(
    {"unet": [0.5, 0.9, 0.0, 0.1, 0.6], "mscf": [0.6, 0.8, 0.1, 0.95, 0.6]},
    index=[("liver_1", z) for z in range(5)],
)


def test_best_worst_and_disputed_are_those_of_all_slices() -> None:
    chosen = choose_slices(DICE, 1)
    assert chosen.best == ("liver_1", 1)
    assert chosen.worst == ("liver_1", 2)
    assert chosen.disputed == ("liver_1", 3)


def test_random_slices_follow_the_seed_and_nothing_else() -> None:
    table = pd.DataFrame({"unet": np.linspace(0, 1, 100)})
    first = choose_slices(table, 7, seed=1).random
    assert len(set(first)) == 7
    assert first == sorted(first)
    assert choose_slices(1 - table, 7, seed=1).random == first
    assert choose_slices(table, 7, seed=2).random != first


def test_every_slice_is_named_once() -> None:
    chosen = choose_slices(DICE, 7)
    assert chosen.random == list(DICE.index)
    assert chosen.all() == list(DICE.index)


def test_of_one_method_none_is_more_disputed_than_another() -> None:
    chosen = choose_slices(DICE[["unet"]], 2)
    assert chosen.disputed == DICE.index[0]


@pytest.mark.parametrize(("table", "n"), [(DICE[:0], 7), (DICE, 0), (DICE[[]], 7)])
def test_nothing_to_choose_from_is_refused(table, n) -> None:
    with pytest.raises(ValueError, match="cannot be chosen"):
        choose_slices(table, n)
