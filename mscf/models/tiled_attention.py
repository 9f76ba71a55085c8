"""Exact attention in tiles: softmax(query key^T) value, and no N x M map in memory.

Forward keeps the log-sum-exp of every row; backward makes each tile of the map anew
from it (Rabe and Staats 2021, arXiv 2112.05682; Dao et al. 2022, arXiv 2205.14135).
What makes it fast on a CPU: a tile is written into the same buffer again and again, and
a subtraction from every row is one more column in the product before it,
``[q, -lse] [k, 1]^T = q k^T - lse``. B batch, N and M positions, d and C features.
"""

from __future__ import annotations

import torch
from torch import Tensor

FORWARD = 1_605_632  # entries of a tile: whole rows, 128 of a 112 x 112 slice
BACKWARD = 448, 3136  # rows and columns of a tile, the best of those that were timed


@torch.library.custom_op("mscf::tiled_attention", mutates_args=())
def tiled_attention(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """``(B, N, C)``, and the log-sum-exp ``(B, N)`` of the map's rows.

    ``query`` ``(B, N, d)``, ``key`` ``(B, M, d)``, ``value`` ``(B, M, C)``, float32 or
    float64. To torch it is one operation: compiled and autocast it stays what it is.
    """
    (batch, n, _), m, channels = query.shape, key.shape[1], value.shape[2]
    out, lse = value.new_empty(batch, n, channels), value.new_empty(batch, n)
    rows = max(32, FORWARD // m)
    buffer = value.new_empty(min(rows, n) * m)
    for image in range(batch):
        keys, values = key[image].mT.contiguous(), value[image].contiguous()
        for some in tiles(n, rows):
            asking, answer = query[image, some], out[image, some]
            tile = buffer[: len(asking) * m].view(-1, m)
            torch.mm(asking, keys, out=tile)
            largest = tile.amax(dim=1, keepdim=True)
            total = tile.sub_(largest).exp_().sum(dim=1, keepdim=True)
            torch.mm(tile, values, out=answer).div_(total)
            lse[image, some] = (largest + total.log())[:, 0]
    return out, lse


@torch.library.custom_op("mscf::tiled_attention_backward", mutates_args=())
def tiled_attention_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of query, key and value, from that of the output."""
    (batch, n, _), m = query.shape, key.shape[1]
    # Those of key and value are summed transposed: the longer side is the faster one.
    grad_query = torch.zeros_like(query, memory_format=torch.contiguous_format)
    grad_key, grad_value = key.new_zeros(key.mT.shape), value.new_zeros(value.mT.shape)
    delta = (grad * out).sum(dim=2)
    buffers = value.new_empty(2, min(BACKWARD[0], n) * min(BACKWARD[1], m))
    for image in range(batch):
        q, k, g = query[image].contiguous(), key[image].contiguous(), grad[image]
        q_lse = torch.cat([q, -lse[image, :, None]], dim=1)
        g_delta = torch.cat([g, -delta[image, :, None]], dim=1)
        k_one, v_one = with_ones(k), with_ones(value[image])
        g = g.contiguous()
        for columns in tiles(m, BACKWARD[1]):
            k_tile, v_tile = k_one[:, columns], v_one[:, columns]
            for rows in tiles(n, BACKWARD[0]):
                shape = len(q[rows]), k_tile.shape[1]
                p, s = (b[: shape[0] * shape[1]].view(shape) for b in buffers)
                torch.mm(q_lse[rows], k_tile, out=p).exp_()  # the map: exp(S - lse)
                grad_value[image, :, columns].addmm_(g[rows].mT, p)
                torch.mm(g_delta[rows], v_tile, out=s).mul_(p)  # dS = P (dP - delta)
                grad_key[image, :, columns].addmm_(q[rows].mT, s)
                grad_query[image, rows].addmm_(s, k[columns])
    return grad_query, grad_key.mT, grad_value.mT


def tiles(n: int, size: int) -> list[slice]:
    """``range(n)`` in runs of ``size``, the last one perhaps shorter."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def with_ones(features: Tensor) -> Tensor:
    """``(M, d)`` as ``(d + 1, M)``, the last row all ones."""
    return torch.cat(
        [features, features.new_ones(len(features), 1)], dim=1
    ).mT.contiguous()


@tiled_attention.register_fake
def shapes_forward(query: Tensor, _: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """What a compiler knows beforehand."""
    lse_shape = query.shape[:2]
    return value.new_empty(*lse_shape, value.shape[2]), value.new_empty(lse_shape)


@tiled_attention_backward.register_fake
def shapes_backward(
    _: Tensor, query: Tensor, key: Tensor, value: Tensor, *__: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What a compiler knows beforehand."""
    transposed = (x.new_empty(x.mT.shape).mT for x in (key, value))
    return query.new_empty(query.shape), *transposed


def save_for_backward(ctx, inputs: tuple, output: tuple) -> None:
    """What backward needs; the log-sum-exp has no gradient."""
    ctx.save_for_backward(*inputs, *output)
    ctx.mark_non_differentiable(output[1])


def backward(ctx, grad: Tensor, _: Tensor) -> tuple[Tensor, ...]:
    """The gradients; torch refuses to derive them again, by the operation's name."""
    return tiled_attention_backward(grad, *ctx.saved_tensors)


tiled_attention.register_autograd(backward, setup_context=save_for_backward)
