"""The ten networks a second time, as functions, from the text of the specification.

Ours only lend their numbers: `Layers` hands them out in the order in which a network
registers its layers, which each function here names by the order of its lines. Shapes,
biases, strides, paddings, dilations, activations and orders are written here. W widths,
n one output, x slices ``(B, 3, H, W)``; all in evaluation mode.
"""

import torch
import torch.nn.functional as F


class Layers:
    """Takes a network's layers one after the other, and apart from them its scalars."""

    def __init__(self, network):
        self.rest = [m for m in network.modules() if hasattr(m, "weight")]
        self.scalars = [p for p in network.parameters() if p.dim() == 0]

    def take(self, shape, bias):
        layer = self.rest.pop(0)
        assert layer.weight.shape == shape
        assert (layer.bias is not None) == bias
        return layer

    def conv(self, given, made, kernel, bias=True, **how):
        rows, columns = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        layer = self.take((made, given, rows, columns), bias)
        return lambda x: F.conv2d(x, layer.weight, layer.bias, **how)

    def transposed(self, given, made, kernel, **how):
        layer = self.take((given, made, kernel, kernel), bias=True)
        return lambda x: F.conv_transpose2d(x, layer.weight, layer.bias, **how)

    def linear(self, given, made):
        layer = self.take((made, given), bias=False)
        return lambda x: F.linear(x, layer.weight)

    def norm(self, channels):
        layer = self.take((channels,), bias=True)
        statistics = layer.running_mean, layer.running_var
        return lambda x: F.batch_norm(
            x, *statistics, layer.weight, layer.bias, training=False, eps=1e-5
        )

    def conv_norm(self, given, made, kernel, **how):
        """A convolution without bias and its batch norm, as the ResNets have them."""
        return chain(self.conv(given, made, kernel, False, **how), self.norm(made))

    def scalar(self):
        return self.scalars.pop(0)

    def all_taken(self):
        return not self.rest and not self.scalars


def chain(*functions):
    def chained(x):
        for function in functions:
            x = function(x)
        return x

    return chained


def cat(*maps):
    return torch.cat(maps, dim=1)


def cbr(take, a, b, bias=True):
    return chain(take.conv(a, b, 3, bias, padding=1), take.norm(b), F.relu)


def double(take, a, b):
    return chain(cbr(take, a, b), cbr(take, b, b))


def gathered(asking, answering, values):
    """out_i = sum over j of A[i, j] v_j, A = softmax over j of asking_i answering_j."""
    products = torch.einsum("bdi,bdj->bij", asking.flatten(2), answering.flatten(2))
    attention = products.softmax(dim=2)
    return torch.einsum("bij,bcj->bci", attention, values.flatten(2)).view_as(values)


def least_similar(x):
    """The channel attention of DANet and CS-Net without scale and input: A X."""
    features = x.flatten(2)
    energy = torch.einsum("bin,bjn->bij", features, features)
    attention = (energy.max(dim=2, keepdim=True).values - energy).softmax(dim=2)
    return torch.einsum("bij,bjn->bin", attention, features).view_as(x)


# --- U-Net, Attention U-Net, R2U-Net (sections 3 to 5)


def unet(take, x, block=double, gates=None):
    w = (64, 128, 256, 512, 1024)
    down = [block(take, a, b) for a, b in zip((3, *w), w, strict=False)]
    up = {i: up_convolution(take, w[i + 1], w[i]) for i in (3, 2, 1, 0)}
    decode = {i: block(take, 2 * w[i], w[i]) for i in (3, 2, 1, 0)}
    head = take.conv(64, 1, 1)
    gate = gates(take) if gates else dict.fromkeys(range(4), lambda skip, g: skip)
    skips = [down[0](x)]
    for i in (1, 2, 3, 4):
        skips.append(down[i](F.max_pool2d(skips[-1], 2, 2)))
    x = skips[4]
    for i in (3, 2, 1, 0):
        g = up[i](x)
        x = decode[i](cat(gate[i](skips[i], g), g))
    return head(x)


def up_convolution(take, a, b):
    def nearest(x):
        return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

    return chain(nearest, cbr(take, a, b))


def attention_unet(take, x):
    def gates(take):
        return {i: gate(take, 64 << i) for i in (3, 2, 1, 0)}

    return unet(take, x, gates=gates)


def gate(take, c):
    of_g = chain(take.conv(c, c // 2, 1), take.norm(c // 2))
    of_x = chain(take.conv(c, c // 2, 1), take.norm(c // 2))
    psi = chain(F.relu, take.conv(c // 2, 1, 1), take.norm(1), torch.sigmoid)
    return lambda x, g: x * psi(of_g(g) + of_x(x))


def r2unet(take, x):
    return unet(take, x, block=recurrent_residual)


def recurrent_residual(take, a, b):
    narrow = take.conv(a, b, 1)
    f1, f2 = cbr(take, b, b), cbr(take, b, b)

    def rec(f, x):
        return f(x + f(x + f(x)))  # t = 2

    def block(x):
        x = narrow(x)
        return x + rec(f2, rec(f1, x))

    return block


# --- UNet++ (section 6)


def nested_unet(take, x):
    w = (32, 64, 128, 256, 512)
    node = {(i, 0): double(take, (3, *w)[i], w[i]) for i in range(5)}
    for j in (1, 2, 3, 4):
        for i in range(5 - j):
            node[i, j] = double(take, j * w[i] + w[i + 1], w[i])
    head = take.conv(32, 1, 1)

    def up(x):
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)

    def value(i, j):  # of a node, from those that it reads
        if (i, j) not in made:
            if j:
                given = cat(*(value(i, k) for k in range(j)), up(value(i + 1, j - 1)))
            else:
                given = F.max_pool2d(value(i - 1, 0), 2) if i else x
            made[i, j] = node[i, j](given)
        return made[i, j]

    made = {}
    return head(value(0, 4))


# --- CE-Net and what is built on it (sections 7 to 9 and 12)


def cenet(take, x):
    e1, e2, e3, e4 = resnet34(take, x)
    x = multi_kernel(take, e4)
    return decoder(take, x, e1, e2, e3)


def senet(take, x):
    e1, e2, e3, e4 = resnet34(take, x)
    x = multi_kernel(take, e4)
    return decoder(take, x, e1, e2, e3, after=squeeze_excitation)


def self_attention(take, x):
    e1, e2, e3, e4 = resnet34(take, x)
    x = multi_kernel(take, e4)
    return decoder(take, x, e1, e2, e3, before=position_attention)


def mscf(take, x):
    e1, e2, e3, e4 = resnet34(take, x)
    x = multi_kernel(take, e4)
    e1, e2, e3 = context(take, e1), context(take, e2), context(take, e3)
    return decoder(take, x, e1, e2, e3)


def resnet34(take, x):
    x = stem(take, x)
    maps, given = [], 64
    for blocks, width in ((3, 64), (4, 128), (6, 256), (3, 512)):
        for number in range(blocks):
            stride = 2 if width > 64 and number == 0 else 1
            x = basic_block(take, x, given, width, stride)
            given = width
        maps.append(x)
    return maps


def stem(take, x):
    x = F.relu(take.conv_norm(3, 64, 7, stride=2, padding=3)(x))
    return F.max_pool2d(x, 3, stride=2, padding=1)


def basic_block(take, x, a, b, stride):
    y = F.relu(take.conv_norm(a, b, 3, stride=stride, padding=1)(x))
    y = take.conv_norm(b, b, 3, padding=1)(y)
    if stride == 2:
        x = take.conv_norm(a, b, 1, stride=2)(x)
    return F.relu(y + x)


def multi_kernel(take, x):
    conv_a = take.conv(512, 512, 3, dilation=1, padding=1)
    conv_b = take.conv(512, 512, 3, dilation=3, padding=3)
    conv_d = take.conv(512, 512, 3, dilation=5, padding=5)
    conv_p = take.conv(512, 512, 1)
    squeeze = take.conv(512, 1, 1)
    x = (
        x
        + F.relu(conv_a(x))
        + F.relu(conv_p(conv_b(x)))
        + F.relu(conv_p(conv_b(conv_a(x))))
        + F.relu(conv_p(conv_d(conv_b(conv_a(x)))))
    )

    def r(k):
        pooled = squeeze(F.max_pool2d(x, kernel_size=k, stride=k))
        return F.interpolate(pooled, x.shape[2:], mode="bilinear", align_corners=False)

    return cat(r(2), r(3), r(5), r(6), x)


def decoder(take, x, e1, e2, e3, before=None, after=None):
    dec4 = decoder_block(take, 516, 256)
    dec3 = decoder_block(take, 256, 128)
    dec2 = decoder_block(take, 128, 64)
    dec1 = decoder_block(take, 64, 64)
    head = chain(
        take.transposed(64, 32, 4, stride=2, padding=1), F.relu,
        take.conv(32, 32, 3, padding=1), F.relu,
        take.conv(32, 1, 3, padding=1),
    )  # fmt: skip
    if before:
        e1, e2, e3 = before(take, e1), before(take, e2), before(take, e3)
    after = after or (lambda take, x: x)
    d4 = after(take, dec4(x) + e3)
    d3 = after(take, dec3(d4) + e2)
    d2 = after(take, dec2(d3) + e1)
    return head(dec1(d2))


def decoder_block(take, a, b):
    m = a // 4
    return chain(
        take.conv(a, m, 1), take.norm(m), F.relu,
        take.transposed(m, m, 3, stride=2, padding=1, output_padding=1),
        take.norm(m), F.relu,
        take.conv(m, b, 1), take.norm(b), F.relu,
    )  # fmt: skip


def squeeze_excitation(take, x):
    c = x.shape[1]
    squeezed = F.adaptive_avg_pool2d(x, 1).flatten(1)
    hidden = F.relu(take.linear(c, c // 16)(squeezed))
    return x * torch.sigmoid(take.linear(c // 16, c)(hidden)).reshape(-1, c, 1, 1)


def position_attention(take, x):
    c = x.shape[1]
    q, k = take.conv(c, c // 8, 1)(x), take.conv(c, c // 8, 1)(x)
    v = take.conv(c, c, 1)(x)
    return take.scalar() * gathered(q, k, v) + x


def context(take, x):
    c = x.shape[1]
    q = F.relu(take.conv(c, c // 8, 1)(x))  # Eq. 1
    k = F.relu(take.conv(c, c // 8, 1)(x))
    f = take.conv(c, c, 1)(x)
    spatial = take.scalar() * gathered(k, q, f) + x  # Eqs. 2, 3: K on the rows
    features = x.flatten(2)
    g = torch.einsum("bin,bjn->bij", features, features).softmax(dim=2)  # Eq. 4
    gains = torch.einsum("bin,bij->bjn", features, g).view_as(x)  # Eq. 5: X G
    return spatial + (take.scalar() * gains + x)  # Eqs. 6, 7


# --- DANet (section 10)


def danet(take, x):
    size = x.shape[2:]
    c4 = dilated_resnet50(take, x)
    f1 = cbr(take, 2048, 512, bias=False)(c4)
    f1 = position_attention(take, f1)
    s = cbr(take, 512, 512, bias=False)(f1)
    f2 = cbr(take, 2048, 512, bias=False)(c4)
    f2 = take.scalar() * least_similar(f2) + f2
    t = cbr(take, 512, 512, bias=False)(f2)
    main, _, _ = (take.conv(512, 1, 1) for _ in range(3))
    return F.interpolate(main(s + t), size, mode="bilinear", align_corners=True)


def dilated_resnet50(take, x):
    x = stem(take, x)
    given = 64
    for width, stride, dilations in (
        (64, 1, (1, 1, 1)),
        (128, 2, (1, 1, 1, 1)),
        (256, 1, (1, 2, 2, 2, 2, 2)),
        (512, 1, (4, 8, 16)),
    ):
        for number, dilation in enumerate(dilations):
            step = stride if number == 0 else 1
            x = bottleneck(take, x, given, width, step, dilation, number == 0)
            given = 4 * width
    return x


def bottleneck(take, x, a, m, stride, dilation, projected):
    y = F.relu(take.conv_norm(a, m, 1)(x))
    y = take.conv_norm(m, m, 3, stride=stride, dilation=dilation, padding=dilation)(y)
    y = take.conv_norm(m, 4 * m, 1)(F.relu(y))
    if projected:
        x = take.conv_norm(a, 4 * m, 1, stride=stride)(x)
    return F.relu(y + x)


# --- CS-Net (section 11)


def csnet(take, x):
    w = (32, 64, 128, 256, 512)
    units = [residual_unit(take, a, b) for a, b in zip((3, *w), w, strict=False)]
    q_of = chain(take.conv(512, 64, (1, 3), padding=(0, 1)), take.norm(64), F.relu)
    k_of = chain(take.conv(512, 64, (3, 1), padding=(1, 0)), take.norm(64), F.relu)
    v_of = take.conv(512, 512, 1)
    up = {i: take.transposed(w[i + 1], w[i], 2, stride=2) for i in (3, 2, 1, 0)}
    decode = {i: double(take, 2 * w[i], w[i]) for i in (3, 2, 1, 0)}
    head = take.conv(32, 1, 1)
    skips = [units[0](x)]
    for i in (1, 2, 3, 4):
        skips.append(units[i](F.max_pool2d(skips[-1], 2)))
    z = skips[4]
    spatial = take.scalar() * gathered(q_of(z), k_of(z), v_of(z)) + z
    channel = take.scalar() * least_similar(z) + z
    x = z + (spatial + channel)
    for i in (3, 2, 1, 0):
        x = decode[i](cat(skips[i], up[i](x)))
    return head(x)


def residual_unit(take, a, b):
    convolve = double(take, a, b)  # ends with the ReLU before the sum
    shortcut = take.conv(a, b, 1)
    return lambda x: F.relu(convolve(x) + shortcut(x))
