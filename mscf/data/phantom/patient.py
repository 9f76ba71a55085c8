"""One person: the sizes and surfaces that all organs share.

Zero is the middle of the liver along z and the middle of the body across. Every organ
draws its own numbers from a stream named after it, so that both scans of a patient
draw the same ones and a new organ changes no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np

from mscf.data.phantom.space import Array, Box, Field


@dataclass(frozen=True)
class Patient:
    """Sizes in mm; ``seed`` and ``number`` name the person."""

    seed: int
    number: int
    half_width: float
    half_depth: float
    squareness: float  # exponent of the superellipse
    flat_back: float
    fat: float  # thickness under the skin
    muscle: float
    spine_y: float  # centre of the vertebral bodies
    dome: tuple[float, float]  # top of the right and left diaphragm

    @classmethod
    def draw(cls, seed: int, number: int) -> Patient:
        """The person ``number`` of a seed."""
        random = stream(seed, number, "body")
        half_width = random.uniform(140, 180)
        half_depth = half_width * random.uniform(0.74, 0.85)
        flat_back, fat = random.uniform(1.05, 1.18), random.uniform(7, 26)
        top = random.uniform(56, 68)
        return cls(
            seed=seed,
            number=number,
            half_width=half_width,
            half_depth=half_depth,
            squareness=random.uniform(2.1, 2.6),
            flat_back=flat_back,
            fat=fat,
            muscle=random.uniform(11, 16),
            spine_y=-half_depth / flat_back + random.uniform(62, 70) + 1.15 * fat,
            dome=(top, top - random.uniform(6, 18)),
        )

    def stream(self, name: str) -> np.random.Generator:
        """This person's random numbers for one organ."""
        return stream(self.seed, self.number, name)

    def skin(self, box: Box) -> Array:
        """Depth under the skin."""
        x, y = box.x / self.half_width, box.y / self.half_depth
        y = np.where(y < 0, y * self.flat_back, y)
        n = self.squareness
        ratio = np.maximum((np.abs(x) ** n + np.abs(y) ** n) ** (1 / n), 1e-3)
        depth = 0.93 * np.hypot(box.x, box.y) * (1 / ratio - 1)
        return depth.astype(np.float32) + 3 * Field(self.stream("skin"), 90)(box)

    def wall(self, box: Box) -> tuple[Array, Array]:
        """Thickness of the fat under the skin and of the muscle, at each place.

        Seen from the front: straight muscle, a thin place, the flat muscles of the
        flank (below the ribs), the broad one of the back.
        """
        random = self.stream("wall")
        side = (box.x / self.half_width) ** 2
        rear = np.clip(-box.y / self.half_depth, 0, 1)
        angle = np.arctan2(np.abs(box.x) / self.half_width, box.y / self.half_depth)
        flank = 0.45 / (1 + np.exp((box.z - 10) / 25)) + 0.25
        uneven, lumps = (
            Field(random, (50, 50, 80))(box),
            Field(random, (26, 26, 50))(box),
        )
        muscle = 0.32 + 0.08 * lumps + 0.34 * bump(angle, 0.3, 0.24)
        muscle = muscle + flank * bump(angle, 1.4, 0.5) + 0.55 * bump(angle, 2.15, 0.3)
        whole = self.fat * (0.6 + 0.45 * side + 0.5 * rear + 0.10 * uneven)
        whole = whole + self.muscle * (0.85 + 0.25 * side)
        muscle = np.minimum(self.muscle * muscle, whole - 3)
        return (whole - muscle).astype(np.float32), muscle.astype(np.float32)

    def below_dome(self, box: Box) -> Array:
        """Distance under the diaphragm: two domes, low at the back and at the rim."""
        width, depth = self.half_width, self.half_depth
        heights = []
        for x0, top, drop in ((0.40, self.dome[0], 95), (-0.40, self.dome[1], 90)):
            u = (box.x - x0 * width) / (0.60 * width)
            v = (box.y - 0.16 * depth) / depth
            v = np.where(v > 0, 0.82 * v, v)
            heights.append(top - drop * (u * u + v * v) ** 2.5)
        right, left = heights
        crease = 0.22 * width  # a hard join would cut the liver with a straight edge
        near = np.maximum(crease - np.abs(right - left), 0)
        height = np.maximum(right, left) + near * near / (4 * crease)
        slope_x, slope_y = np.gradient(height[..., 0], box.x.ravel(), box.y.ravel())
        steep = np.sqrt(1 + slope_x**2 + slope_y**2)[..., None]
        height = height.astype(np.float32) + 2.5 * Field(self.stream("dome"), 60)(box)
        return (height - box.z) / steep.astype(np.float32)


def bump(angle: Array, centre: float, width: float) -> Array:
    """A smooth hill of height 1."""
    return np.exp(-(((angle - centre) / width) ** 2))


def stream(seed: int, number: int, name: str) -> np.random.Generator:
    """The random numbers of one part of one patient or scan."""
    return np.random.default_rng([seed, number, crc32(name.encode())])
