import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

from mscf.visualisation.feature_maps import (
    draw_feature_maps,
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
