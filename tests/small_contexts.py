"""A small network with context blocks, for tests that look at it."""

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
