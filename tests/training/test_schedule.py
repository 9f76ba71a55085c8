import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mscf.training.schedule import (
    LOWEST_RATE,
    PATIENCE,
    RULES,
    STOP_AFTER,
    Schedule,
)


def run(losses, rate=2e-4, rule="paper"):
    schedule = Schedule(rate, rule)
    for loss in losses:
        schedule = schedule.after(loss)
    return schedule


def test_rate_is_halved_after_ten_epochs_without_gain() -> None:
    assert run([1.0] + [1.0] * 9).rate == 2e-4
    assert run([1.0] + [1.0] * 10).rate == 1e-4
    assert run([1.0] + [1.0] * 19).rate == 1e-4


def test_training_ends_after_twenty_epochs_without_gain() -> None:
    assert run([1.0] + [1.0] * 19).end is None
    assert run([1.0] + [1.0] * 20).end == "no gain in 20 epochs"


def test_a_gain_starts_both_counts_anew() -> None:
    losses = [1.0] + [1.0] * 19 + [0.9] + [1.0] * 9
    schedule = run(losses)
    assert (schedule.rate, schedule.end) == (1e-4, None)


def test_training_ends_below_the_lowest_rate() -> None:
    losses, value = [], 1.0
    for _ in range(9):  # nine halvings bring 2e-4 to 3.9e-7
        value -= 0.01
        losses += [value] + [1.0] * 10
    schedule = run(losses)
    assert schedule.rate < LOWEST_RATE
    assert "below" in str(schedule.end)
    assert len(losses) >= 98  # item 21 of the audit: not before epoch 98


def test_the_release_halves_every_epoch_from_the_eleventh_without_gain_on() -> None:
    rates = [run([1.0] * (1 + bad), rule="release").rate for bad in range(20)]
    assert rates[10] == 2e-4
    assert rates[11:] == [2e-4 / 2**n for n in range(1, 10)]  # to 3.9e-7 at the 19th
    ended = run([1.0] * 21, rule="release")  # methods.md 13: stop at the 20th
    assert ended.end == "learning rate below 5e-07"
    assert ended.rate == rates[19]


def test_the_release_goes_back_to_the_best_weights_at_every_cut() -> None:
    back = [run([1.0] * (1 + bad), rule="release").back_to_best for bad in range(20)]
    assert back == [False] * 11 + [True] * 9
    assert not run([1.0] * 15 + [0.5], rule="release").back_to_best
    assert not run([1.0] * 15).back_to_best  # nor does the paper ever


def test_the_release_ends_after_more_than_twenty_epochs_at_a_high_rate() -> None:
    assert run([1.0] * 21, rate=0.5, rule="release").end is None
    assert run([1.0] * 22, rate=0.5, rule="release").end == "no gain in 20 epochs"


def public_loop(losses, rate=2e-4):
    """Rate and return to the best weights after each epoch, as CE-Net's code has them.

    In words: lower than all before, and the count of epochs without gain is 0 again,
    else it grows. Above 20 all ends. Above 10 all ends if the rate is below 5e-7; if
    not, the best weights come back and the rate is halved. The count stays.
    """
    best, idle = math.inf, 0
    for loss in losses:
        idle = 0 if loss < best else idle + 1
        best = min(best, loss)
        if idle > 20 or (idle > 10 and rate < 5e-7):
            return
        if idle > 10:
            rate /= 2
        yield rate, idle > 10


def test_the_release_is_the_loop_of_ce_net_s_public_code() -> None:
    for seed in range(200):
        random = np.random.default_rng(seed)
        gains = random.random(300) < random.choice([0.02, 0.05, 0.1, 0.3])
        lowest = 0.99 ** np.cumsum(gains)
        losses = np.where(gains, lowest, lowest * random.uniform(1, 1.1, 300))
        state, ours = Schedule(2e-4, "release"), []
        for loss in losses:
            state = state.after(loss)
            if state.end:
                break
            ours.append((state.rate, state.back_to_best))
        assert ours == list(public_loop(losses)), seed


@pytest.mark.claim(
    "numbers", "an error that is not finite is never the best, nor a lack of gain"
)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_never_counts(loss, rule) -> None:
    with pytest.raises(ValueError, match="finite"):
        Schedule(2e-4, rule).after(loss)


@given(st.lists(st.floats(0, 10), max_size=120))
def test_state_agrees_with_a_plain_recount(losses) -> None:
    schedule, best, bad = Schedule(2e-4), math.inf, 0
    for loss in losses:
        before = schedule
        schedule = schedule.after(loss)
        bad = 0 if loss < best else bad + 1
        best = min(best, loss)
        assert schedule.best == best
        assert schedule.since_best == bad
        assert schedule.improved == (bad == 0)
        cut = bad > 0 and bad % PATIENCE == 0 and bad < STOP_AFTER
        assert schedule.rate == before.rate / (2 if cut else 1)
        if schedule.end:
            break
