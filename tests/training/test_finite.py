"""A number that is not finite ends the run, is named, and has changed nothing."""

import itertools
import json
import os
import signal

import pytest
import torch
from small_run import SmallNetwork, same_run, settings_for
from some import some

from mscf.checkpoint import read_checkpoint, write_checkpoint
from mscf.errors import CheckpointError, NumericalError
from mscf.training import loop, start
from mscf.training.finite import check_statistics
from mscf.training.loop import train
from mscf.training.state import RunState

NAMED = pytest.mark.claim(
    "numbers", "a number that is not finite ends the run, and is named"
)


@pytest.fixture
def last_weights(monkeypatch) -> dict:
    """The weights and moments as they are when a run ends."""
    seen = {}
    original = loop.fit

    def fit(training, state: RunState, stop) -> None:
        seen["before"] = {n: t.clone() for n, t in state.model.named_parameters()}
        try:
            original(training, state, stop)
        finally:
            seen["after"] = dict(state.model.named_parameters())
            seen["optimizer"] = state.optimizer

    monkeypatch.setattr(loop, "fit", fit)
    return seen


@NAMED
def test_a_gradient_that_is_not_finite_changes_no_weight_and_is_named(
    small, tiny_store, tmp_path, monkeypatch, last_weights
) -> None:
    class Poison(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * torch.nan

    original = loop.cross_entropy
    monkeypatch.setattr(
        loop, "cross_entropy", lambda x, y: original(Poison.apply(x), y)
    )
    with pytest.raises(
        NumericalError, match=r"gradients of epoch 0, step 0.*0\.weight"
    ):
        train(settings_for(tiny_store, tmp_path))
    for name, before in last_weights["before"].items():
        assert torch.equal(last_weights["after"][name], before)
    for moments in last_weights["optimizer"].state.values():
        assert all(torch.isfinite(t).all() for t in moments.values())
    failure = json.loads((tmp_path / "failure.json").read_text())
    assert failure["parameters"][0] == "0.weight"
    assert len(failure["slices"]) == 4
    assert failure["slices"][0].startswith("liver_")
    assert failure["learning_rate"] == 2e-4


@NAMED
def test_a_rate_that_is_far_too_high_ends_with_the_slices_and_the_rate(
    small, tiny_store, tmp_path, monkeypatch
) -> None:
    original = loop.cross_entropy
    monkeypatch.setattr(loop, "cross_entropy", lambda x, y: original(x * torch.inf, y))
    with pytest.raises(
        NumericalError, match=r"liver_\d.*below 0.0002.*\[loss-finite\]"
    ):
        train(settings_for(tiny_store, tmp_path))
    assert not (tmp_path / "last.ckpt").exists()


@NAMED
def test_running_statistics_that_are_not_finite_name_their_module(tmp_path) -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    check_statistics(model, tmp_path, 3)
    model[1].running_var[2] = torch.inf
    with pytest.raises(NumericalError, match=r"epoch 3.*1\.running_var"):
        check_statistics(model, tmp_path, 3)


@NAMED
def test_a_weight_of_a_checkpoint_that_is_not_finite_is_refused(
    small, tiny_store, tmp_path
) -> None:
    train(settings_for(tiny_store, tmp_path, epochs=1))
    tensors, header = read_checkpoint(tmp_path / "last.ckpt")
    tensors["model.0.weight"][0, 0, 0, 0] = torch.nan
    write_checkpoint(tmp_path / "last.ckpt", tensors, header)
    with pytest.raises(CheckpointError, match=r"0\.weight.*\[checkpoint-finite\]"):
        train(settings_for(tiny_store, tmp_path, epochs=2, resume=True))


@pytest.fixture
def begun(small, tiny_store, tmp_path):
    """A run of one epoch, its checkpoints as they are, and how it goes on."""

    def go_on():
        return train(settings_for(tiny_store, tmp_path / "run", epochs=2, resume=True))

    train(settings_for(tiny_store, tmp_path / "run", epochs=1))
    return tmp_path / "run", go_on


def checkpoints(out) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.glob("*.ckpt")}


@NAMED
def test_a_rate_of_a_million_ends_the_run_and_leaves_its_checkpoints(begun) -> None:
    """For real: the weights overflow. The settings would not take such a rate."""
    out, go_on = begun
    tensors, record = read_checkpoint(out / "last.ckpt")
    record["state"]["schedule"]["rate"] = 1e6
    write_checkpoint(out / "last.ckpt", tensors, record)
    before = checkpoints(out)
    with pytest.raises(
        NumericalError, match=r"liver_\d.* below 1e\+06.*\[loss-finite\]"
    ):
        go_on()
    assert checkpoints(out) == before
    failure = json.loads((out / "failure.json").read_text())
    assert (failure["epoch"], failure["learning_rate"]) == (1, 1e6)
    assert failure["step"] > 0  # the first one was still made with good weights


@NAMED
@pytest.mark.parametrize("stop", some([False, True], True))
def test_statistics_ruined_in_an_epoch_end_it_before_any_save(
    stop, begun, tiny_store, tmp_path, monkeypatch
) -> None:
    """In training nothing shows: a batch is normalised by its own statistics."""
    out, go_on = begun
    before = checkpoints(out)
    network, original, calls = SmallNetwork(), loop.cross_entropy, itertools.count()

    def ruin(outputs, targets):
        network[1].running_var.data[2] = torch.inf
        if stop and next(calls) == 1:  # a second step, in whose save it would be
            os.kill(os.getpid(), signal.SIGTERM)
        return original(outputs, targets)

    with monkeypatch.context() as patch:
        patch.setattr(start, "build", lambda *args, **options: network)
        patch.setattr(loop, "cross_entropy", ruin)
        with pytest.raises(NumericalError, match=r"of epoch 1 .*1\.running_var"):
            go_on()
    assert checkpoints(out) == before
    failure = json.loads((out / "failure.json").read_text())
    assert failure == {"epoch": 1, "statistics": ["1.running_var"]}
    assert go_on().record["status"] == "finished"
    assert not (out / "failure.json").exists()
    whole = train(settings_for(tiny_store, tmp_path / "whole", epochs=2))
    same_run(whole.folder, out)


class Blind(SmallNetwork):
    """Its outputs are good in training, and not in evaluation."""

    def forward(self, x):
        logits = super().forward(x)
        return logits if self.training else logits + torch.tensor(torch.nan)


@NAMED
def test_logits_of_the_evaluation_name_case_and_slice_and_no_table_is_written(
    small, whole, tiny_store, tmp_path, monkeypatch
) -> None:
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(start, "build", lambda *args, **options: Blind())
        with pytest.raises(
            NumericalError, match=r"case liver_\d, slice 0: .*\[logits-finite\]"
        ):
            train(settings_for(tiny_store, out))
    assert not (out / "per_slice.csv").exists()  # it would say "no tumour"
    failure = json.loads((out / "failure.json").read_text())
    assert "[logits-finite]" in failure["evaluation"]
    train(settings_for(tiny_store, out, resume=True))
    same_run(whole, out)
