"""A grid of voxels in mm, and the few shapes that a body is painted from.

A shape is its approximate signed distance in mm on the grid, positive inside, so that
shapes are joined with a maximum, cut with a minimum and displaced by adding a smooth
random field. Everything is a function of the place in mm, never of the grid: two scans
of one patient see the same body.

Axes are RAS: x to the patient's right, y to the front, z to the head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray
Point = tuple[float, float, float]

FAR = -40.0  # mm; "well outside" where a distance was not computed
WORLD = np.array([[-270, 270], [-230, 230], [-190, 150]])  # mm; fields are drawn here


@dataclass(frozen=True)
class Box:
    """Part of a voxel grid: coordinates (mm) ready to broadcast to ``(X, Y, Z)``."""

    x: Array  # (X, 1, 1)
    y: Array  # (1, Y, 1)
    z: Array  # (1, 1, Z)
    place: tuple[slice, slice, slice]  # in the box that it was cut from

    @classmethod
    def grid(cls, x: Array, y: Array, z: Array) -> Box:
        """The whole grid, from its three rows of coordinates."""
        x, y, z = (np.asarray(c, np.float32) for c in (x, y, z))
        everything = (slice(None),) * 3
        return cls(x[:, None, None], y[None, :, None], z[None, None, :], everything)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along the three axes."""
        return self.x.size, self.y.size, self.z.size

    def cut(self, low: Point, high: Point) -> Box:
        """The voxels between two corners; may be empty."""
        coordinates = (self.x, self.y, self.z)
        place = tuple(
            slice(*np.searchsorted(c.ravel(), (a, b)))
            for c, a, b in zip(coordinates, low, high, strict=True)
        )
        x, y, z = place
        return Box(self.x[x], self.y[:, y], self.z[:, :, z], place)

    def around(self, centre: Point, reach: float | Point) -> Box:
        """The voxels at most ``reach`` from a point along each axis."""
        centre, reach = np.asarray(centre), np.asarray(reach)
        return self.cut(centre - reach, centre + reach)


class Field:
    """A smooth random function of place: mean 0, spread 1, features of ``scale`` mm.

    Cubic B-splines on a lattice of random numbers, applied axis by axis. Fine fields
    repeat after ``PERIOD`` lattice points, far beyond what the eye connects.
    """

    SPREAD = 0.4793**1.5  # of the spline sum, averaged over the lattice cell
    PERIOD = 48

    def __init__(self, random: np.random.Generator, scale: float | Point) -> None:
        self.scale = np.broadcast_to(np.asarray(scale, float), 3)
        whole = np.ceil(np.ptp(WORLD, axis=1) / self.scale).astype(int) + 4
        shape = np.minimum(whole, self.PERIOD)
        self.lattice = random.standard_normal(shape, np.float32) / self.SPREAD

    def __call__(self, box: Box) -> Array:
        """The field on the voxels of a box, ``(X, Y, Z)`` float32."""
        values = self.lattice
        for axis, row in ((2, box.z), (1, box.y), (0, box.x)):  # cheap ones first
            values = self._along(values, axis, row.ravel())
        return values

    def _along(self, values: Array, axis: int, row: Array) -> Array:
        place = (row - WORLD[axis, 0]) / self.scale[axis]
        cell = np.floor(place).astype(int)
        t = (place - cell).astype(np.float32)
        weights = (
            (1 - t) ** 3 / 6,
            (3 * t**3 - 6 * t**2 + 4) / 6,
            (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6,
            t**3 / 6,
        )
        shape = [1, 1, 1]
        shape[axis] = -1
        total = np.float32(0)
        for k, weight in enumerate(weights):
            total = total + values.take(cell + k, axis, mode="wrap") * weight.reshape(
                shape
            )
        return total


def ellipsoid(
    box: Box, centre: Point, axes: Point, turn: float = 0.0, lean: float = 0.0
) -> Array:
    """An ellipsoid, turned by ``turn`` radians about z, its axis leaning to the right.

    ``lean`` is in mm to the right for each mm to the head.
    """
    z = box.z - centre[2]
    x, y = box.x - centre[0] - lean * z, box.y - centre[1]
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    u, v = c * x + s * y, c * y - s * x
    a, b, c = (np.float32(1 / axis) for axis in axes)
    ratio = np.sqrt((u * a) ** 2 + (v * b) ** 2 + (z * c) ** 2)
    slope = np.sqrt((u * a * a) ** 2 + (v * b * b) ** 2 + (z * c * c) ** 2)
    return ratio * (1 - ratio) / np.maximum(slope, np.float32(1e-3))


def capsule(box: Box, start: Point, end: Point, r0: float, r1: float) -> Array:
    """A round rod between two points whose radius goes from ``r0`` to ``r1``."""
    sx, sy, sz = (np.float32(s) for s in start)
    vx, vy, vz = (np.float32(e - s) for s, e in zip(start, end, strict=True))
    x, y, z = box.x - sx, box.y - sy, box.z - sz
    squared = max(vx * vx + vy * vy + vz * vz, np.float32(1e-6))
    along = x * vx + y * vy + z * vz
    t = np.clip(along / squared, 0, 1)
    away = (x * x + y * y) + z * z + t * (t * squared - 2 * along)
    return np.float32(r0) + t * np.float32(r1 - r0) - np.sqrt(np.maximum(away, 0))


def tube(box: Box, points: Array, radii: Array, margin: float = 4.0) -> Array:
    """Rods through ``points`` ``(n, 3)``; right up to ``margin`` mm outside."""
    segments = np.hstack([points[:-1], points[1:], radii[:-1, None], radii[1:, None]])
    return rods(box, segments, margin)


def rods(box: Box, segments: Array, margin: float = 4.0) -> Array:
    """The union of rods ``(n, 8)``: start, end, two radii; each in its own box."""
    distance = np.full(box.shape, FAR, np.float32)
    for segment in np.asarray(segments, np.float64):
        start, end, r0, r1 = segment[:3], segment[3:6], segment[6], segment[7]
        reach = max(r0, r1) + margin
        part = box.cut(np.minimum(start, end) - reach, np.maximum(start, end) + reach)
        if 0 in part.shape:
            continue
        view = distance[part.place]
        np.maximum(view, capsule(part, start, end, r0, r1), out=view)
    return distance


def join(a: Array, b: Array, width: float) -> Array:
    """The union of two shapes, its crease filled over ``width`` mm."""
    near = np.maximum(width - np.abs(a - b), 0)
    return np.maximum(a, b) + near * near / np.float32(4 * width)


def coverage(distance: Array, width: float) -> Array:
    """The share of a voxel that lies inside, for an edge ``width`` mm wide."""
    return np.clip(distance * np.float32(1 / width) + np.float32(0.5), 0, 1)
