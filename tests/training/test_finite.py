"""A number that is not finite ends the run, is named, and has changed nothing."""

import json

import pytest
import torch
from small_run import settings_for

from mscf.checkpoint import read_checkpoint
from mscf.errors import NumericalError
from mscf.training import loop
from mscf.training.finite import check_statistics
from mscf.training.loop import train
from mscf.training.state import RunState


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


def test_running_statistics_that_are_not_finite_name_their_module(tmp_path) -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    check_statistics(model, tmp_path, 3)
    model[1].running_var[2] = torch.inf
    with pytest.raises(NumericalError, match=r"epoch 3.*1\.running_var"):
        check_statistics(model, tmp_path, 3)


def test_a_weight_of_a_checkpoint_that_is_not_finite_is_refused(
    small, tiny_store, tmp_path
) -> None:
    from mscf.checkpoint import write_checkpoint
    from mscf.errors import CheckpointError

    train(settings_for(tiny_store, tmp_path, epochs=1))
    tensors, header = read_checkpoint(tmp_path / "last.ckpt")
    tensors["model.0.weight"][0, 0, 0, 0] = torch.nan
    write_checkpoint(tmp_path / "last.ckpt", tensors, header)
    with pytest.raises(CheckpointError, match=r"0\.weight.*\[checkpoint-finite\]"):
        train(settings_for(tiny_store, tmp_path, epochs=2, resume=True))
