"""Smooth random fields, the raw material of irregular shapes, textures and noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


def bspline_weights(count: int, step: float) -> Array:
    """Return the (count, knots) weights of a uniform cubic B-spline whose knots lie `1 / step` samples apart."""
    place = np.arange(count) * step
    first = np.floor(place).astype(int)
    u = place - first
    weights = np.zeros((count, int(first[-1]) + 4), dtype=np.float32)
    rows = np.arange(count)
    basis = ((1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3)
    for offset, value in enumerate(basis):
        weights[rows, first + offset] = value / 6.0
    return weights


def smooth_field(
    rng: np.random.Generator, shape: tuple[int, int, int], spacing: npt.ArrayLike, wavelength: float
) -> Array:
    """Return a smooth random field of the shape (K, J, I), zero mean and about unit deviation.

    Args:
        rng: Source of chance.
        shape: Voxels along K, J, I.
        spacing: Voxel size along I, J, K (mm).
        wavelength: Distance of the knots (mm); features are about twice as wide.
    """
    steps = np.asarray(spacing, dtype=float)[::-1] / wavelength
    matrices = [bspline_weights(n, min(step, 1.0)) for n, step in zip(shape, steps, strict=True)]
    field = rng.standard_normal([m.shape[1] for m in matrices]).astype(np.float32)
    for matrix in matrices:
        field = np.tensordot(field, matrix, axes=(0, 1))
    # A cubic B-spline of white noise has a mean variance of 0.479 per axis.
    return np.ascontiguousarray(field) / np.float32(0.479**1.5)
