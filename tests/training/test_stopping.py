"""A signal stops a run with its state saved; it goes on to the same bytes."""

import os
import shutil
import signal
from itertools import product

import pytest
import torch
from small_run import same_run, settings_for
from some import some

from mscf.checkpoint import read_checkpoint
from mscf.errors import CheckpointError, Stopped
from mscf.training import finite, loop, schedule, snapshot, state
from mscf.training.loop import train
from mscf.training.stopping import SIGNALS, stop_requests

ONE_REQUEST = pytest.mark.claim(
    "stopping", "a request that is heard twice is one request"
)


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


@pytest.mark.claim(
    "stopping",
    "a signal stops a run with its state saved; it goes on to the same bytes",
)
@pytest.mark.parametrize("number", some(SIGNALS, signal.SIGINT, signal.SIGTERM))
def test_a_signal_within_an_epoch_saves_and_the_run_ends_with_the_same_bytes(
    number,
    small,
    whole,
    tiny_store,
    tmp_path,
    signal_after,
) -> None:
    signal_after(4, number)  # an epoch has 4 or 3 steps here
    name = signal.Signals(number).name
    before = signal.getsignal(number)
    with pytest.raises(Stopped, match=rf"found: {name} in epoch \d, step \d\)"):
        train(settings_for(tiny_store, tmp_path / "cut", epochs=3))
    assert signal.getsignal(number) is before
    _, header = read_checkpoint(tmp_path / "cut/last.ckpt")
    assert header["state"]["position"]["step"] > 0
    resumed = train(settings_for(tiny_store, tmp_path / "cut", epochs=3, resume=True))
    same_run(whole, resumed.folder)
    assert resumed.record["resumed"][0]["step"] > 0


@pytest.mark.claim(
    "stopping", "an interruption that a library turns into an error is one line"
)
@pytest.mark.parametrize("number", SIGNALS)
def test_a_library_may_make_any_error_of_the_interruption(number, tmp_path) -> None:
    """As Python does in a class that an import makes, and inductor around it."""

    def block() -> None:
        with stop_requests(tmp_path):
            try:
                signal.raise_signal(number)
            except KeyboardInterrupt as error:
                raise RuntimeError("Error calling __set_name__") from error

    with pytest.raises(Stopped, match=f"found: {signal.Signals(number).name}"):
        block()


def test_an_error_while_a_step_is_made_stays_what_it_is(tmp_path) -> None:
    def block() -> None:
        with stop_requests(tmp_path) as stop:
            stop.at_once = False
            signal.raise_signal(signal.SIGTERM)  # heard, obeyed at the step's end
            raise RuntimeError("of its own")

    with pytest.raises(RuntimeError, match="of its own"):
        block()


@pytest.fixture
def losses(monkeypatch):
    """What the schedule is told, an epoch each; rates are halved after two bad ones."""
    told = [1.0, 0.8, 0.9, 0.9, 0.9, 0.9, 0.9, 0.7, 0.9]
    monkeypatch.setattr(schedule, "PATIENCE", 2)
    monkeypatch.setattr(snapshot.Position, "loss", property(lambda p: told[p.epoch]))
    return told


@pytest.mark.claim("resume", "a stopped run ends with the same bytes when it goes on")
@pytest.mark.parametrize(
    ("step", "rule"),  # 17: no step is left of the epoch
    some(product([15, 16, 17], ["paper", "release"]), (17, "release")),
)
def test_schedule_and_best_weights_are_remembered_where_they_matter(
    step, rule, small, losses, tiny_store, tmp_path, signal_after
) -> None:
    """Stopped between two cuts of the rate, with the best epoch behind and ahead."""
    chosen = {"epochs": len(losses), "schedule": rule}
    whole = train(settings_for(tiny_store, tmp_path / "whole", **chosen))
    rates = whole.history["learning_rate"]
    assert rates.nunique() >= 3
    signal_after(step)
    with pytest.raises(Stopped):
        train(settings_for(tiny_store, tmp_path / "cut", **chosen))
    _, header = read_checkpoint(tmp_path / "cut/last.ckpt")
    position = header["state"]["position"]
    assert position["epoch"] == 5
    assert header["state"]["best"]["epoch"] == 1
    assert rates[0] > rates[position["epoch"]] > rates.iloc[-1]
    resumed = train(settings_for(tiny_store, tmp_path / "cut", resume=True, **chosen))
    same_run(whole.folder, resumed.folder)


@pytest.mark.claim(
    "checkpoints", "a state of another run is refused, with what differs; files stay"
)
def test_the_best_weights_of_another_run_are_refused_after_a_resume_too(
    small, losses, tiny_store, tmp_path, signal_after
) -> None:
    other = train(settings_for(tiny_store, tmp_path / "other", epochs=1, seed=1))
    signal_after(9)  # in epoch 3; the best is epoch 1
    with pytest.raises(Stopped):
        train(settings_for(tiny_store, tmp_path / "run", epochs=5))
    train(settings_for(tiny_store, tmp_path / "run", epochs=5, resume=True))
    shutil.copy(other.folder / "best.ckpt", tmp_path / "run/best.ckpt")
    with pytest.raises(CheckpointError, match=r"epoch 1, as last.*\[checkpoint-best\]"):
        train(settings_for(tiny_store, tmp_path / "run", epochs=6, resume=True))


@pytest.fixture
def torn(small, losses, tiny_store, tmp_path, monkeypatch):
    """A run killed in epoch 2 between its two checkpoints: the best, then the last.

    What goes on with it draws other random numbers, as if bits were not repeated.
    """
    write_last, seed = state.RunState._write_last, loop.seed_everything

    def killed(run_state) -> None:
        if run_state.position.epoch == 3:
            raise KeyboardInterrupt
        write_last(run_state)

    losses[2] = 0.7
    with monkeypatch.context() as patch:
        patch.setattr(state.RunState, "_write_last", killed)
        with pytest.raises(Stopped):
            train(settings_for(tiny_store, tmp_path / "run"))

    def seed_otherwise(first: int, *place: int) -> None:
        seed(first + 1, *place)

    monkeypatch.setattr(loop, "seed_everything", seed_otherwise)
    return tmp_path / "run"


def test_best_weights_that_a_killed_attempt_replaced_are_those_of_its_repeat(
    torn, losses, tiny_store
) -> None:
    killed, header = read_checkpoint(torn / "best.ckpt")
    assert header["epoch"] == 2
    losses[2] = 0.9  # no gain on the 0.8 of epoch 1, whose weights are gone
    run = train(settings_for(tiny_store, torn, resume=True))
    best, header = read_checkpoint(torn / "best.ckpt")
    last, record = read_checkpoint(torn / "last.ckpt")
    assert header["epoch"] == run.record["best_epoch"] == 2
    assert record["state"]["best"] == {"epoch": 2, "digest": header["digest"]}
    assert record["state"]["schedule"]["best"] == 0.9
    assert all(torch.equal(last[f"model.{name}"], t) for name, t in best.items())
    assert not all(torch.equal(killed[name], t) for name, t in best.items())
    losses[3] = 0.85  # the lowest of those whose weights there are
    run = train(settings_for(tiny_store, torn, epochs=4, resume=True))
    assert run.record["best_epoch"] == 3


def test_the_weights_of_a_killed_attempt_are_not_evaluated(torn, tiny_store) -> None:
    """With no epoch left to be made again."""
    with pytest.raises(CheckpointError, match=r"epoch 1, as last.*\[checkpoint-best\]"):
        train(settings_for(tiny_store, torn, epochs=2, resume=True))
    assert not (torn / "per_slice.csv").exists()


def test_by_the_release_a_cut_goes_back_to_the_best_weights(
    small, losses, tiny_store, tmp_path
) -> None:
    train(settings_for(tiny_store, tmp_path, epochs=5, schedule="release"))
    best, header = read_checkpoint(tmp_path / "best.ckpt")
    last, _ = read_checkpoint(tmp_path / "last.ckpt")
    assert header["epoch"] == 1  # and epochs 2 to 4 were worse
    assert all(torch.equal(last[f"model.{name}"], t) for name, t in best.items())


def test_the_loss_of_an_epoch_is_the_mean_over_its_slices(
    small, tiny_store, tmp_path, monkeypatch
) -> None:
    seen = []
    original = loop.cross_entropy

    def cross_entropy(outputs, targets):
        loss = original(outputs, targets)
        seen.append((loss.item(), len(targets)))
        return loss

    monkeypatch.setattr(loop, "cross_entropy", cross_entropy)
    settings = settings_for(tiny_store, tmp_path, epochs=1, batch_size=5, accumulate=2)
    run = train(settings)
    n_slices = sum(n for _, n in seen)
    assert len({n for _, n in seen}) > 1  # parts of unequal size
    expected = sum(loss * n for loss, n in seen) / n_slices
    assert run.history["loss"].iloc[0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.claim("stopping", "before its first step is done a run ends at once")
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


@pytest.mark.claim("stopping", "in long epochs the state is saved every ten minutes")
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


def test_a_save_whose_totals_come_late_is_made_once(
    small, tiny_store, tmp_path, monkeypatch
) -> None:
    """As on a GPU, where a step's totals are read when the next one has been sent."""
    read, save, saved = finite.Watch._read, state.RunState.save_step, []

    def saved_once(run_state) -> None:
        saved.append(run_state.position.step)
        save(run_state)
        state.SAVE_EVERY = float("inf")

    monkeypatch.setattr(state, "SAVE_EVERY", 0.0)
    monkeypatch.setattr(state.RunState, "save_step", saved_once)
    monkeypatch.setattr(
        finite.Watch, "_read", lambda w, all_but: read(w, 0 if w.resting else 1)
    )
    monkeypatch.setattr(finite.Watch, "resting", False, raising=False)
    rest = finite.Watch.rest

    def at_rest(watch) -> None:
        watch.resting = True
        rest(watch)
        watch.resting = False

    monkeypatch.setattr(finite.Watch, "rest", at_rest)
    train(settings_for(tiny_store, tmp_path, epochs=1))
    assert saved == [2]


@ONE_REQUEST
def test_a_second_signal_of_one_request_does_not_end_the_saving() -> None:
    reached = []

    def ask_three_times() -> None:
        with stop_requests("run") as stop:
            stop.at_once = False
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)  # torchrun and Slurm both pass it on
            reached.append(stop.asked)
            stop._when -= 2  # seconds later it is a second request
            os.kill(os.getpid(), signal.SIGTERM)
            reached.append("the third signal must end it")

    with pytest.raises(Stopped):
        ask_three_times()
    assert reached == [True]


@ONE_REQUEST
def test_while_the_others_are_ended_the_same_request_is_not_heard_again() -> None:
    reached = []

    def ask_twice() -> None:
        with stop_requests("run"):
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)
                reached.append("the end")

    with pytest.raises(Stopped):
        ask_twice()
    assert reached == ["the end"]
