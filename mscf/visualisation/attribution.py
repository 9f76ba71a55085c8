"""Where a network's tumour logit comes from, and checks that such maps mean something.

The methods are Captum's; for segmentation the scalar that they explain is the tumour
logit summed over a region (Seg-Grad-CAM, Vinogradova et al. 2020). The checks: maps of
a network with untrained weights must differ (Adebayo et al. 2018), and what a map ranks
high must count when it is taken away or given alone (RISE, Petsiuk et al. 2018).
Networks are handed in, in evaluation mode, and are left as they were. Images
``(1, 3, H, W)`` are as the network takes them, regions ``(H, W)``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from captum.attr import (
    IntegratedGradients,
    LayerAttribution,
    LayerGradCam,
    Occlusion,
)
from numpy.typing import NDArray
from torch import Tensor, nn

STEPS = 16  # of integrated gradients
BATCH = 8  # images a forward pass: more take memory and no less time
CELL = 8  # pixels a side: what is taken away or given at once
SHARES = np.linspace(0, 1, 11) ** 2  # of the cells; a tumour is in the first few


def region_logit(model: nn.Module, region: Tensor) -> Callable[[Tensor], Tensor]:
    """Images ``(B, 3, H, W)`` to the tumour logit summed over the region, ``(B,)``.

    Raises:
        ValueError: the region has no pixel, or a module is in training mode, where
            batch normalisation makes an image's answer depend on its batch.
    """
    if not region.any():
        raise ValueError("the region must have a pixel (found: none)")
    if training := [n for n, module in model.named_modules() if module.training]:
        raise ValueError(f"must be in evaluation mode (found: {training[0] or 'it'})")
    return lambda images: model(images)[:, 0][:, region].sum(dim=1)


def grad_cam(
    model: nn.Module,
    layer: nn.Module,
    image: Tensor,
    region: Tensor,
    before: bool = False,
) -> NDArray[np.float32]:
    """Grad-CAM ``(h, w)`` of what leaves a layer, or with ``before`` of what enters it.

    Signed, without the ReLU of the original: what lowers the logit is seen as well.

    Raises:
        ValueError: the layer is not the model's; see `region_logit`.
    """
    if not any(layer is module for module in model.modules()):
        raise ValueError("the layer must be one of the model's (found: another's)")
    method = LayerGradCam(region_logit(model, region), layer)
    # What enters a block also goes down the encoder. The block's own copy has the
    # gradient of this skip alone, so that before and after differ by the block.
    with layer.register_forward_pre_hook(lambda _, given: given[0].clone()):
        (cam,) = method.attribute(
            to_differentiate(image), attribute_to_layer_input=before
        )
    return cam[0].detach().cpu().numpy()


def integrated_gradients(
    model: nn.Module, image: Tensor, region: Tensor, baseline: float
) -> tuple[NDArray[np.float32], float]:
    """Integrated gradients ``(H, W)`` from an image of one grey, and what they miss.

    They should add up to the logit's change from the ``baseline`` on; missed is the
    distance from that, as a share of it.
    """
    logit = region_logit(model, region)
    parts, error = IntegratedGradients(logit).attribute(
        to_differentiate(image), baseline, n_steps=STEPS, internal_batch_size=BATCH,
        return_convergence_delta=True,
    )  # fmt: skip
    parts, error = parts.detach(), float(error.detach())
    change = float(parts.sum()) - error
    missed = abs(error / change) if change else float("nan")
    return parts[0].sum(dim=0).float().cpu().numpy(), missed


def occlusion(
    model: nn.Module, image: Tensor, region: Tensor, baseline: float, window: int
) -> NDArray[np.float32]:
    """How far the logit falls under a grey window, a value a stride of half a window.

    Where windows overlap it is their mean; ``(H / stride, W / stride)``, rounded up.
    """
    stride = window // 2
    with torch.no_grad():
        falls = Occlusion(region_logit(model, region)).attribute(
            image, (3, window, window), (3, stride, stride), baseline,
            perturbations_per_eval=BATCH,
        )  # fmt: skip
    return falls[0, 0, ::stride, ::stride].float().cpu().numpy()


def to_differentiate(image: Tensor) -> Tensor:
    """The image as a tensor of its own that gradients may be asked of."""
    return image.detach().requires_grad_()


def cascade(model: nn.Module, untrained: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """A copy whose parts are untrained one by one, the last in the network first.

    Gives the name of the part and the copy, which the next step changes further.
    """
    mixed = copy.deepcopy(model)
    for name, part in reversed(list(untrained.named_children())):
        setattr(mixed, name, copy.deepcopy(part))
        yield name, mixed


def rank_correlation(first: NDArray, second: NDArray) -> float:
    """Spearman's of two maps of one shape; not a number where one is constant."""
    both = pd.DataFrame({"first": first.ravel(), "second": second.ravel()})
    return float(both.corr(method="spearman").loc["first", "second"])


def cell_order(attribution: NDArray, size: tuple[int, int]) -> NDArray[np.int64]:
    """The cells of an image of ``size``, counted row by row, the highest first."""
    values = torch.from_numpy(attribution.astype(np.float32))[None, None]
    pixels = LayerAttribution.interpolate(values, size, "bilinear")
    cells = F.avg_pool2d(pixels, CELL).flatten()
    return cells.argsort(descending=True, stable=True).numpy()


def deletion_and_insertion(
    model: nn.Module,
    image: Tensor,
    region: Tensor,
    baseline: float,
    order: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean tumour probability of the region, after each of ``SHARES`` of the cells.

    Deletion replaces cells by the baseline's grey in the given order, insertion begins
    with that grey and puts the image's cells into it. H and W must be multiples of
    ``CELL``.
    """
    height, width = (side // CELL for side in image.shape[-2:])
    rank = np.argsort(order).reshape(height, width)
    pixels = torch.from_numpy(np.kron(rank, np.ones((CELL, CELL))))
    grey = torch.full_like(image, baseline)
    reached = [pixels < round(share * len(order)) for share in SHARES]
    deleted = torch.cat([torch.where(cells, grey, image) for cells in reached])
    inserted = torch.cat([torch.where(cells, image, grey) for cells in reached])
    return tuple(
        np.concatenate([probability(model, b, region) for b in images.split(BATCH)])
        for images in (deleted, inserted)
    )


def probability(
    model: nn.Module, images: Tensor, region: Tensor
) -> NDArray[np.float64]:
    """Mean tumour probability of the region in each image, ``(B,)``."""
    with torch.no_grad():
        return model(images)[:, 0].sigmoid()[:, region].mean(dim=1).double().numpy()


def area(curve: NDArray) -> NDArray[np.float64]:
    """The area under curves ``(..., len(SHARES))`` over the share of cells."""
    return np.trapezoid(curve, SHARES, axis=-1)
