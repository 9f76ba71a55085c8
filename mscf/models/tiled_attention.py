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

TILE = 896, 896  # rows and columns, among the best of those that were timed
EVERY = 16  # key that is asked where a row's largest entry may lie
SAFE = 1e30  # a row's sum of exponentials beyond which the guess was a poor one


@torch.library.custom_op("mscf::tiled_attention", mutates_args=())
def tiled_attention(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """``(B, N, C)``, and the log-sum-exp ``(B, N)`` of the map's rows.

    ``query`` ``(B, N, d)``, ``key`` ``(B, M, d)``, ``value`` ``(B, M, C)``, float32 or
    float64. To torch it is one operation: compiled and autocast it stays what it is.
    """
    (batch, n, _), m, channels = query.shape, key.shape[1], value.shape[2]
    out, lse = value.new_empty(batch, n, channels), value.new_empty(batch, n)
    buffer = value.new_empty(min(TILE[0], n) * min(TILE[1], m))
    with torch.autocast("cpu", enabled=False):  # products as exact as what is given
        for image in zip(query, key, value, out, lse, strict=True):
            attend_image(*image, buffer)
    return out, lse


def attend_image(
    query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Tensor, buffer: Tensor
) -> None:
    """One image's ``out`` and ``lse``; ``buffer`` holds a tile."""
    k_one, value = with_ones(key), value.contiguous()
    some_keys = k_one[:-1, ::EVERY].contiguous()
    for rows in tiles(len(query), TILE[0]):
        asking, answer = query[rows].contiguous(), out[rows]
        # Any shift of a row gives the same softmax; its maximum is only the safest.
        shift = torch.mm(asking, some_keys).amax(dim=1, keepdim=True)
        total = weigh(asking, shift, k_one, value, answer, buffer)
        if not (total < SAFE).all():  # too far below the maximum, or NaN
            shift = largest(asking, k_one[:-1])
            total = weigh(asking, shift, k_one, value, answer, buffer)
        answer.div_(total)
        lse[rows] = (shift + total.log())[:, 0]


def weigh(
    asking: Tensor,
    shift: Tensor,
    k_one: Tensor,
    values: Tensor,
    answer: Tensor,
    buffer: Tensor,
) -> Tensor:
    """Writes exp(S - shift) V of some rows to ``answer``; gives their sums of exp."""
    q_shift = torch.cat([asking, -shift], dim=1)
    total = torch.zeros_like(shift)
    answer.zero_()
    for columns in tiles(len(values), TILE[1]):
        v = values[columns]
        tile = buffer[: len(asking) * len(v)].view(len(asking), len(v))
        torch.mm(q_shift, k_one[:, columns], out=tile).exp_()
        total += tile.sum(dim=1, keepdim=True)
        answer.addmm_(tile, v)
    return total


def largest(asking: Tensor, keys: Tensor) -> Tensor:
    """The largest entry ``(rows, 1)`` of some rows of S."""
    parts = [
        torch.mm(asking, keys[:, columns]).amax(dim=1)
        for columns in tiles(keys.shape[1], TILE[1])
    ]
    return torch.stack(parts, dim=1).amax(dim=1, keepdim=True)


@torch.library.custom_op("mscf::tiled_attention_backward", mutates_args=())
def tiled_attention_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of query, key and value, from that of the output."""
    (batch, n, _), m = query.shape, key.shape[1]
    # They are summed transposed: products with a long last side are the faster ones.
    grads = [x.new_zeros(x.mT.shape) for x in (query, key, value)]
    delta = (grad * out).sum(dim=2)
    buffers = value.new_empty(2, min(TILE[0], n) * min(TILE[1], m))
    for image in range(batch):
        grad_query, grad_key, grad_value = (x[image] for x in grads)
        q, g = query[image].contiguous(), grad[image].contiguous()
        q_lse = torch.cat([q, -lse[image, :, None]], dim=1)
        g_delta = torch.cat([g, -delta[image, :, None]], dim=1)
        k_one, v_one = with_ones(key[image]), with_ones(value[image])
        for columns in tiles(m, TILE[1]):
            k_tile, v_tile = k_one[:, columns], v_one[:, columns]
            for rows in tiles(n, TILE[0]):
                shape = len(q[rows]), k_tile.shape[1]
                p, s = (b[: shape[0] * shape[1]].view(shape) for b in buffers)
                torch.mm(q_lse[rows], k_tile, out=p).exp_()  # the map: exp(S - lse)
                grad_value[:, columns].addmm_(g[rows].mT, p)
                torch.mm(g_delta[rows], v_tile, out=s).mul_(p)  # dS = P (dP - delta)
                grad_key[:, columns].addmm_(q[rows].mT, s)
                grad_query[:, rows].addmm_(k_tile[:-1], s.mT)
    return tuple(x.mT for x in grads)


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
    return tuple(x.new_empty(x.mT.shape).mT for x in (query, key, value))


def save_for_backward(ctx, inputs: tuple, output: tuple) -> None:
    """What backward needs; the log-sum-exp has no gradient."""
    ctx.save_for_backward(*inputs, *output)
    ctx.mark_non_differentiable(output[1])


def backward(ctx, grad: Tensor, _: Tensor) -> tuple[Tensor, ...]:
    """The gradients; torch refuses to derive them again, by the operation's name."""
    return tiled_attention_backward(grad, *ctx.saved_tensors)


tiled_attention.register_autograd(backward, setup_context=save_for_backward)
