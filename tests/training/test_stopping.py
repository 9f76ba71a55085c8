"""A signal stops a run with its state saved; it goes on to the same bytes."""

import os
import signal

import pytest
import torch
from small_run import settings_for

from mscf.checkpoint import read_checkpoint
from mscf.errors import Stopped
from mscf.training import loop, state
from mscf.training.loop import train
from mscf.training.stopping import SIGNALS, stop_requests


@pytest.fixture
def signal_after(monkeypatch):
    """Sends this process a signal in the forward pass of a step, counted over all."""

    def arm(step: int, number: int = signal.SIGTERM) -> None:
        seen = iter(range(10_000))
        original = loop.cross_entropy

        def cross_entropy(outputs, targets):
            if next(seen) == step:
                os.kill(os.getpid(), number)
            return original(outputs, targets)

        monkeypatch.setattr(loop, "cross_entropy", cross_entropy)

    return arm


def same_run(one, other) -> None:
    for name in ("history.csv", "context.csv", "per_slice.csv"):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    for name in ("last.ckpt", "best.ckpt"):
        expected, _ = read_checkpoint(one / name)
        got, _ = read_checkpoint(other / name)
        assert got.keys() == expected.keys()
        assert all(torch.equal(got[n], t) for n, t in expected.items())


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_within_an_epoch_saves_and_the_run_ends_with_the_same_bytes(
    number,
    small,
    tiny_store,
    tmp_path,
    signal_after,
) -> None:
    whole = train(settings_for(tiny_store, tmp_path / "whole", epochs=3))
    signal_after(4, number)  # an epoch has 4 or 3 steps here
    name = signal.Signals(number).name
    before = signal.getsignal(number)
    with pytest.raises(Stopped, match=rf"found: {name} in epoch \d, step \d\)"):
        train(settings_for(tiny_store, tmp_path / "cut", epochs=3))
    assert signal.getsignal(number) is before
    _, header = read_checkpoint(tmp_path / "cut/last.ckpt")
    assert header["state"]["position"]["step"] > 0
    resumed = train(settings_for(tiny_store, tmp_path / "cut", epochs=3, resume=True))
    same_run(whole.folder, resumed.folder)
    assert resumed.record["resumed"][0]["step"] > 0


def test_before_the_first_step_is_done_a_signal_ends_at_once(
    small,
    tiny_store,
    tmp_path,
    signal_after,
) -> None:
    signal_after(0)
    with pytest.raises(Stopped, match="SIGTERM"):
        train(settings_for(tiny_store, tmp_path))
    assert not (tmp_path / "last.ckpt").exists()
    train(settings_for(tiny_store, tmp_path, epochs=1))  # and starts anew


def test_the_state_is_saved_in_long_epochs_too(
    small,
    tiny_store,
    tmp_path,
    monkeypatch,
) -> None:
    monkeypatch.setattr(state, "SAVE_EVERY", 0.0)
    saved = []
    save = state.RunState.save_step
    monkeypatch.setattr(
        state.RunState, "save_step", lambda s: (saved.append(s.position.step), save(s))
    )
    train(settings_for(tiny_store, tmp_path, epochs=1))
    assert saved == list(range(1, len(saved) + 1))
    assert len(saved) >= 3


def test_a_second_signal_of_one_request_does_not_end_the_saving() -> None:
    def ask_three_times() -> None:
        with stop_requests("run") as stop:
            stop.at_once = False
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)  # torchrun and Slurm both pass it on
            assert stop.asked
            stop._when -= 2  # seconds later it is a second request
            os.kill(os.getpid(), signal.SIGTERM)
            pytest.fail("the third signal must end it")

    with pytest.raises(Stopped):
        ask_three_times()
