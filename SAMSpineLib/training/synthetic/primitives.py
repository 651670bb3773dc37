"""Signed distances (mm, negative inside) of the few solids of which a skeleton is put together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Points = tuple[Array, Array, Array]
Vector = tuple[float, float, float]


def smooth_min(a: Array, b: Array, k: float) -> Array:
    """Unite two solids with a fillet of about `k` mm."""
    h = np.maximum(k - np.abs(a - b), 0.0) / k
    return np.asarray(np.minimum(a, b) - h * h * (k * 0.25), dtype=np.float32)


def smooth_max(a: Array, b: Array, k: float) -> Array:
    """Intersect two solids with an edge rounded over about `k` mm."""
    h = np.maximum(k - np.abs(a - b), 0.0) / k
    return np.asarray(np.maximum(a, b) + h * h * (k * 0.25), dtype=np.float32)


@dataclass(frozen=True)
class Strut:
    """An elliptic, tapering rod from `start` to `end` (local mm), of which most of a vertebra's processes are made.

    Attributes:
        start: Centre of the first end.
        end: Centre of the second end.
        normal: Direction in which the rod is `thin`; the other way across it is `wide`.
        wide: Half widths (mm) at start and end.
        thin: Half thicknesses (mm) at start and end.
        fillet: Blend with what it is joined to (mm).
    """

    start: Vector
    end: Vector
    normal: Vector
    wide: tuple[float, float]
    thin: tuple[float, float]
    fillet: float = 3.0

    def frame(self) -> tuple[npt.NDArray[np.float64], float]:
        """Return the rows (along, wide, thin) of the rod's own axes and its length (mm)."""
        along = np.subtract(self.end, self.start).astype(float)
        length = float(np.linalg.norm(along)) + 1e-6
        along = along / length
        thin = np.array(self.normal, dtype=float)
        thin -= along * (thin @ along)
        thin /= np.linalg.norm(thin) + 1e-9
        return np.stack([along, np.cross(thin, along), thin]), length

    def distance(self, points: Points) -> Array:
        """Return the (first order) signed distance of the points (mm)."""
        axes, length = self.frame()
        x, y, z = (p - np.float32(s) for p, s in zip(points, self.start, strict=True))
        along, wide, thin = (x * np.float32(r[0]) + y * np.float32(r[1]) + z * np.float32(r[2]) for r in axes)
        t = np.clip(along / np.float32(length), 0.0, 1.0)
        beyond = along - t * np.float32(length)
        inverse_wide = 1.0 / (np.float32(self.wide[0]) + t * np.float32(self.wide[1] - self.wide[0]))
        inverse_thin = 1.0 / (np.float32(self.thin[0]) + t * np.float32(self.thin[1] - self.thin[0]))
        return ellipsoid_distance((wide, thin, beyond), (inverse_wide, inverse_thin, inverse_thin))


def ellipsoid_distance(p: Points, inverse: tuple[Array | float, Array | float, Array | float]) -> Array:
    """Return the first order distance to an ellipsoid at the origin with the inverse half axes given (1/mm)."""
    a, b, c = (v * i for v, i in zip(p, inverse, strict=True))
    k0 = np.sqrt(a * a + b * b + c * c)
    a, b, c = (v * i for v, i in zip((a, b, c), inverse, strict=True))
    k1 = np.sqrt(a * a + b * b + c * c)
    return np.asarray(k0 * (k0 - 1.0) / np.maximum(k1, np.float32(1e-6)), dtype=np.float32)


def unite(start: Array, struts: list[Strut], points: Points) -> Array:
    """Join rods to a solid, each with its own fillet."""
    for strut in struts:
        start = smooth_min(start, strut.distance(points), strut.fillet)
    return start


def cut(solid: Array, tool: Array, k: float = 1.5) -> Array:
    """Take a solid out of another."""
    return smooth_max(solid, -tool, k)
