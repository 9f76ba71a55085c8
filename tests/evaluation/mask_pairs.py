"""Pairs of masks for the tests of the metrics."""

import numpy as np
from scipy.ndimage import gaussian_filter

SHAPES = [(32, 32), (31, 47), (64, 40), (17, 90), (7, 5), (71, 66)]


def random_pairs(shape, n, seed=0):
    """Noise of several densities and smooth blobs, `(n, H, W)` each, none empty."""
    rng = np.random.default_rng(seed)
    pairs = np.empty((2, n, *shape), dtype=bool)
    for masks in pairs:
        for i in range(n):
            field = rng.random(shape)
            if i % 2:  # smooth, ranked so that the density can be chosen
                field = gaussian_filter(field, rng.uniform(1, 4))
                field = field.ravel().argsort().argsort().reshape(shape) / field.size
            masks[i] = field < rng.choice([0.01, 0.1, 0.3, 0.6, 0.95])
            masks[i][tuple(rng.integers(shape))] = True
    return pairs[0], pairs[1]


def disc(shape, centre, radius):
    rows, columns = np.indices(shape)
    return np.hypot(rows - centre[0], columns - centre[1]) <= radius


def single(shape, *pixels):
    mask = np.zeros(shape, dtype=bool)
    for pixel in pixels:
        mask[pixel] = True
    return mask
