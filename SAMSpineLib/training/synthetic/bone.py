"""The skeleton on a grid: which voxel is which bone, and how dense it is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from SAMSpineLib.training.synthetic.anatomy import Subject
from SAMSpineLib.training.synthetic.canvas import FAR, Canvas, Region
from SAMSpineLib.training.synthetic.fields import smooth_field
from SAMSpineLib.training.synthetic.morphometry import LevelShape
from SAMSpineLib.training.synthetic.primitives import Array, Points, Strut, smooth_max
from SAMSpineLib.training.synthetic.ribs import add_pelvis, add_ribs, add_skull
from SAMSpineLib.training.synthetic.sacrum_shape import (
    coccyx_distance,
    coccyx_place,
    sacral_canal_distance,
    sacral_scars,
)
from SAMSpineLib.training.synthetic.settings import CANAL, COCCYX, CORD, SACRUM
from SAMSpineLib.training.synthetic.spine_curve import Pose
from SAMSpineLib.training.synthetic.vertebra_shape import Box, bounds, canal_centre, vertebra_distance
from SAMSpineLib.volume import Grid

RIB, PELVIS, SKULL = 40, 50, 60
Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Skeleton:
    """Bones on a grid.

    Attributes:
        grid: The lattice (RAS mm).
        distance: Signed distance (K, J, I) to the nearest bone's surface (mm), joints kept open.
        owner: Number of that bone: a label value, or RIB, PELVIS, SKULL.
        labels: The truth to be learnt (uint8).
        canal: Signed distance to the canal (mm).
        cord: Signed distance to the cord (mm).
        plate: How near (0..1) an endplate is.
        arch: 1 behind a body, where compact bone is thicker, 0 in it.
        relief: Local change of spongy bone (HU).
        metal: Signed distance to screws (mm).
        warp: Displacement (3, K, J, I) mm used, or None.
    """

    grid: Grid
    distance: Array
    owner: Labels
    labels: Labels
    canal: Array
    cord: Array
    plate: Array
    arch: Array
    relief: Array
    metal: Array
    warp: Array | None


def build_skeleton(rng: np.random.Generator, subject: Subject, grid: Grid, *, clean: bool) -> Skeleton:
    """Place all bones of the subject that touch the grid."""
    warp = _draw_warp(rng, grid, clean=clean)
    canvas = Canvas(grid, warp)
    plate, arch = np.zeros((2, *grid.shape), dtype=np.float32)
    for v, pose in zip(subject.levels, subject.poses, strict=True):
        region = canvas.add(v.label, pose, bounds(v), partial(vertebra_distance, v))
        if region is not None and v.label not in (1, SACRUM):
            _mark_regions(plate, arch, canvas, region, v, pose)
    _add_coccyx(canvas, subject)
    add_ribs(rng, canvas, subject, RIB, usual=clean)
    add_pelvis(rng, canvas, subject, PELVIS)
    add_skull(canvas, subject, SKULL)
    canal, cord = _canal_and_cord(canvas, subject)
    relief = _sacral_relief(canvas, subject)
    distance = canvas.separated(_joint_gap(rng, subject, grid, clean=clean))
    if not clean:
        distance = distance + np.float32(rng.uniform(0.1, 0.45)) * smooth_field(rng, grid.shape, grid.spacing, 5.0)
    distance = smooth_max(distance, -(canal + 0.5), 1.0)
    labels = np.where((distance < 0) & (canvas.owner <= 28), canvas.owner, 0).astype(np.uint8)
    _label_discs(canvas, subject, distance, labels)
    _label_canal(labels, canal, cord)
    return Skeleton(
        grid, distance, canvas.owner, labels, canal, cord, plate, arch, relief, _screws(canvas, subject), warp
    )


def _joint_gap(rng: np.random.Generator, subject: Subject, grid: Grid, *, clean: bool) -> Array | float:
    if clean:
        return subject.gap
    gap = subject.gap + 0.5 * smooth_field(rng, grid.shape, grid.spacing, 12.0)
    return np.asarray(np.maximum(gap, 0.15), dtype=np.float32)


def _draw_warp(rng: np.random.Generator, grid: Grid, *, clean: bool) -> Array | None:
    if clean:
        return None
    slow, quick = rng.uniform(0.4, 1.6), rng.uniform(0.2, 0.6)
    parts = [
        slow * smooth_field(rng, grid.shape, grid.spacing, 28.0)
        + quick * smooth_field(rng, grid.shape, grid.spacing, 11.0)
        for _ in range(3)
    ]
    return np.stack(parts).astype(np.float32)


def _sacral_relief(canvas: Canvas, subject: Subject) -> Array:
    relief = np.zeros(canvas.grid.shape, dtype=np.float32)
    v, pose = subject.levels[-1], subject.poses[-1]
    region = canvas.region(pose, bounds(v))
    if region is not None:
        x, y, z = canvas.points(pose, region)
        relief[region] = sacral_scars(v, (np.abs(x), y, z)) * (canvas.owner[region] == v.label)
    return relief


def _mark_regions(plate: Array, arch: Array, canvas: Canvas, region: Region, v: LevelShape, pose: Pose) -> None:
    x, y, z = canvas.points(pose, region)
    near = np.clip(1.6 - np.abs(np.abs(z) - v.height / 2 + 0.8) / 1.5, 0, 1)
    inside = (np.abs(x) < v.width / 2 + 2) & (np.abs(y) < v.depth / 2 + 2)
    plate[region] = np.maximum(plate[region], near * inside)
    behind = np.clip((v.back + 3 - y) / 6, 0, 1)
    own = canvas.owner[region] == v.label
    arch[region] = np.where(own, behind, arch[region])


def _add_coccyx(canvas: Canvas, subject: Subject) -> None:
    v, pose = subject.levels[-1], subject.poses[-1]
    start = Pose(pose.to_patient(coccyx_place(v)), pose.axes)
    canvas.add(COCCYX, start, ((-16.0, -20.0, -40.0), (16.0, 25.0, 10.0)), _coccyx)


def _coccyx(points: Points) -> Array:
    return coccyx_distance((np.abs(points[0]), points[1], points[2]))


def _canal_and_cord(canvas: Canvas, subject: Subject) -> tuple[Array, Array]:
    """Return the distances (mm) to the canal, C1 to S4, and to the cord, which ends at L1."""
    canal = np.full(canvas.grid.shape, FAR, dtype=np.float32)
    cord = canal.copy()
    pairs = list(zip(subject.levels, subject.poses, strict=True))
    for (upper, high), (lower, low) in zip(pairs[:-1], pairs[1:], strict=True):
        start, end = high.to_patient((0, canal_centre(upper), 0)), low.to_patient((0, canal_centre(lower), 0))
        pose = Pose(start, high.axes)
        x, y, z = (float(c) for c in (end - start) @ high.axes)
        tube = Strut(
            (0, 0, 0),
            (x, y, z),
            (0, 1, 0),
            (upper.canal_width / 2, lower.canal_width / 2),
            (upper.canal_depth / 2, lower.canal_depth / 2),
        )
        reach = ((-25.0, -25.0, z - 16), (25.0, 25.0, 14.0))
        _deepen(canvas, canal, pose, reach, tube)
        if upper.label <= 19:
            wide, thin = (6.6, 3.8) if upper.label < 8 else (4.6, 3.7) if upper.label < 18 else (4.8, 4.2)
            end_factor = 0.35 if upper.label == 19 else 1.0
            taper = ((wide, wide * end_factor), (thin, thin * end_factor))
            marrow = Strut((0, 0, 0), (x, y, z), (0, 1, 0), *taper)
            _deepen(canvas, cord, pose, reach, marrow)
    v, pose = pairs[-1]
    region = canvas.region(pose, bounds(v))
    if region is not None:
        px, py, pz = canvas.points(pose, region)
        canal[region] = np.minimum(canal[region], sacral_canal_distance(v, (np.abs(px), py, pz)))
    return canal, cord


def _deepen(canvas: Canvas, field: Array, pose: Pose, box: Box, strut: Strut) -> None:
    region = canvas.region(pose, box)
    if region is not None:
        field[region] = np.minimum(field[region], strut.distance(canvas.points(pose, region)))


def _label_discs(canvas: Canvas, subject: Subject, distance: Array, labels: Labels) -> None:
    """Fill the room between neighbouring endplates."""
    pairs = list(zip(subject.levels, subject.poses, strict=True))
    for (upper, high), (lower, low) in zip(pairs[1:-1], pairs[2:], strict=True):
        bottom, top = high.to_patient((0, 0, -upper.height / 2)), low.to_patient((0, 0, lower.height / 2))
        pose = Pose((bottom + top) / 2, high.axes + low.axes)
        axes, _ = np.linalg.qr(pose.axes)
        axes = axes * np.sign(np.sum(axes * pose.axes, axis=0))
        pose = Pose(pose.centre, axes)
        a, b = (upper.width + lower.width) / 4 + 0.5, (upper.depth + lower.depth) / 4 + 0.5
        tall = upper.disc / 2 + 5
        region = canvas.region(pose, ((-a - 2, -b - 2, -tall), (a + 2, b + 2, tall)))
        if region is None:
            continue
        x, y, z = canvas.points(pose, region)
        q = (np.abs(x) / a) ** 2.3 + (np.abs(y) / b) ** 2.3
        free = (q < 1) & (distance[region] >= 0) & (np.abs(z) < upper.disc / 2 + 4) & (canvas.second[region] < 14)
        view = labels[region]
        view[free & (view == 0)] = 100 + upper.label


def _label_canal(labels: Labels, canal: Array, cord: Array) -> None:
    labels[(canal < 0) & (labels == 0)] = CANAL
    labels[(cord < 0) & (labels == CANAL)] = CORD


def _screws(canvas: Canvas, subject: Subject) -> Array:
    metal = np.full(canvas.grid.shape, FAR, dtype=np.float32)
    for v, pose in zip(subject.levels, subject.poses, strict=True):
        if v.label not in subject.screws:
            continue
        x = v.canal_width / 2 + v.pedicle_width / 2
        z = v.height / 2 - v.pedicle_height / 2
        region = canvas.region(pose, ((-x - 20, v.back - 40, -20), (x + 20, v.depth, 20)))
        if region is None:
            continue
        px, py, pz = canvas.points(pose, region)
        folded = (np.abs(px), py, pz)
        shaft = Strut((x + 3, v.back - 24, z), (x * 0.5, v.depth * 0.2, z - 2), (1, 0, 0), (2.8, 2.8), (2.8, 2.8))
        head = Strut((x + 3, v.back - 27, z - 5), (x + 3, v.back - 27, z + 5), (1, 0, 0), (5.5, 5.5), (5.5, 5.5))
        metal[region] = np.minimum(metal[region], np.minimum(shaft.distance(folded), head.distance(folded)))
    return metal


def paint_bones(
    rng: np.random.Generator, subject: Subject, skeleton: Skeleton, soft: Array, organs: Labels
) -> tuple[Array, Labels]:
    """Lay bone over the soft tissue; return Hounsfield units (float32) and the extras' labels."""
    shape, spacing = skeleton.grid.shape, skeleton.grid.spacing
    size = np.float32(np.cbrt(np.prod(spacing)))
    uneven = smooth_field(rng, shape, spacing, 9.0)
    usual = subject.shell * (0.5 + 0.9 * skeleton.arch) * (1 + 0.35 * uneven)
    shell = np.maximum(usual + 0.4 * skeleton.plate, 0.25).astype(np.float32)
    bone = np.clip(0.5 - skeleton.distance / size, 0, 1)
    inner = np.clip(0.5 - (skeleton.distance + shell) / size, 0, 1)
    spongy = _spongy(rng, subject, skeleton)
    compact = np.float32(subject.cortical) + 120 * uneven
    value = soft * (1 - bone) + compact * (bone - inner) + spongy * inner
    steel = np.clip(0.5 - skeleton.metal / size, 0, 1)
    value = value * (1 - steel) + np.float32(6000.0) * steel
    extras = np.where(
        skeleton.distance < 0,
        np.select([skeleton.owner == RIB, skeleton.owner == PELVIS, skeleton.owner == SKULL], [1, 2, 12], 0),
        organs,
    )
    extras[skeleton.metal < 0] = 13
    return value.astype(np.float32), extras.astype(np.uint8)


def _spongy(rng: np.random.Generator, subject: Subject, skeleton: Skeleton) -> Array:
    """Return the density of spongy bone (HU): the subject's mean, patchy, denser in the arch."""
    shape, spacing = skeleton.grid.shape, skeleton.grid.spacing
    rough = subject.grain * max(10.0, 0.18 * subject.trabecular)
    field = subject.trabecular + rough * smooth_field(rng, shape, spacing, 14.0)
    field += 0.9 * rough * smooth_field(rng, shape, spacing, 3.0)
    for label, change in subject.marrow.items():
        field[skeleton.owner == label] += change
    for label in subject.cement:
        blob = smooth_field(rng, shape, spacing, 12.0) > 0.3
        field[(skeleton.owner == label) & blob & (skeleton.distance < -3)] = 1800.0
    return np.asarray(field + subject.dense_arch * skeleton.arch + skeleton.relief, dtype=np.float32)
