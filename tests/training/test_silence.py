"""A network that draws no tumour is told so once, by a run that goes on."""

import json

import pytest
import torch
from small_run import settings_for
from torch import nn

from mscf.training import loop, silence
from mscf.training.loop import train
from mscf.training.silence import advice, drawn_pixels


class Constant(nn.Module):
    """Answers one logit everywhere, and hardly learns."""

    def __init__(self, logit: float) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.tensor(logit))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logit + 0 * x[:, :1]

    def heads(self) -> list[nn.Module]:
        return []


@pytest.fixture
def trained(tiny_store, tmp_path, monkeypatch):
    """Trains a network that answers this logit; ``log.txt`` and ``run.json``."""
    monkeypatch.setattr(silence, "PATIENCE", 3)

    def run(logit: float, **changes):
        monkeypatch.setattr(loop, "starting_network", lambda *_: Constant(logit))
        train(settings_for(tiny_store, tmp_path / "run", batch_size=2, **changes))
        log = (tmp_path / "run/log.txt").read_text().splitlines()
        record = json.loads((tmp_path / "run/run.json").read_text())
        return [
            line for line in log if line.startswith("warning: mscf: should")
        ], record

    return run


def test_a_run_that_stays_empty_says_it_once_and_records_it(
    trained, tiny_store
) -> None:
    lines, record = trained(-9.0, epochs=3)
    (line,) = lines
    assert "in its last 3 steps (found: not a pixel; tumour is " in line
    assert "% of the training pixels); begin anew with --log-odds-bias" in line
    assert line.endswith("[nothing-drawn]")
    assert record["nothing_drawn"]["tumour_share"] < 0.2
    assert record["status"] == "finished"
    again, _ = trained(-9.0, epochs=6, resume=True)
    assert again == lines


def test_a_run_that_draws_is_left_alone(trained) -> None:
    lines, record = trained(9.0, epochs=3)
    assert lines == []
    assert "nothing_drawn" not in record


def test_pixels_above_an_even_chance_are_counted_of_danet_in_its_first_map() -> None:
    logits = torch.tensor([-1.0, 0.0, 0.5, 2.0]).reshape(1, 1, 2, 2)
    assert drawn_pixels(logits) == 2
    assert drawn_pixels((-logits, logits, logits)) == 1


def test_what_was_done_already_is_not_advised() -> None:
    assert "--log-odds-bias" in advice(log_odds_bias=False)
    assert "--log-odds-bias" not in advice(log_odds_bias=True)
