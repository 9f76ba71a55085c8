"""Every attention with its maps in full, as equations and loops; and the comparison.

The blocks only lend their weights.
"""

import torch


def spatial_context_plain(block, x):
    """Eq. 1-3 with the N x N map."""
    f = torch.relu if isinstance(block.query[1], torch.nn.ReLU) else torch.clone
    query, key = f(block.query[0](x)), f(block.key[0](x))
    context = attention_plain(key, query, block.value(x))  # M holds K_i . Q_j
    return block.alpha * context + x


def position_attention_plain(block, x):
    """Of SAGAN, DANet and CS-Net: the query asks."""
    gathered = attention_plain(block.query(x), block.key(x), block.value(x))
    return block.gamma * gathered + x


def attention_plain(asking, answering, value):
    """The N x N map whose rows belong to those who ask, times the values."""
    products = torch.einsum("bci,bcj->bij", asking.flatten(2), answering.flatten(2))
    attention = torch.exp(products - products.amax(dim=2, keepdim=True))
    attention = attention / attention.sum(dim=2, keepdim=True)
    return torch.einsum("bij,bcj->bci", attention, value.flatten(2)).view_as(value)


def channel_context_plain(block, x):
    """Eq. 4-6, one output channel after the other."""
    context = channels_gathered(x, block.softmax, block.eq5)
    return block.beta * context + x


def channel_attention_plain(block, x):
    """Of DANet and CS-Net: row i names the channels that i, unlike them, gathers."""
    return block.gamma * channels_gathered(x, "rowmax-minus", "rows") + x


def channels_gathered(x, softmax, eq5):
    b, c, h, w = x.shape
    features = x.reshape(b, c, h * w)
    context = torch.zeros_like(features)
    for image in range(b):
        gram = features[image] @ features[image].T
        if softmax == "rowmax-minus":
            gram = torch.stack([row.max() - row for row in gram])
        if softmax == "scaled":
            gram = gram / (h * w)
        affinity = torch.softmax(gram, dim=1)
        for j in range(c):
            for i in range(c):
                weight = affinity[i, j] if eq5 == "literal" else affinity[j, i]
                context[image, j] += weight * features[image, i]
    return context.reshape(b, c, h, w)


def output_and_gradients(forward, block, x):
    x = x.clone().requires_grad_()
    block.zero_grad()
    output = forward(x)
    (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
    return output.detach(), x.grad, *(p.grad.clone() for p in block.parameters())


def assert_same(block, plain, x, tolerance):
    """Outputs and all gradients of the block and its plain form."""
    ours = output_and_gradients(block, block, x)
    expected = output_and_gradients(lambda y: plain(block, y), block, x)
    for got, want in zip(ours, expected, strict=True):
        scale = want.abs().max().clamp(min=1)
        torch.testing.assert_close(got / scale, want / scale, rtol=0, atol=tolerance)
