"""Vessel trees: from a root to targets spread through an organ, halved at each fork."""

from __future__ import annotations

import numpy as np

from mscf.data.phantom.space import Array

MURRAY = 1 / 2.7  # a vessel's radius goes with the tissue it feeds, to this power


def grow(
    random: np.random.Generator, root: Array, targets: Array, radius: float
) -> Array:
    """Segments ``(n, 8)`` (start, end, two radii) from ``root`` to every target.

    A branch runs part of the way towards the middle of its targets, then splits them
    in two along their widest direction: the tree spreads through the organ and ends
    thin, where a chain of random turns would leave it or end abruptly.
    """
    segments = []
    branches = [(np.asarray(root, float), np.asarray(targets, float), radius)]
    while branches:
        start, mine, thick = branches.pop()
        if len(mine) == 1:
            segments.append((*start, *mine[0], thick, 0.4 * thick))
            continue
        middle = mine.mean(axis=0)
        way = random.uniform(0.3, 0.55) * (middle - start)
        end = start + way + 0.12 * np.linalg.norm(way) * random.standard_normal(3)
        segments.append((*start, *end, thick, 0.9 * thick))
        direction = np.linalg.svd(mine - middle, full_matrices=False)[2][0]
        order = np.argsort((mine - middle) @ direction)
        at = int(np.clip(len(mine) * random.uniform(0.3, 0.7), 1, len(mine) - 1))
        for half in (order[:at], order[at:]):
            share = (len(half) / len(mine)) ** MURRAY
            branches.append((end, mine[half], thick * share))
    return np.array(segments)
