"""Mean and spread of grey values, added up slice by slice."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass
class Greys:
    """Sums of HU over the pixels of each lesion, by its number from 1."""

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

    def mean(self, number: int) -> float | None:
        """Of a lesion; None without pixels."""
        n = self.n[number]
        return float(self.total[number] / n) if n else None

    def sd(self, number: int) -> float:
        """Of a lesion's own HU."""
        n, total = self.n[number], self.total[number]
        return math.sqrt(max(self.squares[number] / n - (total / n) ** 2, 0))
