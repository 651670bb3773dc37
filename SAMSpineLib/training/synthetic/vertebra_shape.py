"""Signed distance of one vertebra in its own frame: body, pedicles, laminae and seven processes.

Local frame (mm): origin in the middle of the body, x right, y anterior, z up. Shapes are symmetric in x (the caller
bends space a little, so that no vertebra stays so). Form by region after Gray's Anatomy and the morphometry cited in
`morphometry`: lumbar hatchet, thoracic shingle, cervical pillar, C1 ring, C2 dens, fused sacrum.
"""

from __future__ import annotations

import numpy as np

from SAMSpineLib.training.synthetic.morphometry import LevelShape
from SAMSpineLib.training.synthetic.primitives import (
    Array,
    Points,
    Strut,
    cut,
    smooth_max,
    smooth_min,
    unite,
)
from SAMSpineLib.training.synthetic.sacrum_shape import coccyx_distance, sacrum_distance
from SAMSpineLib.training.synthetic.settings import COCCYX, SACRUM

Box = tuple[tuple[float, float, float], tuple[float, float, float]]


def body_distance(v: LevelShape, points: Points) -> Array:
    """Return the distance to the body alone: a waisted, kidney-shaped drum with hollow endplates."""
    x, y, z = points
    a, b, h = v.width / 2, v.depth / 2, v.height / 2
    ratio = np.clip(z / h, -1.0, 1.0)
    # Rims stand out: the waist is flat in the middle and flares within some millimetres of the endplates.
    scale = 1.0 / (1.0 - v.waist * (1.0 - np.abs(ratio) ** 3))
    px = np.abs(x) * (scale / a)
    hollow = 1.0 - 0.15 * np.exp(-((x / (0.42 * a)) ** 2))
    py = np.abs(y) * (scale / b) / np.where(y < 0, hollow, 1.0)
    q = (px**2.3 + py**2.3) ** np.float32(1 / 2.3)
    side = np.sqrt(x * x + y * y) * (1.0 - 1.0 / np.maximum(q, 0.05))
    dish = np.maximum(1.0 - q * q, 0.0)
    top = h * (1.0 + v.wedge * y / b) - v.concavity[0] * dish
    bottom = h * (1.0 + v.wedge * y / b) - v.concavity[1] * dish
    flat = np.where(z > 0, z - top, -z - bottom)
    if v.spurs > 0:
        side = side - v.spurs * np.clip(np.abs(ratio) * 3.0 - 2.0, 0, 1) * np.clip(0.3 + y / b, 0, 1)
    return smooth_max(side, flat, 2.0).astype(np.float32)


def canal_distance(v: LevelShape, points: Points) -> Array:
    """Return the distance to the canal as a straight elliptic tube along the vertebra's own axis."""
    x, y, _ = points
    a, b = v.canal_width / 2, v.canal_depth / 2
    q = np.sqrt((x / a) ** 2 + ((y - canal_centre(v)) / b) ** 2)
    return np.asarray((q - 1.0) * min(a, b), dtype=np.float32)


def canal_centre(v: LevelShape) -> float:
    """Return the local y (mm) of the canal's middle."""
    if v.label == 1:
        return -16.0 * v.canal_depth / 30
    return v.back - v.canal_depth / 2 + 0.8


def lumbar_struts(v: LevelShape) -> list[Strut]:
    """Return the processes of a lumbar vertebra."""
    h, y0, g, t = v.height / 2, v.back, v.canal_depth, v.bulk
    pw, ph = v.pedicle_width / 2, v.pedicle_height / 2
    px, pz = v.canal_width / 2 + pw * 0.85, h - ph - 1.0
    lx = v.canal_width / 2 - 1.0
    arch, sink = y0 - g - 2.0, -0.42 * h
    tip = (0.0, arch - v.spinous, sink - 2 - v.spinous * float(np.tan(np.radians(v.slope))) + v.lift)
    (out, low), f = v.slip, v.facet
    return [
        Strut((px, y0 + 7, pz), (px, y0 - 8, pz - 0.5), (1, 0, 0), (ph, ph), (pw, pw * 0.95), 4),
        Strut((px, y0 - 8, pz - 1), (lx, arch + 4, -4), (1, 0.6, 0), (7.5, 8.0), (4.0 * t, 3.6 * t), 4),
        Strut(
            (lx, arch + 5, sink + 1),
            (1.5, arch - 1, sink - 1),
            (0.55, 1, 0.25),
            (0.74 * h, 0.85 * h),
            (3.6 * t, 3.9 * t),
            3,
        ),
        Strut((0, arch, sink - 1 + 0.5 * v.lift), tip, (1, 0, 0), (0.68 * h, 0.92 * h), (3.4 * t, 4.4 * t), 4),
        Strut((px, y0 - 8, pz - 1), (v.span / 2 - 3, y0 - 15, pz + 0.5), (0, 1, 0), (6.5, 4.3), (4.3 * t, 2.6 * t), 4),
        Strut(
            (px + 1, y0 - 10, pz),
            (px + 3.0 + out, y0 - 11.5, h + 7 + low),
            (0.75, 0.65, 0),
            (6.0 * f, 6.5 * f),
            (4.6 * t * f, 3.9 * t * f),
            4,
        ),
        Strut(
            (px + 3.5, y0 - 14, h * 0.75),
            (px + 3.5, y0 - 15.5, h + 1),
            (1, 1, 0),
            (3 * f, 2.5 * f),
            (3 * f, 2.5 * f),
            3,
        ),
        Strut(
            (lx - 0.5, arch + 3.5, -0.5 * h),
            (lx + 1.5 + out, arch + 2.5, -h - 11.5 + low),
            (0.75, 0.65, 0),
            (6.5 * f, 6.0 * f),
            (4.4 * t * f, 3.9 * t * f),
            4,
        ),
    ]


def thoracic_struts(v: LevelShape) -> list[Strut]:
    """Return the processes of a thoracic vertebra; the last ones turn lumbar by degrees."""
    h, y0, g, t = v.height / 2, v.back, v.canal_depth, v.bulk
    pw, ph = v.pedicle_width / 2, v.pedicle_height / 2
    px, pz = v.canal_width / 2 + pw * 0.9, h - ph * 0.9
    arch = y0 - g - 1.2
    slope = np.radians(v.slope)
    tip = (0.0, arch - 2 - v.spinous * np.cos(slope), -5 - v.spinous * np.sin(slope) + v.lift)
    late = {17: 0.3, 18: 0.6, 19: 1.0, 28: 1.0}.get(v.label, 0.0)
    inferior = (0.7 * late, 1.0, 0.0)
    out, low = v.slip
    reach = max(v.span / 2 - 5, px + 4)
    lx = v.canal_width / 2 + 0.5
    return [
        Strut((px, y0 + 5, pz), (px + 0.5, y0 - 8, pz - 0.5), (1, 0, 0), (ph, ph), (pw, pw), 3.5),
        Strut((px, y0 - 8, pz - 1), (lx + 1, y0 - 12, -0.2 * h), (0.5, 1, 0), (6.0, 6.5), (3.6 * t, 3.2 * t), 3),
        Strut(
            (lx, y0 - 0.68 * g, -0.25 * h),
            (1, arch - 0.5, -0.55 * h),
            (0.55, 1, 0.28),
            (0.98 * h, 1.0 * h),
            (2.7 * t, 3.0 * t),
            2.5,
        ),
        Strut(
            (0, arch - 0.5, -0.5 * h + 0.4 * v.lift),
            tip,
            (1, 0, 0),
            (0.62 * h, 0.42 * h + late * 3),
            (2.9 * t, 2.7 * t + late),
            4,
        ),
        Strut(
            (lx + 2, y0 - 11, 0.1 * h),
            (reach, y0 - 17 - 4 * (1 - late), 0.35 * h),
            (0.4, 1, 0),
            (5.6, 5.2 - late),
            (4.4 * t, 4.6 * t),
            3.5,
        ),
        Strut(
            (lx + 0.5, y0 - 10, 1),
            (lx + out, y0 - 11 - 0.1 * g, h + 5 + low),
            (0.35 * late, 1, 0.15),
            (5.0, 5.0),
            (3.0 * t, 2.3 * t),
            3,
        ),
        Strut(
            (lx - 0.5, y0 - 13, -0.4 * h),
            (lx - 1 + out, y0 - 0.85 * g, -h - 6.5 - 4 * late + low),
            inferior,
            (5.6, 5.2),
            (2.9 * t, 2.5 * t + late),
            3,
        ),
    ]


def cervical_struts(v: LevelShape) -> list[Strut]:
    """Return the processes of C2 to C7: uncinate, pillar, transverse bars around the foramen, bifid spine."""
    h, y0, g, t = v.height / 2, v.back, v.canal_depth, v.bulk
    a, out = v.width / 2, v.slip[0]
    px = v.canal_width / 2 + 5.0 + 0.5 * out
    arch, slope = y0 - g - 1.0, np.radians(v.slope)
    run, drop = v.spinous * np.cos(slope), v.spinous * np.sin(slope)
    split = 4.0 if v.label < 7 else 0.8
    wing = v.span / 2 - 3
    struts = [
        Strut((a - 2, -1, 0), (px - 1, y0 - 4, 0), (0.7, -1, 0), (3.6, 3.8), (2.8 * t, 2.8 * t), 2.5),
        Strut(
            (px, y0 - 4.5, h + 2.5),
            (px, y0 - 9, -h - 3.5),
            (0.2, 1, 0.5),
            (5.4 * v.facet, 5.6 * v.facet),
            (4.3 * t, 4.3 * t),
            3,
        ),
        Strut((px - 1, y0 - 9, -1), (1, arch - 0.5, -2), (0.6, 1, 0.2), (0.82 * h, 0.85 * h), (2.3 * t, 2.5 * t), 2.5),
        Strut((0, arch, -2), (0, arch - 0.7 * run, -2 - 0.7 * drop), (1, 0, 0), (4.2, 3.6), (2.8 * t, 2.8 * t), 3),
        Strut(
            (0.5, arch - 0.65 * run, -2 - 0.65 * drop),
            (split, arch - run, -2.5 - drop),
            (1, 0, 0),
            (3.4, 3.0),
            (2.4 * t, 2.4 * t),
            2.5,
        ),
        Strut((px - 1, y0 - 2, -1), (wing, y0 + 2.5, -2), (0, 1, 0.3), (2.6, 2.4), (2.2 * t, 2.0 * t), 2),
    ]
    if v.label >= 3:
        struts.append(Strut((a - 2, 2, -1), (wing - 2, 2.5, -1.5), (0, 1, 0), (2.6, 2.4), (2.0 * t, 1.8 * t), 2))
        struts.append(Strut((a - 1, -4, h - 1), (a - 0.5, 2, h + 1.2), (1, 0, 0), (2.5, 2.2), (1.6, 1.4), 2))
    else:
        struts.append(Strut((0, 1, h - 4), (0, -0.5, h + 15), (0, 1, 0), (5.0, 4.8), (5.2, 4.6), 4))
        struts.append(Strut((9, -2, h - 5), (13, -4, h - 1), (-0.5, 0, 1), (6.5, 7.0), (4.5, 3.8), 4))
    return struts


def atlas_distance(v: LevelShape, points: Points) -> Array:
    """Return the distance to C1: two lateral masses, two arches and the transverse processes, no body."""
    half, t = v.canal_width / 2, v.bulk
    back = canal_centre(v) - v.canal_depth / 2
    struts = [
        Strut((half + 5, -4, 5), (half + 4, -5, -6), (1, 0.4, 0), (7.5, 7.5), (5.5 * t, 5.5 * t), 3),
        Strut((half + 2, 1, 0), (0, 11, 0), (0.6, 1, 0), (4.0, 5.0), (2.8 * t, 3.0 * t), 3),
        Strut((half + 3, -11, 0), (half - 3, back + 5, 0), (1, 0.5, 0), (4.0, 3.8), (2.6 * t, 2.6 * t), 3),
        Strut((half - 3, back + 5, 0), (0, back - 2, 0), (0.5, 1, 0), (3.8, 4.2), (2.5 * t, 3.0 * t), 3),
        Strut((half + 7, -5, 0), (v.span / 2 - 4, -8, -1), (0, 0, 1), (5.0, 3.8), (3.6 * t, 3.2 * t), 3),
    ]
    return unite(struts[0].distance(points), struts[1:], points)


def vertebra_distance(v: LevelShape, points: Points) -> Array:
    """Return the signed distance (mm) of a whole vertebra, or the sacrum, with its canal cut open."""
    x = points[0]
    folded = (np.abs(x) * np.where(x > 0, 1 - v.sides, 1 + v.sides).astype(np.float32), points[1], points[2])
    if v.label == COCCYX:
        return coccyx_distance(folded)
    if v.label == SACRUM:
        return sacrum_distance(v, folded)
    if v.label == 1:
        return atlas_distance(v, folded)
    body = body_distance(v, points)
    solid = unite(body, _struts(v), folded)
    opened = cut(solid, canal_distance(v, points))
    # The body's back wall bounds the canal, not the other way round.
    return smooth_min(opened, body, 0.5)


def _struts(v: LevelShape) -> list[Strut]:
    if v.label <= 7:
        return cervical_struts(v)
    return thoracic_struts(v) if v.label <= 19 or v.label == 28 else lumbar_struts(v)


def bounds(v: LevelShape) -> Box:
    """Return the local box (low, high) that holds the vertebra with some room (mm)."""
    if v.label == SACRUM:
        return (-v.span / 2 - 8, -75.0, -125.0), (v.span / 2 + 8, 45.0, v.height / 2 + 22)
    if v.label == COCCYX:
        return (-16.0, -20.0, -40.0), (16.0, 25.0, 10.0)
    side = max(v.span, v.width) / 2 + 7
    slope = np.radians(v.slope)
    back = v.back - v.canal_depth - v.spinous * float(np.cos(slope)) - 12
    down = v.height / 2 + max(20.0, v.spinous * float(np.sin(slope)) + 8)
    up = v.height / 2 + (26.0 if v.label == 2 else 18.0)
    if v.label == 1:
        return (-side, -v.canal_depth - 18, -20.0), (side, 22.0, 20.0)
    return (-side, back, -down), (side, v.depth / 2 + 9, up)
