"""A small network with context blocks, for tests that look at it; its plain map."""

import torch
from torch import nn

from mscf.models.context import ContextBlock


class Small(nn.Module):
    """Blocks at strides 4 and 8, one of a skip without; no normalisation."""

    def __init__(self, **options: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 4, stride=4)
        self.second = nn.Conv2d(16, 32, 2, stride=2)
        self.drop = nn.Dropout(0.9)  # in training mode nothing would be equal
        self.contexts = nn.ModuleList(
            [ContextBlock(16, **options), nn.Identity(), ContextBlock(32, **options)]
        )

    def forward(self, x):
        x = self.contexts[0](self.drop(self.first(x)))
        return self.contexts[2](self.second(self.contexts[1](x)))


def entering(network, image):
    """What enters the two blocks, without a hook."""
    with torch.no_grad():
        first = network.first(image[None].expand(-1, 3, -1, -1))
        return [first, network.second(network.contexts[0](first))]


def plain_map(block, x):
    """All of Eq. 2, (N, N)."""
    with torch.no_grad():
        asking, answering = (
            f(x)[0].flatten(1) for f in (block.spatial.key, block.spatial.query)
        )
        products = torch.exp(torch.einsum("ci,cj->ij", asking, answering))
    return (products / products.sum(dim=1, keepdim=True)).numpy()
