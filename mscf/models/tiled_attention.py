"""Exact attention in tiles: softmax(query key^T) value, and no N x M map in memory.

Forward keeps the log-sum-exp of every row; backward makes each tile of the map anew
from it (Rabe and Staats 2021, arXiv 2112.05682; Dao et al. 2022, arXiv 2205.14135).
What makes it fast on a CPU: a tile stays in the cache while it is used, the faster of
two libraries forms the products, and a subtraction from every row is one more column in
the product before it, ``[q, -lse] [k, 1]^T = q k^T - lse``. B batch, N and M positions,
d and C features.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

CPU = Path("/proc/cpuinfo")
INTEL = CPU.is_file() and "GenuineIntel" in CPU.read_text()
TILE = (896, 448 if INTEL else 896)  # rows, columns: the best that were timed
EVERY = 16  # key that is asked where a row's largest entry may lie
SAFE = 1e30  # a row's sum of exponentials beyond which the guess was a poor one


@torch.library.custom_op("mscf::tiled_attention", mutates_args=())
def tiled_attention(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """``(B, N, C)``, and the log-sum-exp ``(B, N)`` of the map's rows.

    ``query`` ``(B, N, d)``, ``key`` ``(B, M, d)``, ``value`` ``(B, M, C)``, float32 or
    float64. To torch it is one operation: compiled and autocast it stays what it is.

    Raises:
        ValueError: the three do not belong together.
    """
    (batch, n, d), (_, m, channels) = query.shape, value.shape
    if key.shape != (batch, m, d) or len(value) != batch:
        raise ValueError(
            "query (B, N, d), key (B, M, d) and value (B, M, C) must share B, M and d "
            f"(found: {tuple(query.shape)}, {tuple(key.shape)}, {tuple(value.shape)})"
        )
    out, lse = value.new_empty(batch, n, channels), value.new_empty(batch, n)
    with torch.autocast("cpu", enabled=False):  # products as exact as what is given
        for image in zip(query, key, value, out, lse, strict=True):
            attend_image(*image)
    return out, lse


def attend_image(
    query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Tensor
) -> None:
    """Writes one image's ``out`` and ``lse``."""
    key, value = key.contiguous(), value.contiguous()
    k_one, some_keys = with_column(key, 1.0), key[::EVERY].contiguous()
    for rows in tiles(len(query), TILE[0]):
        asking = query[rows].contiguous()
        # Any shift of a row gives the same softmax; its maximum is only the safest.
        shift = product(asking, some_keys).amax(dim=1, keepdim=True)
        answer, total = weigh(asking, shift, k_one, value)
        if not (total < SAFE).all():  # too far below the maximum, or NaN
            shift = largest(asking, key)
            answer, total = weigh(asking, shift, k_one, value)
        out[rows] = answer.div_(total)
        lse[rows] = (shift + total.log())[:, 0]


def weigh(
    asking: Tensor, shift: Tensor, k_one: Tensor, value: Tensor
) -> tuple[Tensor, Tensor]:
    """exp(S - shift) V for some rows of S, and the rows' sums of exp(S - shift)."""
    q_shift = with_column(asking, -shift)
    answer = asking.new_zeros(len(asking), value.shape[1])
    total = torch.zeros_like(shift)
    for columns in tiles(len(k_one), TILE[1]):
        tile = product(q_shift, k_one[columns]).exp_()
        total += tile.sum(dim=1, keepdim=True)
        answer += product(tile, value[columns].mT)
    return answer, total


def largest(asking: Tensor, key: Tensor) -> Tensor:
    """The largest entry ``(rows, 1)`` of some rows of S."""
    parts = [
        product(asking, key[columns]).amax(dim=1)
        for columns in tiles(len(key), TILE[1])
    ]
    return torch.stack(parts, dim=1).amax(dim=1, keepdim=True)


@torch.library.custom_op("mscf::tiled_attention_backward", mutates_args=())
def tiled_attention_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of query, key and value, from that of the output."""
    # They are summed transposed: products with a long last side are the faster ones.
    grads = [x.new_zeros(x.mT.shape) for x in (query, key, value)]
    with torch.autocast("cpu", enabled=False):
        given = grad, query, key, value, out, lse
        for image in zip(*given, *grads, strict=True):
            attend_image_backward(*image)
    return tuple(x.mT for x in grads)


def attend_image_backward(
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out: Tensor,
    lse: Tensor,
    grad_query: Tensor,
    grad_key: Tensor,
    grad_value: Tensor,
) -> None:
    """Adds one image's gradients, transposed, to the last three."""
    delta = (grad * out).sum(dim=1, keepdim=True)
    q_lse, k_one = with_column(query, -lse[:, None]), with_column(key, 1.0)
    g_delta, v_one = with_column(grad, -delta), with_column(value, 1.0)
    q_t, k_t, g_t = (x.mT.contiguous() for x in (query, key, grad))
    for columns in tiles(len(key), TILE[1]):
        for rows in tiles(len(query), TILE[0]):
            p = product(q_lse[rows], k_one[columns]).exp_()  # the map: exp(S - lse)
            grad_value[:, columns] += product(g_t[:, rows], p.mT)
            s = product(g_delta[rows], v_one[columns]).mul_(p)  # dS = P (dP - delta)
            grad_key[:, columns] += product(q_t[:, rows], s.mT)
            grad_query[:, rows] += product(k_t[:, columns], s)


def product(a: Tensor, b: Tensor) -> Tensor:
    """``a b^T``, by oneDNN where torch has it and Linux names no Intel.

    MKL, which torch takes for products of float32, is the faster one on Intel's own. On
    AMD's it keeps to AVX2 and is half as fast. ``b`` must be dense, or transposed and
    dense: of other layouts oneDNN makes something very slow.
    """
    with_onednn = torch.backends.mkldnn.is_available() and not INTEL
    if with_onednn and a.dtype == torch.float32:
        return torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")
    return a @ b.mT


def tiles(n: int, size: int) -> list[slice]:
    """``range(n)`` in runs of ``size``, the last one perhaps shorter."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def with_column(features: Tensor, column: Tensor | float) -> Tensor:
    """``(N, d)`` as ``(N, d + 1)``."""
    if not isinstance(column, Tensor):
        column = features.new_full((len(features), 1), column)
    return torch.cat([features, column], dim=1)


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
