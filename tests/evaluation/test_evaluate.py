import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from mscf.errors import InputError, NumericalError
from mscf.evaluation.evaluate import evaluate, predict, tumour_mask
from mscf.evaluation.metrics import slice_metrics
from mscf.evaluation.tables import identify


class Slices:
    """The interface of a SliceDataset over arrays in memory.

    An image is 1 where `Bright` shall see tumour and 0 elsewhere.
    """

    def __init__(self, n=7, size=32, seed=0):
        rng = np.random.default_rng(seed)
        self.drawn, self.truth = np.zeros((2, n, size, size), dtype=bool)
        for i in range(n):
            y, x = rng.integers(2, size - 12, 2)
            self.truth[i, y : y + 8, x : x + 6] = True
            self.drawn[i, y + 2 : y + 9, x : x + 7] = i % 3 != 2
        self.store = SimpleNamespace(folder=Path("store"))
        self.index = pd.DataFrame(
            {
                "case": [f"case{i // 2}" for i in range(n)],
                "patient": [f"patient{i // 4}" for i in range(n)],
                "slice": np.arange(n) + 40,
                "height": 99,
                "width": 99,  # of the volume, not of the store's grid
                "spacing_y": 0.5,
                "spacing_x": 0.8,
                "spacing_known": [i != 1 for i in range(n)],
            },
            index=np.arange(n) + 100,
        )  # fmt: skip  (labels are not positions)

    def __len__(self):
        return len(self.truth)

    def __getitem__(self, i):
        image, truth = torch.from_numpy(self.drawn[i]), torch.from_numpy(self.truth[i])
        return image[None].float(), truth[None].float()


class Bright(nn.Module):
    """Logits that follow the image, with everything an evaluation could disturb."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3, affine=False)
        self.dropout = nn.Dropout(0.5)
        self.frozen = nn.BatchNorm2d(3).eval()
        self.batches = []

    def forward(self, images):
        assert not torch.is_grad_enabled()
        self.batches.append(tuple(images.shape))
        return self.dropout(self.norm(images))[:, :1] * 4 - 2


def test_rows_are_the_metrics_of_each_slice_in_order() -> None:
    slices = Slices()
    rows = evaluate(Bright(), slices, batch_size=3)
    assert len(rows) == 7
    for i, row in enumerate(rows.to_dict("records")):
        spacing = (0.5, 0.8) if i != 1 else None
        pair = slices.drawn[i], slices.truth[i]
        for name, value in slice_metrics(*pair, spacing, surface=True).items():
            np.testing.assert_equal(row[name], value, err_msg=name)
    assert rows["slice"].tolist() == list(range(40, 47))
    assert rows["case"].tolist()[:3] == ["case0", "case0", "case1"]
    assert set(rows["height"]) == set(rows["width"]) == {32}
    assert (rows["outcome"] == "missed").tolist() == [i % 3 == 2 for i in range(7)]


def test_unknown_spacing_gives_no_millimetres() -> None:
    row = evaluate(Bright(), Slices()).iloc[1]
    assert row.filter(regex="_mm$|^spacing").isna().all()
    assert row["hd"] > 0


def test_rows_can_be_signed_and_written() -> None:
    rows = identify(evaluate(Bright(), Slices()), "excerpt", "slice", 2, "mscf", 3)
    assert rows[["data", "split", "fold", "method", "seed"]].iloc[0].tolist() == [
        "excerpt", "slice", 2, "mscf", 3,
    ]  # fmt: skip


@pytest.mark.parametrize("batch_size", [1, 3, 7, 50])
def test_every_slice_is_predicted_once_whatever_the_batch(batch_size) -> None:
    slices, model = Slices(), Bright()
    seen = np.zeros((7, 32, 32), dtype=bool)
    positions = []
    for batch, masks in predict(model, slices, batch_size):
        positions += batch
        seen[list(batch)] = masks
    assert positions == list(range(7))
    assert np.array_equal(seen, slices.drawn)
    assert sum(shape[0] for shape in model.batches) == 7
    assert {shape[1:] for shape in model.batches} == {(3, 32, 32)}


def test_the_model_is_left_as_it_was_and_no_random_number_is_drawn() -> None:
    model = Bright().train()
    model.frozen.eval()
    before = {n: t.clone() for n, t in model.state_dict().items()}
    random = torch.get_rng_state()
    evaluate(model, Slices())
    assert model.training
    assert model.dropout.training
    assert not model.frozen.training
    assert torch.equal(torch.get_rng_state(), random)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_modes_come_back_when_the_reader_stops_early() -> None:
    model = Bright().train()
    batches = predict(model, Slices(), 2)
    next(batches)
    assert not model.training
    batches.close()
    assert model.training


class Failing(nn.Module):
    """One logit of one slice is not a number."""

    def __init__(self, value):
        super().__init__()
        self.value, self.seen = value, 0

    def forward(self, images):
        logits = images[:, :1].clone()
        if self.seen <= 4 < self.seen + len(images):
            logits[4 - self.seen, 0, 3, 3] = self.value
        self.seen += len(images)
        return logits


@pytest.mark.claim("numbers", "a number that is not finite ends the run, and is named")
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_logit_that_is_not_finite_names_case_and_slice(value) -> None:
    model = Failing(value).train()
    with pytest.raises(NumericalError, match=r"case case2, slice 44.*logits-finite"):
        evaluate(model, Slices(), batch_size=3)
    assert model.training


def test_no_slices_to_evaluate_is_an_error_and_not_an_empty_table() -> None:
    with pytest.raises(InputError, match="no-tumour"):
        evaluate(Bright(), Slices(n=0))


def test_a_tie_is_background_with_one_logit_and_with_two() -> None:
    logits = torch.tensor([-1.0, 0.0, 1.0]).reshape(1, 1, 1, 3)
    assert tumour_mask(logits).flatten().tolist() == [False, False, True]
    two = torch.cat([torch.full_like(logits, 0.5), logits + 0.5], dim=1)
    assert tumour_mask(two).flatten().tolist() == [False, False, True]


def test_half_precision_of_the_caller_s_context_is_understood() -> None:
    class Convolution(nn.Conv2d):
        def forward(self, images):
            logits = super().forward(images)
            assert logits.dtype == torch.bfloat16
            return logits

    model = Convolution(3, 1, 1)
    nn.init.constant_(model.weight, 1.0)
    nn.init.constant_(model.bias, -1.5)
    slices = Slices()
    with torch.autocast("cpu", torch.bfloat16):
        rows = evaluate(model, slices)
    assert rows["predicted_px"].tolist() == slices.drawn.sum(axis=(1, 2)).tolist()
