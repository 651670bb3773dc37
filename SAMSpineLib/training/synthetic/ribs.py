"""Bones beside the spine that must not be taken for it: ribs, hip bones, the skull's base."""

from __future__ import annotations

import numpy as np

from SAMSpineLib.training.synthetic.anatomy import Subject
from SAMSpineLib.training.synthetic.canvas import Canvas
from SAMSpineLib.training.synthetic.morphometry import LevelShape
from SAMSpineLib.training.synthetic.primitives import Array, Points, Strut, ellipsoid_distance, smooth_max
from SAMSpineLib.training.synthetic.settings import SACRUM
from SAMSpineLib.training.synthetic.spine_curve import Pose

C7, T12, L1, T13 = 7, 19, 20, 28
# Reach to the side, to the front and fall (mm) of the ribs' arches, T1 to T11
REACH = (58, 78, 92, 104, 112, 118, 122, 125, 126, 122, 112)
# How thick the last ribs are against the others.
CALIBRE = {10: 0.95, 11: 0.8, 12: 0.62, 13: 0.55}
# The floating ribs fall by this much (mm) for each mm that they go outwards beyond the tubercle.
STEEP = {11: 0.45, 12: 0.75, 13: 0.5}
FREE_RIB = 110.0
# The last ribs meet their vertebra this much (mm) lower than the others do, at the root of the arch.
LOW = {11: 5.0, 12: 9.0, 13: 9.0}


def rib_path(v: LevelShape, number: int, length: float) -> list[tuple[float, float, float]]:
    """Return the right rib's middle line in its vertebra's frame: head, neck, tubercle, angle, arch (mm).

    The twelfth rib has no arch: it goes outwards and down, and ends in the flank, `FREE_RIB` mm beyond its angle.
    """
    top, y0, half = v.height / 2 - LOW.get(number, 0.0), v.back, v.width / 2
    tip = max(v.span / 2, half + 14)
    head_z = top + 1.0 if 2 <= number <= 10 else top - 5.0
    path = [
        (half + 3.0, y0 + 4.0, head_z),
        (half + 9.0, y0 - 4.0, head_z - 1.0),
        (tip + 2.0, y0 - 12.0, top - 3.0),
        (tip + 14.0, y0 - 22.0, top - 10.0),
    ]
    steep = STEEP.get(number, 0.0)
    if number >= 12:
        out, back = tip + 14, y0 - 22
        far = [FREE_RIB * length * share for share in (0.45, 0.9)]
        return path + [(out + 0.8 * way, back + 0.15 * way, top - 10 - steep * 0.8 * way) for way in far]
    reach = REACH[number - 1] * length
    for angle in (-50, -25, 0, 25, 50):
        a = np.radians(angle)
        side, front = reach * np.cos(a), 0.62 * reach * (np.sin(a) + 0.95) + y0 - 22
        fall = 24 + 26 * (np.sin(a) + 0.77) + steep * max(side - tip - 14, 0.0)
        path.append((float(side), float(front), float(top - fall)))
    return path


def add_ribs(rng: np.random.Generator, canvas: Canvas, subject: Subject, number: int, *, usual: bool) -> None:
    """Let all ribs compete on the canvas under one number."""
    length = 1.0 if usual else float(rng.uniform(0.85, 1.2))
    own = rng.spawn(1)[0]  # the rest of the subject stays as it was before ribs differed
    floating = 0.6 if usual else float(own.uniform(0.25, 1.0))  # some twelfth ribs are as long as a finger, some a hand
    calibre = 1.0 if usual else float(own.uniform(0.75, 1.1))
    lumbar = (not usual) and rng.random() < 0.04
    for v, pose in zip(subject.levels, subject.poses, strict=True):
        order = _order(v.label, lumbar=lumbar)
        if order is None:
            continue
        path = rib_path(v, order, length * (floating if order >= 12 else 1.0))
        thick = calibre * CALIBRE.get(order, 1.0)
        for side in (1.0, -1.0):
            turned = [np.array(p) * (side, 1, 1) + (0.0 if usual else rng.normal(0, 0.8, 3)) for p in path]
            for n, (a, b) in enumerate(zip(turned[:-1], turned[1:], strict=True)):
                tall = (5.0, 4.0)[n == 1] if n < 2 else 6.0
                _add_piece(canvas, number, pose, (a, b), (thick * tall, thick * (6.0 if n else 4.2)), 3.4 * thick)


def _order(label: int, *, lumbar: bool) -> int | None:
    """Return which rib a vertebra bears, 1 to 13; None for those without. `lumbar`: this person's L1 bears one."""
    if label == T13 or (lumbar and label == L1):
        return 13
    return label - C7 if C7 < label <= T12 else None


def _add_piece(
    canvas: Canvas,
    number: int,
    pose: Pose,
    ends: tuple[np.ndarray, np.ndarray],
    tall: tuple[float, float],
    wide: float,
) -> None:
    a, b = ends
    along = b - a
    outward = np.array([-along[1], along[0], 0.0]) if abs(a[0]) < 60 else np.array([a[0], 0.0, 0.0])
    strut = Strut(tuple(a), tuple(b), tuple(outward), tall, (wide, wide))
    low, high = np.minimum(a, b) - 12, np.maximum(a, b) + 12
    canvas.add(number, pose, (tuple(low), tuple(high)), strut.distance)


def add_pelvis(rng: np.random.Generator, canvas: Canvas, subject: Subject, number: int) -> None:
    """Let the two iliac wings compete; they touch the sacrum's sides at the joint."""
    v, pose = subject.levels[-1], subject.poses[-1]
    if v.label != SACRUM:
        return
    flare = float(rng.uniform(0.9, 1.1))

    def wings(points: Points) -> Array:
        return iliac_distance(v, points, flare)

    canvas.add(number, pose, ((-160.0, -80.0, -120.0), (160.0, 110.0, 75.0)), wings)


def iliac_distance(v: LevelShape, points: Points, flare: float) -> Array:
    """Return the distance (mm) to both iliac bones in the frame of S1: two curved, flaring plates."""
    x, y, z = np.abs(points[0]), points[1], points[2]
    # A plate: x as a function of y and z, thick near the joint, cut by an ellipse in the (y, z) plane.
    middle = (
        v.span / 2
        + 5
        + flare * (0.45 * np.maximum(y + 25, 0) + 0.28 * np.maximum(z + 15, 0))
        - 0.18 * np.maximum(-25 - y, 0)
    )
    thick = 5.0 + 6.0 * np.exp(-(((y + 28) / 18) ** 2) - ((z + 18) / 30) ** 2)
    plate = ((np.abs(x - middle) - thick) * 0.85).astype(np.float32)
    outline = ((np.sqrt(((y - 12) / 74) ** 2 + ((z + 8) / 58) ** 2) - 1) * 58).astype(np.float32)
    return smooth_max(plate, outline, 8.0)


def add_skull(canvas: Canvas, subject: Subject, number: int) -> None:
    """Let a shell with a hole, the occiput, compete above C1."""
    if subject.levels[0].label != 1:
        return
    pose = Pose(subject.poses[0].to_patient((0.0, 0.0, 75.0)), subject.poses[0].axes)

    def shell(points: Points) -> Array:
        ball = ellipsoid_distance(points, (1 / 70, 1 / 90, 1 / 62))
        hole = np.sqrt(points[0] ** 2 + (points[1] + 16) ** 2) - 16
        below = np.where(points[2] < 0, hole, 50.0).astype(np.float32)
        return smooth_max((np.abs(ball) - 3.5).astype(np.float32), -below, 2.0)

    canvas.add(number, pose, ((-90.0, -110.0, -70.0), (90.0, 110.0, 100.0)), shell)
