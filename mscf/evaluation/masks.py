"""What may be compared: two masks of one shape, and the spacing of their pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Mask = NDArray[np.bool_]


def as_masks(
    prediction: ArrayLike, truth: ArrayLike, dimensions: tuple[int, ...]
) -> tuple[Mask, Mask]:
    """Both as boolean arrays; the inputs are never changed."""
    prediction, truth = np.asarray(prediction), np.asarray(truth)
    if prediction.shape != truth.shape:
        raise ValueError(
            "prediction and truth must have one shape, "
            f"found {prediction.shape} and {truth.shape}"
        )
    if truth.ndim not in dimensions:
        wanted = " or ".join(str(n) for n in dimensions)
        raise ValueError(f"masks must have {wanted} axes, found shape {truth.shape}")
    if truth.size == 0:
        raise ValueError(f"masks must have pixels, found shape {truth.shape}")
    return as_mask(prediction, "prediction"), as_mask(truth, "truth")


def as_mask(array: NDArray, name: str) -> Mask:
    """The array itself if boolean, else its integers 0 and 1 as booleans."""
    if array.dtype == bool:
        return array
    if array.dtype.kind not in "iu":
        raise ValueError(
            f"{name} must be boolean or integers 0 and 1, found {array.dtype}"
        )
    if array.min() < 0 or array.max() > 1:
        raise ValueError(
            f"{name} must hold only 0 and 1, found {array.min()} to {array.max()}"
        )
    return array.astype(bool)


def as_spacings(
    spacing: ArrayLike | None, n: int, axes: int
) -> list[tuple[float, ...]] | list[None]:
    """A spacing for each of ``n`` arrays, from one for all, one each, or None."""
    if spacing is None:
        return [None] * n
    found = np.asarray(spacing, dtype=float)
    if found.shape not in ((axes,), (n, axes)):
        raise ValueError(
            f"spacing must be {axes} numbers, or {axes} for each of {n}, "
            f"found shape {found.shape}"
        )
    if not (np.isfinite(found).all() and (found > 0).all()):
        raise ValueError(f"spacing must be positive and finite, found {spacing}")
    return [tuple(s) for s in np.broadcast_to(found, (n, axes)).tolist()]
