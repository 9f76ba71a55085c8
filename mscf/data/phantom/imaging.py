"""What the scanner does to a body: blur, correlated noise, streaks."""

from __future__ import annotations

import numpy as np
from scipy import fft
from scipy.ndimage import gaussian_filter1d

from mscf.data.phantom.space import Array, Box


def scan(random: np.random.Generator, hu: Array, box: Box, spine_y: float) -> Array:
    """The voxels as int16 HU; blur comes before noise, as it does in a scanner."""
    spacing = float(np.diff(box.x.ravel()[:2])[0])
    for axis, sigma in ((0, 0.62 / spacing), (1, 0.62 / spacing), (2, 0.4)):
        hu = gaussian_filter1d(hu, sigma, axis=axis, truncate=3)
    hu = hu + noise(random, hu.shape, spacing) * middle(box)
    if random.random() < 0.5:
        hu = hu + streaks(random, box, spine_y)
    return np.clip(np.rint(hu), -1024, 3071).astype(np.int16)


def noise(random: np.random.Generator, shape: tuple, spacing: float) -> Array:
    """Noise with the spectrum of a reconstruction: little at low frequencies.

    White noise filtered by sqrt(f) exp(-(f / fc)^2), then smoothed along z. Its level
    falls with the pixel's size as that of real noise does when pixels are averaged.
    """
    x, y, z = shape
    level = random.uniform(13, 26) * (0.7 / spacing) ** 0.53
    cutoff = random.uniform(0.26, 0.42)
    frequency = np.hypot(
        fft.fftfreq(x, spacing)[:, None], fft.rfftfreq(y, spacing)[None]
    )
    response = np.sqrt(frequency) * np.exp(-((frequency / cutoff) ** 2))
    white = random.standard_normal((z, x, y), np.float32)
    spectrum = fft.rfft2(white) * response.astype(np.float32)
    grain = fft.irfft2(spectrum, s=(x, y)).transpose(1, 2, 0)
    grain = gaussian_filter1d(grain, random.uniform(0.25, 0.5), axis=2, mode="nearest")
    return grain * np.float32(level / grain.std())


def middle(box: Box) -> Array:
    """Noise is stronger in the middle of the body, where fewer photons come through."""
    return (0.75 + 0.45 * np.exp(-(box.x**2 + box.y**2) / 120**2)).astype(np.float32)


def streaks(random: np.random.Generator, box: Box, spine_y: float) -> Array:
    """Weak horizontal streaks at the height of the spine."""
    lines = gaussian_filter1d(
        random.standard_normal((box.y.size, box.z.size)), 1, axis=0
    )
    near = np.exp(-((box.y - spine_y) ** 2) / (2 * 35**2))
    along = np.exp(-((box.x / 190) ** 2))
    return (random.uniform(1, 4) * lines[None] * near * along).astype(np.float32)
