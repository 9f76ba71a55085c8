"""What grey values lesions have, and what is around them, added up slice by slice."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

SOFT = (-30, 200)  # HU of soft tissue: neither fat, air nor bone
WIDTH = 10  # HU, by which a histogram is smoothed


@dataclass
class Greys:
    """Sums of HU, by the lesion's number from 1."""

    n: NDArray[np.float64]
    total: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def of(cls, lesions: int) -> Greys:
        """None seen yet."""
        return cls(*np.zeros((3, lesions + 1)))

    def add(self, numbers: NDArray[np.int64], hu: NDArray[np.number]) -> None:
        """A slice: ``numbers`` and ``hu`` are ``(H, W)``."""
        inside = numbers > 0
        of, hu = numbers[inside], hu[inside].astype(float)
        self.n += np.bincount(of, minlength=len(self.n))
        self.total += np.bincount(of, hu, len(self.n))
        self.squares += np.bincount(of, hu**2, len(self.n))

    def level(self, number: int) -> float | None:
        """The mean; None without pixels."""
        n = self.n[number]
        return float(self.total[number] / n) if n else None

    def sd(self, number: int) -> float:
        """Of a lesion's own HU."""
        n, total = self.n[number], self.total[number]
        return math.sqrt(max(self.squares[number] / n - (total / n) ** 2, 0))


@dataclass
class Levels:
    """Histograms of soft tissue's HU, by the lesion's number from 1."""

    counts: NDArray[np.int32]  # (lesions + 1, HU)

    @classmethod
    def of(cls, lesions: int) -> Levels:
        """None seen yet."""
        return cls(np.zeros((lesions + 1, SOFT[1] - SOFT[0] + 1), np.int32))

    def add(self, numbers: NDArray[np.int64], hu: NDArray[np.number]) -> None:
        """A slice: ``numbers`` and ``hu`` are ``(H, W)``."""
        inside = (numbers > 0) & (hu >= SOFT[0]) & (hu <= SOFT[1])
        bins = np.rint(hu[inside]).astype(int) - SOFT[0]
        np.add.at(self.counts, (numbers[inside], bins), 1)

    def level(self, number: int) -> float | None:
        """The HU that most of it has; None without pixels.

        Other tissue than that, in the minority, does not move it as it would a mean.
        """
        counts = self.counts[number]
        if not counts.any():
            return None
        smooth = gaussian_filter1d(counts.astype(float), WIDTH, mode="constant")
        return float(smooth.argmax() + SOFT[0])
