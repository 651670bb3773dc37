"""Signed distance of the sacrum (S1-S5 as one bone) and the coccyx in the frame of S1.

Five shrinking segments on a curve hollow towards the pelvis, wings, a median crest, the canal and four pairs of
foramina; proportions after Cheng JS, Song JK. Anatomy of the sacrum. Neurosurg Focus 2003;15(2):E3.
"""

from __future__ import annotations

import numpy as np

from SAMSpineLib.training.synthetic.morphometry import LevelShape
from SAMSpineLib.training.synthetic.primitives import Array, Points, Strut, smooth_max, smooth_min, unite

# Per segment: y and z of the middle against S1 (parts of the S1 height), half width, half depth, half wing (parts)
CURVE = ((0.0, 0.0), (-0.17, -0.95), (-0.36, -1.78), (-0.44, -2.5), (-0.32, -3.1), (-0.16, -3.5))
HALF_WIDTH = (0.50, 0.38, 0.32, 0.28, 0.22)
HALF_DEPTH = (0.46, 0.36, 0.27, 0.22, 0.17)
WING = (0.94, 0.86, 0.70, 0.52, 0.34)


def _place(v: LevelShape, index: int) -> tuple[float, float]:
    y, z = CURVE[index]
    return y * v.height, z * v.height


def sacrum_struts(v: LevelShape) -> list[Strut]:
    """Return the segments, wings and processes."""
    t, struts = v.bulk, []
    for n in range(5):
        (y, z), (y1, z1) = _place(v, n), _place(v, n + 1)
        wide, deep, wing = HALF_WIDTH[n] * v.width, HALF_DEPTH[n] * v.depth, WING[n] * v.span / 2
        low = (HALF_WIDTH[min(n + 1, 4)] * v.width, HALF_DEPTH[min(n + 1, 4)] * v.depth)
        struts.append(Strut((0, y, z), (0, y1, z1), (0, 1, 0), (wide, low[0]), (deep, low[1]), 4))
        tall = 0.5 * v.height * (1 - 0.08 * n)
        struts.append(
            Strut(
                (0.5 * wide, y - 3, z - 1),
                (wing - 6, y - 9 + 1.5 * n, z - 4),
                (0, 1, 0.1),
                (tall, tall),
                (0.75 * deep, 7.5 - n),
                5,
            )
        )
        if n < 4:
            # The lateral mass runs past the foramina and joins the wings.
            x, x1 = 0.68 * wing, 0.68 * WING[n + 1] * v.span / 2
            struts.append(
                Strut(
                    (x, y - 9, z - 4),
                    (x1, y1 - 8, z1 - 3),
                    (0, 1, 0),
                    (9.5 - n, 8.5 - n),
                    (9.5 - 1.3 * n, 8.2 - 1.3 * n),
                    5,
                )
            )
        gap = v.canal_depth * (1 - 0.14 * n)
        rear = y - 0.8 * deep - gap
        if n < 4:
            struts.append(
                Strut(
                    (0.36 * wing, y - 0.5 * deep - gap * 0.6, z - 3),
                    (1, rear, z - 5),
                    (0.4, 1, 0),
                    (0.46 * v.height, 0.46 * v.height),
                    (3.2 * t, 3.2 * t),
                    4,
                )
            )
            struts.append(Strut((0, rear, z - 4), (0, rear - 6 + n, z - 8), (1, 0, 0), (7 - n, 6 - n), (3.0, 2.6), 3))
    px = v.canal_width / 2 + 5
    back = v.back
    struts.append(
        Strut(
            (px, back - 8, 0), (px + 2.5, back - 10, v.height / 2 + 7), (0.75, 0.65, 0), (7, 6.5), (4.5 * t, 3.8 * t), 4
        )
    )
    return struts


def sacrum_distance(v: LevelShape, folded: Points) -> Array:
    """Return the signed distance (mm) to the sacrum; `folded` holds |x|, y and z in the frame of S1."""
    _, y, z = folded
    struts = sacrum_struts(v)
    solid = unite(struts[0].distance(folded), struts[1:], folded)
    top = z - v.height / 2 - np.where(y > v.back - 2, 0.0, 40.0).astype(np.float32)
    solid = smooth_max(solid, top.astype(np.float32), 2.0)
    tool = sacral_canal_distance(v, folded)
    for n in range(4):
        (y0, z0), (y1, z1) = _place(v, n), _place(v, n + 1)
        x = HALF_WIDTH[n] * v.width * 0.78 + 2
        middle = ((y0 + y1) / 2, (z0 + z1) / 2 - 1)
        size = 5.6 - 0.7 * n
        hole = Strut(
            (x, middle[0] + 22, middle[1] + 2),
            (x + 1, middle[0] - 32, middle[1]),
            (1, 0, 0),
            (size, size * 0.6),
            (size, size * 0.6),
        )
        tool = np.minimum(tool, hole.distance(folded))
    return smooth_max(solid, -tool, 1.5)


def sacral_canal_distance(v: LevelShape, folded: Points) -> Array:
    """Return the signed distance to the sacral canal down to S4."""
    parts = []
    for n in range(4):
        ends = []
        for m in (n, n + 1):
            y, z = _place(v, m)
            depth = HALF_DEPTH[min(m, 4)] * v.depth
            ends.append(
                (0.0, y - depth * 0.9 - v.canal_depth * (1 - 0.14 * m) / 2, z + (8 if n == 0 and m == 0 else 0))
            )
        wide = [v.canal_width / 2 * (0.95 - 0.17 * m) for m in (n, n + 1)]
        thin = [v.canal_depth / 2 * (0.9 - 0.15 * m) for m in (n, n + 1)]
        parts.append(Strut(ends[0], ends[1], (0, 1, 0), (wide[0], wide[1]), (thin[0], thin[1])).distance(folded))
    merged = parts[0]
    for part in parts[1:]:
        merged = smooth_min(merged, part, 2.0)
    return merged


def sacral_scars(v: LevelShape, folded: Points) -> Array:
    """Return how much denser (HU) spongy bone is where the sacrum's segments have fused: dark slits between plates."""
    x, _, z = folded
    relief = np.zeros(x.shape, dtype=np.float32)
    for n in range(3):
        (_, z0), (_, z1) = _place(v, n), _place(v, n + 1)
        off = np.abs(z - (z0 + z1) / 2)
        within = np.clip((HALF_WIDTH[n] * v.width - x) / 4, 0, 1)
        relief += within * (220 * np.exp(-(((off - 3.0) / 1.2) ** 2)) - (130 - 30 * n) * np.exp(-((off / 1.6) ** 2)))
    return relief


def coccyx_place(v: LevelShape) -> tuple[float, float, float]:
    """Return the local point (mm) of S1's frame where the coccyx begins."""
    y, z = _place(v, 5)
    return (0.0, y + 2, z - 5)


def coccyx_distance(folded: Points) -> Array:
    """Return the signed distance (mm) to the coccyx with its origin at its upper end."""
    struts = [
        Strut((0, 0, -4), (0, 2, -9), (0, 1, 0), (9, 7), (4, 3.6), 2),
        Strut((0, 3.5, -13), (0, 7, -19), (0, 1, 0), (5.5, 4.5), (3.4, 3.0), 2),
        Strut((0, 9, -22), (0, 14, -27), (0, 1, 0), (4, 2.8), (2.8, 2.4), 2),
    ]
    return unite(struts[0].distance(folded), struts[1:], folded)
