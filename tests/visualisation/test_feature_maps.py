import matplotlib.pyplot as plt
import numpy as np
import torch
from filled import filled
from small_contexts import Small
from torch import nn

from mscf.visualisation.feature_maps import (
    draw_feature_maps,
    draw_maps,
    draw_pairs,
    least_alike,
    skip_features,
    strongest,
)


class Doubling(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.contexts = nn.ModuleList([Doubling(), Doubling()])
        self.drop = nn.Dropout(0.9)  # nothing is left of x in training mode

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.contexts[1](self.contexts[0](self.drop(x))[:, :1])


def test_features_are_what_enters_and_leaves_each_block() -> None:
    images = torch.rand(2, 3, 4, 5)
    network = Network().train()
    (first, second) = skip_features(network, images)
    np.testing.assert_array_equal(first[0], images[0].numpy())
    np.testing.assert_array_equal(first[1], 2 * images[0].numpy())
    assert second[0].shape == (1, 4, 5)
    assert network.training
    assert not network.contexts[0]._forward_hooks


def test_features_of_a_batch_are_those_of_its_items() -> None:
    """Through attention and its tiles, not through doubling alone."""
    network, images = filled(Small()), torch.rand(3, 3, 24, 40)
    for i in range(3):
        batch = skip_features(network, images.roll(-i, 0))
        for of_batch, of_item in zip(
            batch, skip_features(network, images[i : i + 1]), strict=True
        ):
            for one, other in zip(of_batch, of_item, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_a_network_without_blocks_has_no_features() -> None:
    assert skip_features(nn.Identity(), torch.rand(1, 3, 4, 4)) == []


def test_the_strongest_channels_come_first() -> None:
    features = np.stack([np.full((2, 2), mean) for mean in (1.0, 3.0, 0.0, 2.0)])
    assert strongest(features, 2).tolist() == [1, 3]


def test_maps_of_the_same_channels_stand_below_each_other() -> None:
    before = np.arange(3.0)[:, None, None] * np.ones((3, 2, 2))
    figure, axes = plt.subplots(2, 2)
    draw_feature_maps(axes, before, 2 * before)
    titles = [[ax.get_title() for ax in row] for row in axes]
    plt.close(figure)
    assert titles == [["2: 2", "1: 1"], ["2: 4", "1: 2"]]


def test_changed_is_what_no_factor_explains() -> None:
    random = np.random.default_rng(0)
    before = random.random((4, 5, 5)).astype(np.float32)
    after = 2 * before + 1
    after[2] += random.random((5, 5))
    after[0] = -before[0]
    assert least_alike(before, after).tolist()[:2] == [0, 2]


def test_a_map_that_says_nothing_is_not_changed() -> None:
    before = np.random.default_rng(0).random((3, 5, 5)).astype(np.float32)
    before[1] = 0
    after = before + np.eye(5, dtype=np.float32)
    assert least_alike(before, after).tolist()[-1] == 1


TUMOUR = np.zeros((8, 8), bool)
TUMOUR[2:4, 2:4] = True


def test_a_pair_is_in_one_range_after_the_input_was_counted_once() -> None:
    before = np.arange(8.0).reshape(2, 2, 2)
    after = 2 * before
    after[1, 0, 0] = 20
    figure, axes = plt.subplots(2, 2)
    draw_pairs(axes, before, after, TUMOUR, [("a", "b"), ("c", "d")], times_input=2)
    ranges = [[ax.images[0].norm.vmin, ax.images[0].norm.vmax] for ax in axes.T.flat]
    shown = axes[1, 1].images[0].get_array()
    titles = [ax.get_title() for ax in axes.T.flat]
    plt.close(figure)
    assert ranges == [[0, 3], [0, 3], [4, 10], [4, 10]]
    assert shown.tolist() == [[10, 5], [6, 7]]
    assert titles == ["a", "b", "c", "d"]
    assert all(ax.collections for ax in axes.flat)  # the tumour's border


def test_kept_maps_are_drawn_in_pairs_of_rows_with_their_numbers() -> None:
    maps = np.arange(6.0)[:, None, None] * np.ones((1, 6, 2, 2))
    kept = {
        "truth": TUMOUR[None], "channel1": np.array([[9, 8, 7, 6, 5, 4]]),
        "before1": maps, "after1": maps, "times1": np.array(2),
        "apart_before1": np.linspace(0, 0.5, 6)[None],
        "apart_after1": np.array([[0.5, 0.6, 0.7, np.nan, 0.9, 1.0]]),
    }  # fmt: skip
    figure, axes = plt.subplots(4, 3)
    draw_maps(axes, kept, scale=1, example=0)
    titles = [ax.get_title() for ax in axes.flat]
    plt.close(figure)
    assert titles[:6] == [
        "channel 9, before: 0.00\nup to 0", "channel 8, before: 0.10\nup to 1",
        "channel 7, before: 0.20\nup to 2",
        "after: 0.50\nup to 0", "after: 0.60\nup to 0.5", "after: 0.70\nup to 1",
    ]  # fmt: skip
    assert titles[6] == "channel 6, before: 0.30\nup to 3"
    assert titles[9] == "after\nup to 1.5"  # no position is the tumour's
    assert titles[11] == "after: 1.00\nup to 2.5"
