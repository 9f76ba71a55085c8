import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mscf.training.schedule import CUT_AFTER, LOWEST_RATE, STOP_AFTER, Schedule


def run(losses, rate=2e-4):
    schedule = Schedule(rate)
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


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_never_counts(loss) -> None:
    with pytest.raises(ValueError, match="finite"):
        Schedule(2e-4).after(loss)


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
        cut = bad > 0 and bad % CUT_AFTER == 0 and bad < STOP_AFTER
        assert schedule.rate == before.rate / (2 if cut else 1)
        if schedule.end:
            break
