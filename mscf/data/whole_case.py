"""One case read: image and labels, checked alone and against each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mscf.data.anatomy import doubts_of_anatomy
from mscf.data.cases import Case
from mscf.data.volume import Volume, read_labels, read_volume
from mscf.errors import Finding


@dataclass(frozen=True)
class WholeCase:
    """The voxels of a case in RAS order, and what was repaired or is doubtful."""

    volume: Volume
    labels: NDArray[np.uint8]  # (X, Y, Z)
    spacing_known: bool
    sources: list[str]  # SHA-256 of image and labels
    repairs: tuple[Finding, ...]


def read_case(case: Case) -> WholeCase:
    """Image and labels of a case.

    Raises:
        InputError: one of them is refused, or they do not fit each other.
    """
    volume = read_volume(case.image)
    labels, label_sha256, of_labels = read_labels(case.label, like=volume)
    known = case.spacing_known and volume.spacing_known
    ml = volume.voxel_ml if known else None
    doubts = doubts_of_anatomy(volume.voxels, labels, ml, case.label)
    repairs = case.repairs + volume.repairs + of_labels + doubts
    return WholeCase(volume, labels, known, [volume.sha256, label_sha256], repairs)
