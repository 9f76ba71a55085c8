"""The paper's idea (Section 2.2, Fig. 3): spatial and channel context on a skip.

Pang et al. 2020, Eq. 1-7 in the order of the paper; there is no public code. What the
paper leaves open, and what is chosen here, stands beside the line (open points 15 to
20 of the book's "Deviations"); other choices are arguments, which the ablation runs.
B batch, C channels, H rows, W columns, N = H * W positions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mscf.models.attention import (
    as_given,
    as_map,
    as_sequence,
    attend,
    exact,
    full_precision,
)
from mscf.models.choices import check_choice

REDUCTION = 8  # Q and K have the channels of X over this


class SpatialContext(nn.Module):
    """Every position gathers from all others: ``(B, C, H, W)`` to the same, Eq. 1-3.

    ``f`` in Eq. 1 is "a non-linear activation function"; taken as ReLU, the only one
    in the backbone, on Q and K, or "none" (open point 15). ``alpha`` starts at 0 (open
    point 16). ``channels`` are 8 or more, of which Q and K take an eighth.
    """

    def __init__(self, channels: int, f: str = "relu") -> None:
        super().__init__()
        check_choice("f", f, ("relu", "none"))
        if channels < REDUCTION:
            raise ValueError(
                f"channels must be at least {REDUCTION} (found: {channels})"
            )
        activation = nn.ReLU if f == "relu" else nn.Identity
        inner = channels // REDUCTION
        self.query = nn.Sequential(nn.Conv2d(channels, inner, 1), activation())
        self.key = nn.Sequential(nn.Conv2d(channels, inner, 1), activation())
        self.value = nn.Conv2d(channels, channels, 1)
        self.alpha = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        query = as_sequence(self.query(x))  # (B, N, C/8), Eq. 1
        key = as_sequence(self.key(x))  # (B, N, C/8), Eq. 1
        value = as_sequence(self.value(x))  # (B, N, C), F
        # Eq. 2: K on the rows of M, no 1/sqrt(d); the paper's K asks, its Q answers.
        context = attend(key, query, value)  # (B, N, C), M F
        return self.alpha * as_map(context, like=x) + x  # Eq. 3


def channel_affinity(features: Tensor, softmax: str = "plain") -> Tensor:
    """Eq. 4: ``(B, N, C)`` features to the ``(B, C, C)`` map whose rows sum to 1.

    ``softmax`` is "plain" as printed, "rowmax-minus" as in the code of DANet and
    CS-Net, where the least alike weighs most, or "scaled" by 1 / N (open point 17).
    """
    products = features.transpose(-2, -1) @ features
    if softmax == "rowmax-minus":
        products = products.amax(dim=-1, keepdim=True) - products
    elif softmax == "scaled":
        products = products / features.shape[-2]
    return torch.softmax(products, dim=-1)


class ChannelContext(nn.Module):
    """Every channel gathers from all others: ``(B, C, H, W)`` to the same, Eq. 4-6.

    No convolution, so ``beta`` is the only parameter; it starts at 0. The products of
    Eq. 4 are sums over N positions: float16 overflows and bfloat16 has steps of 256
    there, so the forward pass forms them in float32 or better; the backward pass too,
    but where autocast stands around a compiled network. ``softmax`` is that of
    `channel_affinity`. ``eq5``: "literal"; "rows", where channel i is the mean of the
    channels that its own row of the map names (open point 18); "identity", where X' is
    X: as many parameters and no context, to compare with.
    """

    def __init__(self, softmax: str = "plain", eq5: str = "literal") -> None:
        super().__init__()
        check_choice("softmax", softmax, ("plain", "rowmax-minus", "scaled"))
        check_choice("eq5", eq5, ("literal", "rows", "identity"))
        self.softmax, self.eq5 = softmax, eq5
        self.beta = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.eq5 == "identity":
            return self.beta * x + x
        with full_precision(x):
            features = as_sequence(exact(x))
            affinity = channel_affinity(features, self.softmax)  # (B, C, C), Eq. 4
            if self.eq5 == "rows":
                affinity = affinity.transpose(-2, -1)
            context = features @ affinity  # (B, N, C), X' = X G, Eq. 5 as printed
        out = self.beta * as_map(context, like=x) + x  # Eq. 6
        return as_given(out, x)  # last: a sum of channels may be too large for float16


class ContextBlock(nn.Module):
    """Both contexts on one skip, summed: ``(B, C, H, W)`` to the same, Eq. 7.

    Each branch carries its own X, so the sum holds it twice: at the start, with alpha
    and beta 0, the block gives 2 X as printed; ``residual="once"`` takes one away
    (open point 19). ``spatial`` or ``channel`` off leaves the other branch alone, both
    off X; ``residual="twice"`` holds X twice whatever is off. The further arguments are
    the branches' own. ``channels`` are 8 or more where ``spatial`` is on.
    """

    def __init__(
        self,
        channels: int,
        spatial: bool = True,
        channel: bool = True,
        f: str = "relu",
        softmax: str = "plain",
        eq5: str = "literal",
        residual: str = "printed",
    ) -> None:
        super().__init__()
        check_choice("residual", residual, ("printed", "once", "twice"))
        if not (isinstance(spatial, bool) and isinstance(channel, bool)):
            raise ValueError(
                "spatial and channel must be True or False "
                f"(found: {spatial!r} and {channel!r})"
            )
        self.spatial = SpatialContext(channels, f=f) if spatial else None
        self.channel = ChannelContext(softmax, eq5) if channel else None
        branches = spatial + channel  # each brings x, by Eq. 3 and by Eq. 6
        printed = max(branches, 1)
        self.times_input = {"printed": printed, "once": 1, "twice": 2}[residual]
        self.further = self.times_input - branches  # times x beside the branches' own

    def forward(self, x: Tensor) -> Tensor:
        """The map ``(B, C, H, W)`` with its contexts added, of the same shape."""
        branches = [branch for branch in (self.spatial, self.channel) if branch]
        out = sum(branch(x) for branch in branches)  # Eq. 7; 0 where both are off
        return out + self.further * x if self.further else out


def attention_rows(block: SpatialContext, x: Tensor, positions: Tensor) -> Tensor:
    """Rows of M (Eq. 2) for some positions only: ``(B, P, N)``, each sums to 1.

    ``positions`` ``(P,)`` count row by row, row * W + column. For looking at, not for
    training: the whole map of a 112 x 112 skip is 600 MiB an image.
    """
    asking = as_sequence(block.key(x))[:, positions]  # (B, P, C/8)
    answering = as_sequence(block.query(x))  # (B, N, C/8)
    return torch.softmax(asking @ answering.mT, dim=-1)
