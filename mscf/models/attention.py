"""What networks with attention share: its layouts, and no N x N map over positions.

B batch, C channels, H rows, W columns, N = H * W positions.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad

from mscf.models.tiled_attention import tiled_attention

RUNS = 8  # of rows, in which plain products are formed


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax(query key^T) value, rows over positions, without the N x N map.

    ``query`` and ``key`` are ``(B, N, d)``, ``value`` and the result ``(B, N, C)``. On
    a CPU by our own tiles, which compute in float32 or better; else by torch's fused
    kernels. These want equal widths, so the narrower are filled up with zeros, which
    changes no product; and each position's features side by side in memory, or they
    fall back to the map (free in channels-last).

    Raises:
        ValueError: they do not belong together (on another device torch's own error).
        TypeError: they are no floating-point numbers.
    """
    if not all(x.is_floating_point() for x in (query, key, value)):
        raise TypeError(
            "query, key and value must be floating-point numbers "
            f"(found: {query.dtype}, {key.dtype}, {value.dtype})"
        )
    if torch.onnx.is_in_onnx_export() or in_forward_mode():
        return attend_in_runs(query, key, value)
    if tiles_pay(value):
        return tiled_attention(*map(exact, (query, key, value)))[0].to(value.dtype)
    width = max(query.shape[-1], value.shape[-1])
    filled = (fill_up(x, width) for x in (query, key, value))
    heads = (x.contiguous().unsqueeze(1) for x in filled)  # (B, 1, N, width)
    made = F.scaled_dot_product_attention(*heads, scale=1.0).squeeze(1)
    return made[..., : value.shape[-1]]


def fill_up(x: Tensor, width: int) -> Tensor:
    """``(B, N, d)`` with features of 0 to ``(B, N, width)``; as given if so wide."""
    return x if x.shape[-1] == width else F.pad(x, (0, width - x.shape[-1]))


def attend_in_runs(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The same by plain products, a run of rows after the other: ONNX, forward mode.

    ONNX has no fused attention that every runtime keeps without the map, and neither
    tiles nor torch's kernels have tangents. Eight runs hold an eighth of it at a time,
    75 MiB of a 112 x 112 skip. The borders are computed from N, so that one file takes
    every size.
    """
    n = query.shape[1]
    rows = (n + RUNS - 1) // RUNS  # ONNX divides towards 0, so no -(-n // RUNS)
    query = F.pad(query, (0, 0, 0, RUNS * rows - n))
    runs = query.unflatten(1, (RUNS, rows)).unbind(1)
    made = [torch.softmax(run @ key.transpose(-2, -1), dim=-1) @ value for run in runs]
    return torch.stack(made, dim=1).flatten(1, 2)[:, :n]


def in_forward_mode() -> bool:
    """Whether tangents may be carried along, as in `torch.func.jvp`.

    Our tiles would drop them without a word.
    """
    # No public name tells it. Without this one plain products are right, but slow.
    return getattr(forward_ad, "_current_level", 0) >= 0


def tiles_pay(value: Tensor) -> bool:
    """Whether our own tiles are the faster form; what is exported must do without."""
    return value.device.type == "cpu" and not torch.compiler.is_exporting()


def as_sequence(x: Tensor) -> Tensor:
    """``(B, C, H, W)`` as ``(B, N, C)``; a free view of channels-last memory."""
    # Not `mT`, here and in the block: torch's older exporter to ONNX does not know it.
    return x.flatten(2).transpose(-2, -1)


def as_map(sequence: Tensor, like: Tensor) -> Tensor:
    """``(B, N, C)`` as ``(B, C, H, W)`` with the height and width of ``like``."""
    return sequence.transpose(-2, -1).unflatten(2, like.shape[-2:])


def exact(x: Tensor) -> Tensor:
    """In float32 or float64, as it is where it is one of them.

    A conversion that changes nothing would still tie what is exported to this device.
    """
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def as_given(computed: Tensor, x: Tensor) -> Tensor:
    """What was computed exactly, in the type of ``x``: a network may be held in half.

    Under autocast it stays exact, which mixes types by itself.
    """
    mixed = computed.dtype == x.dtype or torch.is_autocast_enabled(x.device.type)
    return computed if mixed else computed.to(x.dtype)


def full_precision(x: Tensor) -> AbstractContextManager:
    """No autocast where ``x`` is; there is none on the meta device, which counts."""
    kind = x.device.type
    return nullcontext() if kind == "meta" else torch.autocast(kind, enabled=False)
