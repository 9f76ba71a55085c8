import numpy as np
import pytest
import torch
from torch import nn

from mscf.data.dataset import SliceDataset
from mscf.data.store import open_store
from mscf.evaluation.separation import mostly, separation, separation_rows
from mscf.models.context import ContextBlock

LABELS = np.zeros((8, 8), np.uint8)
LABELS[:4], LABELS[:4, :4] = 1, 2  # of 4 x 4 positions: 4 tumour, 4 liver


@pytest.mark.parametrize("factor", [1, -1, 7])
def test_values_that_do_not_overlap_are_wholly_apart(factor) -> None:
    values = torch.zeros(4, 4)
    values[:2, :2] = torch.tensor([[1.0, 2], [3, 4]])
    assert separation(factor * values, LABELS) == 1


def test_equal_values_are_not_apart_and_half_an_overlap_is_half() -> None:
    assert separation(torch.ones(4, 4), LABELS) == 0
    values = torch.zeros(4, 4)
    values[0, :2] = 1  # half of the tumour above all liver, the other half equal to it
    assert separation(values, LABELS) == 0.5


def test_a_scale_without_tumour_or_without_liver_has_none() -> None:
    one = LABELS.copy()
    one[LABELS == 2] = 1
    one[0, 0] = 2  # a quarter of its position
    assert np.isnan(separation(torch.rand(4, 4), one))
    assert np.isnan(separation(torch.rand(4, 4), 2 * (LABELS == 2).astype(np.uint8)))


def test_half_of_the_pixels_make_a_position() -> None:
    pixels = np.zeros((4, 4), bool)
    pixels[0, 0] = pixels[1, 1] = pixels[0, 2] = True
    assert mostly(pixels, torch.Size((2, 2))).tolist() == [[True, False], [False] * 2]


class Brightening(ContextBlock):
    """Adds what it is told to, in place of context."""

    def forward(self, x):
        return 2 * x + self.more


class Network(nn.Module):
    def __init__(self, more) -> None:
        super().__init__()
        self.contexts = nn.ModuleList([Brightening(8)])
        self.contexts[0].more = more

    def forward(self, images):
        x = nn.functional.avg_pool2d(images, 4).mean(1, keepdim=True)
        return self.contexts[0](x.expand(-1, 8, -1, -1))


def test_every_slice_has_a_row_before_and_after_the_block(tiny_store) -> None:
    store = open_store(tiny_store)
    slices = SliceDataset(store, [0, 4, 7])
    same = separation_rows(Network(0.0), slices, batch_size=2)
    assert list(same.columns) == ["case", "patient", "slice", "before_8", "after_8"]
    assert same["slice"].tolist() == store.index["slice"].iloc[[0, 4, 7]].tolist()
    np.testing.assert_allclose(same["after_8"], same["before_8"])
    assert same["before_8"].between(0.9, 1).all()  # 50 HU darker, noise of 15 / 4
    other = separation_rows(Network(100 * torch.rand(48, 48)), slices)
    assert (other["after_8"] < 0.5).all()
    np.testing.assert_allclose(other["before_8"], same["before_8"])
