"""Drawn lines and outlines as points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from SAMSpineLib.prompts import Ras

Points = npt.NDArray[np.float64]


def along(vertices: Sequence[Ras], step: float) -> Points:
    """Sample a polyline every `step` mm."""
    points = np.array(vertices, dtype=float)
    lines = [points[:1]]
    for start, end in zip(points[:-1], points[1:], strict=True):
        count = max(int(np.ceil(np.linalg.norm(end - start) / step)), 1)
        lines.append(start + (end - start) * (np.arange(1, count + 1) / count)[:, None])
    return np.concatenate(lines)


def within(vertices: Sequence[Ras], step: float) -> Points:
    """Sample the inside of a planar outline every `step` mm; a degenerate outline gives its own vertices."""
    points = np.array(vertices, dtype=float)
    centre = points.mean(axis=0)
    _, _, axes = np.linalg.svd(points - centre)
    flat = (points - centre) @ axes[:2].T
    low, high = flat.min(axis=0), flat.max(axis=0)
    u, v = np.meshgrid(*(np.arange(a + step / 2, b, step) for a, b in zip(low, high, strict=True)))
    candidates = np.stack([u.ravel(), v.ravel()], axis=1)
    inside = candidates[enclosed(candidates, flat)]
    return centre + inside @ axes[:2] if len(inside) else points


def enclosed(points: Points, outline: Points) -> npt.NDArray[np.bool_]:
    """Tell which points (N, 2) a closed outline (M, 2) encloses: those whose ray crosses it an odd number of times."""
    inside = np.zeros(len(points), bool)
    for (x0, y0), (x1, y1) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        spans = (y0 > points[:, 1]) != (y1 > points[:, 1])
        inside ^= spans & (points[:, 0] < (x1 - x0) * (points[:, 1] - y0) / (y1 - y0) + x0)
    return inside
