"""The context block written as the paper prints it, with every map in full."""

import torch


def spatial_context_plain(block, x):
    """Eq. 1-3 with the N x N map; ``block`` only lends its weights."""
    b, c, h, w = x.shape
    query = torch.relu(block.query[0](x)).reshape(b, c // 8, h * w)
    key = torch.relu(block.key[0](x)).reshape(b, c // 8, h * w)
    value = block.value(x).reshape(b, c, h * w)
    products = torch.einsum("bci,bcj->bij", key, query)  # K_i . Q_j
    attention = torch.exp(products - products.amax(dim=2, keepdim=True))
    attention = attention / attention.sum(dim=2, keepdim=True)
    context = torch.einsum("bij,bcj->bci", attention, value)
    return block.alpha * context.reshape(b, c, h, w) + x


def channel_context_plain(block, x):
    """Eq. 4-6, one output channel after the other."""
    b, c, h, w = x.shape
    features = x.reshape(b, c, h * w)
    context = torch.zeros_like(features)
    for image in range(b):
        gram = features[image] @ features[image].T
        affinity = torch.softmax(gram, dim=1)
        for j in range(c):
            for i in range(c):
                context[image, j] += affinity[i, j] * features[image, i]
    return block.beta * context.reshape(b, c, h, w) + x
