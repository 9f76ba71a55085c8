"""Fixed random numbers in every layer, so that no start value hides a mistake."""

import torch
from torch import nn


def filled(network: nn.Module) -> nn.Module:
    """The network with fixed weights, statistics and scales, none of them 0 or 1.

    Variance is about kept from layer to layer, so that a sum shows both its terms and
    no softmax of positions has a single winner.
    """
    random = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point():
            continue  # how many batches a batch norm has seen
        spread = torch.rand(tensor.shape, generator=random)  # 0 to 1
        if tensor.dim() > 1:
            values = (2 * spread - 1) * (3 / tensor[0].numel()) ** 0.5
        elif tensor.dim() == 0 or name.endswith(("weight", "running_var")):
            values = 0.5 + spread
        else:
            values = 0.6 * spread - 0.3  # biases and running means
        tensor.copy_(values)
    return network
