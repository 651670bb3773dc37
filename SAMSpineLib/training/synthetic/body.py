"""Everything around the bones: skin, fat, muscle, vessels, organs, lungs, air and the table, in Hounsfield units."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from SAMSpineLib.training.synthetic.anatomy import Subject
from SAMSpineLib.training.synthetic.bone import Skeleton
from SAMSpineLib.training.synthetic.fields import smooth_field
from SAMSpineLib.training.synthetic.settings import CANAL

Array = npt.NDArray[np.float32] | npt.NDArray[np.float64]
AORTA, CAVA, KIDNEY, LIVER, SPLEEN, LUNG, PSOAS, BACK, BOWEL = 3, 4, 5, 6, 7, 8, 9, 10, 11


@dataclass(eq=False)
class _Scene:
    """Soft tissue while it is being painted: coordinates against the spine, values and organ numbers."""

    x: Array
    y: Array
    z: Array
    value: Array
    organs: npt.NDArray[np.uint8]
    texture: Array
    size: float
    marks: dict[str, float] = field(default_factory=dict)
    step: float = 0.5
    _heights: npt.NDArray[np.float64] = field(init=False)
    _rank: npt.NDArray[np.intp] = field(init=False)

    def __post_init__(self) -> None:
        """Sort the voxels into thin layers, so that a figure along the body is looked up, not computed, per voxel."""
        low, high = float(self.z.min()), float(self.z.max())
        self._heights = np.arange(low, high + 2 * self.step, self.step)
        self._rank = ((self.z - np.float32(low)) / np.float32(self.step) + np.float32(0.5)).astype(np.intp)

    def along(self, heights: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> Array:
        """Interpolate a figure known at some heights (mm) to every voxel."""
        return np.interp(self._heights, heights, values).astype(np.float32)[self._rank]

    def fill(self, inside: Array, hounsfield: float | Array, organ: int = 0) -> None:
        """Paint where `inside` (a distance in mm) is negative, with a soft edge one voxel wide."""
        weight = np.clip(0.5 - inside / self.size, 0, 1)
        self.value += weight * (hounsfield - self.value)
        if organ:
            self.organs[inside < 0] = organ

    def blob(
        self, centre: tuple[float, float, float], radii: tuple[float, float, float], hu: float, organ: int
    ) -> None:
        """Paint an ellipsoid in the spine's coordinates (mm)."""
        near = np.abs(self.z - centre[2]) < radii[2]
        if not near.any():
            return
        q = ((self.x - centre[0]) / radii[0]) ** 2 + ((self.y - centre[1]) / radii[1]) ** 2
        q += ((self.z - centre[2]) / radii[2]) ** 2
        self.fill((np.sqrt(q) - 1 + 0.12 * self.texture) * min(radii), hu + 6 * self.texture, organ)

    def tube(
        self,
        x: Array | float,
        y: Array | float,
        radii: tuple[Array | float, Array | float],
        hu: float | Array,
        organ: int,
    ) -> None:
        """Paint an elliptic tube along the spine; arrays may vary with z."""
        rx, ry = radii
        q = np.sqrt(((self.x - x) / rx) ** 2 + ((self.y - y) / ry) ** 2)
        self.fill((q - 1 + 0.06 * self.texture) * np.minimum(rx, ry), hu, organ)


def paint_body(
    rng: np.random.Generator, subject: Subject, skeleton: Skeleton, *, clean: bool
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Return Hounsfield units (float32) of all that is not bone, and organ numbers (uint8), both (K, J, I)."""
    scene = _set_scene(rng, subject, skeleton, clean=clean)
    fat = float(rng.normal(-100, 8))
    thin = 15.0 if clean else float(rng.gamma(2.5, 8.0) + 3)
    outline = _outline(rng, scene, thin)
    muscle = float(rng.normal(55, 7))
    scene.fill(outline, fat + 8 * scene.texture)
    scene.fill(outline + thin, muscle)
    inner = outline + thin + float(rng.uniform(9, 18))
    front = -(scene.y + 30 - 0.12 * np.abs(scene.x) + 5 * scene.texture)
    scene.fill(np.maximum(inner, front), fat + 10 * scene.texture)
    _abdomen(rng, scene, inner)
    _chest(rng, scene, inner)
    _muscles(rng, scene, muscle, fat, clean=clean)
    _vessels(rng, scene)
    _neck_airway(rng, scene)
    _canal(rng, scene, skeleton)
    _discs(rng, scene, skeleton)
    if not clean:
        scene.value += np.where(
            scene.value > -300, 7 * smooth_field(rng, skeleton.grid.shape, skeleton.grid.spacing, 4.0), 0
        )
    _table(rng, scene)
    return scene.value.astype(np.float32), scene.organs


def _set_scene(rng: np.random.Generator, subject: Subject, skeleton: Skeleton, *, clean: bool) -> _Scene:
    grid = skeleton.grid
    k, j, i = np.ogrid[tuple(slice(0, n) for n in grid.shape)]
    matrix = grid.ijk_to_ras
    x, y, z = (
        (i * matrix[r, 0] + j * matrix[r, 1] + k * matrix[r, 2] + matrix[r, 3]).astype(np.float32) for r in range(3)
    )
    if skeleton.warp is not None:
        x, y, z = x + 2 * skeleton.warp[0], y + 2 * skeleton.warp[1], z + 2 * skeleton.warp[2]
    line = subject.line()
    # Breath, build and posture move the organs by up to two levels: they must not tell which level a vertebra is.
    own = rng.spawn(1)[0]
    sinks = 0.0 if clean else float(own.normal(0, 18))
    height = {v.label: float(p.centre[2]) for v, p in zip(subject.levels, subject.poses, strict=True)}
    marks = {
        "chin": height[3],
        "shoulder": height[8],
        "dome": height[17] - float(rng.uniform(-15, 20)) - (0.0 if clean else float(own.uniform(-35, 45))),
        "waist": height[22] - sinks,
        "crest": height[23],
        "pelvis": height[26],
        "kidney": height[20] - sinks,
        "t4": height[11],
    }
    texture = smooth_field(rng, grid.shape, grid.spacing, 22.0)
    scene = _Scene(
        x,
        y,
        z,
        np.full(grid.shape, -1000.0, dtype=np.float32),
        np.zeros(grid.shape, dtype=np.uint8),
        texture,
        float(np.cbrt(grid.voxel_volume)),
        marks,
    )
    scene.x = x - scene.along(line[:, 2], line[:, 0])
    scene.y = y - scene.along(line[:, 2], line[:, 1])
    return scene


def _along(scene: _Scene, values: dict[str, float]) -> Array:
    """Interpolate a figure along the body between named heights."""
    pairs = sorted((scene.marks[name], value) for name, value in values.items())
    table = np.array(pairs, dtype=float)
    return scene.along(table[:, 0], table[:, 1])


def _outline(rng: np.random.Generator, scene: _Scene, thin: float) -> Array:
    """Return the signed distance (mm) to the skin."""
    stout = float(rng.uniform(0.88, 1.15))
    half = stout * _along(scene, {"chin": 58, "shoulder": 165, "dome": 150, "waist": 135, "pelvis": 165}) + thin * 0.6
    back = _along(scene, {"chin": 62, "shoulder": 62, "dome": 62, "waist": 72, "pelvis": 78}) + thin
    front = stout * _along(scene, {"chin": 60, "shoulder": 75, "dome": 150, "waist": 125, "pelvis": 140}) + thin
    middle, depth = (front - back) / 2, (front + back) / 2
    q = (np.abs(scene.x / half) ** 2.5 + np.abs((scene.y - middle) / depth) ** 2.5) ** np.float32(0.4)
    return np.asarray((q - 1) * np.minimum(half, depth), dtype=np.float32)


def _abdomen(rng: np.random.Generator, scene: _Scene, inner: Array) -> None:
    """Paint liver, spleen, kidneys and bowel below the diaphragm."""
    below = scene.z - scene.marks["dome"]
    contrast = float(rng.choice([0.0, 1.0])) * float(rng.uniform(20, 120))
    belly = np.maximum(inner, below)
    liver = np.maximum(belly + 3, np.maximum(-(scene.x + 10 - 0.5 * (scene.y - 40)), scene.marks["waist"] - scene.z))
    shift = float(rng.uniform(-15, 15))
    liver = np.maximum(liver, -(scene.y + 22 + shift * 0.4))
    scene.fill(liver, float(rng.normal(55, 9)) + 0.5 * contrast + 4 * scene.texture, LIVER)
    z0 = scene.marks["dome"]
    scene.blob((-105, 5, z0 - 45), (32, 42, 50), 48 + 0.5 * contrast, SPLEEN)
    _bowel(rng, scene, np.maximum(belly + 5, scene.z - scene.marks["kidney"] + 20))
    for side in (1, -1):
        centre = (side * float(rng.uniform(52, 66)), float(rng.uniform(-12, 8)), scene.marks["kidney"] - 15 - 12 * side)
        scene.blob(centre, (27, 27, 55), 34 + 1.2 * contrast, KIDNEY)


def _bowel(rng: np.random.Generator, scene: _Scene, room: Array) -> None:
    loops = smooth_field(rng, scene.z.shape, np.full(3, scene.size), 18.0)
    content = smooth_field(rng, scene.z.shape, np.full(3, scene.size), 30.0)
    front = np.maximum(room, -(scene.y - 28))
    wall = np.maximum(front, (np.float32(-0.1) - loops) * 9)
    scene.fill(wall, 35 + 25 * content, BOWEL)
    gas = np.maximum(wall + 4, (np.float32(0.9) - content) * 9)
    scene.fill(gas, -950.0)


def _chest(rng: np.random.Generator, scene: _Scene, inner: Array) -> None:
    """Paint lungs above the diaphragm, with vessels, around the mediastinum."""
    above = scene.marks["dome"] + 25 - 0.25 * np.abs(scene.y - 20) - scene.z
    top = scene.z - scene.marks["shoulder"] - 8
    heart = 1.0 / (1.0 + np.exp((scene.z - scene.marks["t4"]) / 20))
    side = 28 + 30 * heart * np.clip((scene.y - 30) / 30, 0, 1)
    # Lungs reach back into the gutters beside the bodies.
    side = np.where(scene.y < 18, 21 + 0.3 * np.maximum(scene.y, 0), side)
    lung = np.maximum(np.maximum(inner + 2, -(scene.y + 34)), np.maximum(above, top))
    lung = np.maximum(lung, side - np.abs(scene.x) + 2 * scene.texture)
    cavity = np.maximum(np.maximum(inner, above), top)
    scene.fill(np.maximum(cavity, -(scene.y - 14)), 25 + 45 * heart)
    vessel = smooth_field(rng, scene.z.shape, np.full(3, scene.size), 6.0)
    scene.fill(lung, np.where(vessel > 1.9, 20.0, -860.0 + 25 * vessel + 40 * scene.texture), LUNG)


def _muscles(rng: np.random.Generator, scene: _Scene, muscle: float, fat: float, *, clean: bool) -> None:
    """Paint the paraspinal muscles and the psoas with streaks of fat."""
    waste = 0.0 if clean else float(rng.beta(1.2, 3.0))
    streaks = smooth_field(rng, scene.z.shape, np.full(3, scene.size), 4.5) + 0.6 * scene.texture
    tissue = np.where(streaks > 2.2 - 2.4 * waste, fat, muscle + 5 * streaks)
    bulk = float(rng.uniform(0.85, 1.2))
    for side in (1, -1):
        wide = bulk * _along(scene, {"chin": 18, "shoulder": 20, "dome": 27, "waist": 31, "pelvis": 30})
        tall = bulk * _along(scene, {"chin": 18, "shoulder": 16, "dome": 19, "waist": 25, "pelvis": 18})
        depth = _along(scene, {"chin": -40, "shoulder": -40, "dome": -45, "waist": -46, "pelvis": -52})
        scene.tube(side * wide, depth, (wide, tall), tissue, BACK)
        thick = bulk * _along(scene, {"dome": 1, "kidney": 9, "waist": 18, "pelvis": 22})
        out = _along(scene, {"dome": 24, "kidney": 28, "waist": 36, "pelvis": 50})
        ahead = _along(scene, {"kidney": -4, "waist": -2, "pelvis": 22})
        if float(scene.z.min()) < scene.marks["kidney"] + 10:
            scene.tube(side * out, ahead, (thick, thick * 1.15), muscle + 4 * scene.texture, PSOAS)


def _vessels(rng: np.random.Generator, scene: _Scene) -> None:
    """Paint aorta and vena cava in front of the bodies, with or without contrast medium."""
    agent = float(rng.choice([0.0, 0.0, 1.0])) * float(rng.uniform(60, 320))
    front = _along(scene, {"shoulder": 16, "dome": 22, "waist": 27, "pelvis": 30})
    calibre = float(rng.uniform(8, 13))
    fork = 4.0 + 22.0 / (1 + np.exp(np.clip((scene.z - scene.marks["crest"] + 12) / 6, -30, 30)))
    reach = 1 / (1 + np.exp((scene.z - scene.marks["t4"]) / 4))
    size = np.maximum(calibre * reach * (1 - 0.35 * (fork > 15)), 0.5)
    left = -_along(scene, {"t4": 20, "dome": 16, "waist": 5})
    scene.tube(left - 0.7 * (fork - 4), front + calibre - 1, (size, size), 42 + agent, AORTA)
    low = 1 / (1 + np.exp((scene.z - scene.marks["dome"]) / 6))
    vein = np.maximum(float(rng.uniform(8, 13)) * low, 0.5)
    scene.tube(17 + 0.7 * (fork - 4), front + 6, (vein * 1.15, vein * 0.8), 40 + 0.5 * agent, CAVA)


def _neck_airway(rng: np.random.Generator, scene: _Scene) -> None:
    above = np.clip((scene.z - scene.marks["t4"]) / 10, 0, 1)
    radius = np.maximum(float(rng.uniform(7, 10)) * above, 0.3)
    ahead = _along(scene, {"chin": 20, "shoulder": 27, "t4": 38})
    scene.tube(0.0, ahead, (radius, radius), -990.0, 0)


def _canal(rng: np.random.Generator, scene: _Scene, skeleton: Skeleton) -> None:
    """Paint epidural fat, the dural sac and the cord."""
    scene.fill(skeleton.canal - 1.5, float(rng.uniform(-90, -20)))
    sac = skeleton.canal + np.float32(rng.uniform(0.5, 2.0))
    scene.fill(sac, float(rng.uniform(8, 32)) + 4 * scene.texture)
    scene.fill(skeleton.cord, float(rng.uniform(32, 48)))


def _discs(rng: np.random.Generator, scene: _Scene, skeleton: Skeleton) -> None:
    disc = (skeleton.labels > 100) & (skeleton.labels < CANAL)
    vacuum = float(rng.random()) < 0.1
    value = float(rng.uniform(60, 110)) + 6 * scene.texture
    if vacuum:
        value = np.where(scene.texture > 1.4, -200.0, value)
    scene.value = np.where(disc, value, scene.value).astype(np.float32)


def _table(rng: np.random.Generator, scene: _Scene) -> None:
    """Lay a hollow board under the back."""
    depth = -float(rng.uniform(105, 130)) - scene.y
    board = np.abs(depth - 8) - 8
    free = scene.value < -900
    scene.value[free & (np.abs(board) < 1.5)] = -300.0
