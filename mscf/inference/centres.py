"""Where lesions are, added up slice by slice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import NDArray


@dataclass
class Centres:
    """Sums of voxels' places, by the lesion's number from 1."""

    n: NDArray[np.int64]
    places: NDArray[np.float64]  # (3, lesions + 1): X, Y, Z in RAS order

    @classmethod
    def of(cls, lesions: int) -> Centres:
        """None seen yet."""
        return cls(np.zeros(lesions + 1, int), np.zeros((3, lesions + 1)))

    def add(self, numbers: NDArray[np.int64], i: int) -> None:
        """Slice ``i``, ``(H, W)``: row 0 is anterior, column 0 the patient's right."""
        rows, columns = np.nonzero(numbers)
        of = numbers[rows, columns]
        last_row, last_column = np.subtract(numbers.shape, 1)
        count = np.bincount(of, minlength=len(self.n))
        self.n += count
        self.places[0] += np.bincount(of, last_column - columns, len(self.n))
        self.places[1] += np.bincount(of, last_row - rows, len(self.n))
        self.places[2] += i * count

    def millimetres(
        self, number: int, affine: NDArray[np.float64]
    ) -> tuple[float, float, float]:
        """The mean place of a lesion's voxels, by an affine of RAS order."""
        place = self.places[:, number] / self.n[number]
        return tuple(apply_affine(affine, place).tolist())
