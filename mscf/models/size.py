"""Which heights and widths a network takes."""

from __future__ import annotations

from torch import Tensor


def check_size(x: Tensor, minimum: int, multiple: int) -> None:
    """Refuses a height or width that the network cannot take, naming a good one.

    Raises:
        ValueError: below ``minimum``, or no multiple of ``multiple``.
    """
    for name, side in zip(("height", "width"), x.shape[-2:], strict=True):
        if side < minimum or side % multiple:
            raise ValueError(
                f"{name} must be a multiple of {multiple} and at least {minimum} "
                f"(found: {side}); nearest good one: {nearest(side, minimum, multiple)}"
            )


def nearest(side: int, minimum: int, multiple: int) -> int:
    """The multiple nearest to ``side`` that is not below ``minimum``."""
    return max(minimum, (side + multiple // 2) // multiple * multiple)
