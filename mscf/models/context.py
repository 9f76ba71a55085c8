"""The paper's idea (Section 2.2, Fig. 3): spatial and channel context on a skip.

Pang et al. 2020, Eq. 1-7 in the order of the paper; there is no public code. What the
paper leaves open, and what is chosen here, stands beside the line (open points 15 to
20 of the book's "Deviations"); other choices are arguments, which the ablation runs.
B batch, C channels, H rows, W columns, N = H * W positions.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mscf.models.choices import check_choice
from mscf.models.tiled_attention import tiled_attention

RUNS = 8  # of rows, in which attention is exported to ONNX


class SpatialContext(nn.Module):
    """Every position gathers from all others: ``(B, C, H, W)`` to the same, Eq. 1-3.

    ``f`` in Eq. 1 is "a non-linear activation function"; taken as ReLU, the only one
    in the backbone, on Q and K, or "none" (open point 15). ``alpha`` starts at 0 (open
    point 16).
    """

    def __init__(self, channels: int, reduction: int = 8, f: str = "relu") -> None:
        super().__init__()
        check_choice("f", f, ("relu", "none"))
        activation = nn.ReLU if f == "relu" else nn.Identity
        self.query = nn.Sequential(
            nn.Conv2d(channels, channels // reduction, 1), activation()
        )
        self.key = nn.Sequential(
            nn.Conv2d(channels, channels // reduction, 1), activation()
        )
        self.value = nn.Conv2d(channels, channels, 1)
        self.alpha = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        query = as_sequence(self.query(x))  # (B, N, C/8), Eq. 1
        key = as_sequence(self.key(x))  # (B, N, C/8), Eq. 1
        value = as_sequence(self.value(x))  # (B, N, C), F
        # Eq. 2: K on the rows of M, no 1/sqrt(d); the paper's K asks, its Q answers.
        context = attend(key, query, value)  # (B, N, C), M F
        return self.alpha * as_map(context, like=x) + x  # Eq. 3


class ChannelContext(nn.Module):
    """Every channel gathers from all others: ``(B, C, H, W)`` to the same, Eq. 4-6.

    No convolution, so ``beta`` is the only parameter; it starts at 0. The products of
    Eq. 4 are sums over N positions: float16 overflows and bfloat16 has steps of 256
    there, so they are always formed in float32 or better. ``softmax`` is that of
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
                affinity = affinity.mT
            context = features @ affinity  # (B, N, C), X' = X G, Eq. 5 as printed
        return self.beta * as_map(context, like=x) + x  # Eq. 6


class ContextBlock(nn.Module):
    """Both contexts on one skip, summed: ``(B, C, H, W)`` to the same, Eq. 7.

    Each branch carries its own X, so the sum holds it twice: at the start, with alpha
    and beta 0, the block gives 2 X as printed; ``residual="once"`` takes one away
    (open point 19). ``spatial`` or ``channel`` off leaves the other branch alone, both
    off X; ``residual="twice"`` holds X twice whatever is off. The further arguments are
    the branches' own.
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
        self.spatial = SpatialContext(channels, f=f) if spatial else None
        self.channel = ChannelContext(softmax, eq5) if channel else None
        branches = spatial + channel  # each brings x
        # How often the sum holds x: twice as printed, by Eq. 3 and by Eq. 6.
        self.times_input = {"once": 1, "twice": 2}.get(residual, max(branches, 1))
        self.further = self.times_input - branches

    def forward(self, x: Tensor) -> Tensor:
        """The map ``(B, C, H, W)`` with its contexts added, of the same shape."""
        branches = [branch for branch in (self.spatial, self.channel) if branch]
        out = sum(branch(x) for branch in branches)  # Eq. 7
        return out + self.further * x if self.further else out


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax(query key^T) value, rows over positions, without the N x N map.

    ``query`` and ``key`` are ``(B, N, d)``, ``value`` and the result ``(B, N, C)``. On
    a CPU by our own tiles, which compute in float32 or better; else by torch's fused
    kernels. These want equal widths, so query and key are filled up with zeros, which
    changes no product; and each position's features side by side in memory, or they
    fall back to the map (free in channels-last).
    """
    if torch.onnx.is_in_onnx_export():
        return attend_in_runs(query, key, value)
    if tiles_pay(value):
        return tiled_attention(*map(exact, (query, key, value)))[0].to(value.dtype)
    width = value.shape[-1]
    query, key = (F.pad(x, (0, width - x.shape[-1])) for x in (query, key))
    heads = (x.contiguous().unsqueeze(1) for x in (query, key, value))  # (B, 1, N, C)
    return F.scaled_dot_product_attention(*heads, scale=1.0).squeeze(1)


def attend_in_runs(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The same by plain products, a run of rows after the other, for ONNX.

    ONNX has no fused attention that every runtime keeps without the map. Eight runs
    hold an eighth of it at a time, 75 MiB of a 112 x 112 skip. The borders are computed
    from N, so that one file takes every size.
    """
    n = query.shape[1]
    rows = (n + RUNS - 1) // RUNS  # ONNX divides towards 0, so no -(-n // RUNS)
    query = F.pad(query, (0, 0, 0, RUNS * rows - n))
    runs = query.unflatten(1, (RUNS, rows)).unbind(1)
    made = [torch.softmax(run @ key.mT, dim=-1) @ value for run in runs]
    return torch.stack(made, dim=1).flatten(1, 2)[:, :n]


def tiles_pay(value: Tensor) -> bool:
    """Whether our own tiles are the faster form; what is exported must do without."""
    return value.device.type == "cpu" and not torch.compiler.is_exporting()


def attention_rows(block: SpatialContext, x: Tensor, positions: Tensor) -> Tensor:
    """Rows of M (Eq. 2) for some positions only: ``(B, P, N)``, each sums to 1.

    ``positions`` ``(P,)`` count row by row, row * W + column. For looking at, not for
    training: the whole map of a 112 x 112 skip is 600 MiB an image.
    """
    asking = as_sequence(block.key(x))[:, positions]  # (B, P, C/8)
    answering = as_sequence(block.query(x))  # (B, N, C/8)
    return torch.softmax(asking @ answering.mT, dim=-1)


def channel_affinity(features: Tensor, softmax: str = "plain") -> Tensor:
    """Eq. 4: ``(B, N, C)`` features to the ``(B, C, C)`` map whose rows sum to 1.

    ``softmax`` is "plain" as printed, "rowmax-minus" as in the code of DANet and
    CS-Net, where the least alike weighs most, or "scaled" by 1 / N (open point 17).
    """
    products = features.mT @ features
    if softmax == "rowmax-minus":
        products = products.amax(dim=-1, keepdim=True) - products
    elif softmax == "scaled":
        products = products / features.shape[-2]
    return torch.softmax(products, dim=-1)


def exact(x: Tensor) -> Tensor:
    """In float32, or float64 where it is that already."""
    return x if x.dtype == torch.float64 else x.float()


def full_precision(x: Tensor) -> AbstractContextManager:
    """No autocast where ``x`` is; there is none on the meta device, which counts."""
    kind = x.device.type
    return nullcontext() if kind == "meta" else torch.autocast(kind, enabled=False)


def as_sequence(x: Tensor) -> Tensor:
    """``(B, C, H, W)`` as ``(B, N, C)``; a free view of channels-last memory."""
    return x.flatten(2).mT


def as_map(sequence: Tensor, like: Tensor) -> Tensor:
    """``(B, N, C)`` as ``(B, C, H, W)`` with the height and width of ``like``."""
    return sequence.mT.unflatten(2, like.shape[-2:])
