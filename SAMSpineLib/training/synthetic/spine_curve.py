"""Where each vertebra stands: a chain from the sacrum upwards with lordosis, kyphosis and scoliosis.

The mean tilt of each vertebra in the sagittal plane follows the usual standing and supine alignment (sacral slope about
40 degrees, lumbar lordosis 45-60, thoracic kyphosis 30-45, cervical lordosis 10-25: Roussouly P, Nnadi C. Sagittal
plane deformity. Eur Spine J 2010;19(11):1824-1836), each part being scaled by a factor of its own per subject.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from SAMSpineLib.training.synthetic.morphometry import LevelShape

Matrix = npt.NDArray[np.float64]

# Usual tilt of the vertebra's up axis towards the front (degrees).
TILT: dict[int, float] = {
    1: -4,
    2: 0,
    3: 3,
    4: 7,
    5: 11,
    6: 15,
    7: 20,
    8: 24,
    9: 24,
    10: 22,
    11: 19,
    12: 15,
    13: 10,
    14: 5,
    15: 0,
    16: -4,
    17: -7,
    18: -9,
    19: -11,
    28: -11,
    20: -11,
    21: -8,
    22: -2,
    23: 8,
    24: 22,
    25: 26,
    26: 40,
}


@dataclass(frozen=True, eq=False)
class Pose:
    """A vertebra's place in the patient: `centre` (3,) in mm and `axes` (3, 3), whose columns are its x, y and z."""

    centre: Matrix
    axes: Matrix

    def to_patient(self, points: npt.ArrayLike) -> Matrix:
        """Map local points (..., 3) to the patient (mm)."""
        return np.asarray(points, dtype=float) @ self.axes.T + self.centre


def rotation(tilt: float, lean: float, twist: float) -> Matrix:
    """Return the axes of a vertebra tilted forward, leaning right and twisted about its axis (degrees)."""
    a, b, c = np.radians([tilt, lean, twist])
    forward = np.array([[1, 0, 0], [0, np.cos(a), np.sin(a)], [0, -np.sin(a), np.cos(a)]])
    sideways = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    around = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return np.asarray(sideways @ forward @ around)


def draw_angles(rng: np.random.Generator, count: int, labels: list[int], *, usual: bool) -> Matrix:
    """Draw tilt, lean and twist (count, 3) in degrees for the levels from the top."""
    tilt = np.array([TILT[label] for label in labels], dtype=float)
    angles = np.zeros((count, 3))
    if usual:
        angles[:, 0] = tilt
        return angles
    lumbar, thoracic, neck = rng.uniform(0.55, 1.25), rng.uniform(0.5, 1.6), rng.uniform(-0.4, 1.4)
    region = np.array([neck if v <= 7 else thoracic if v <= 19 or v == 28 else lumbar for v in labels])
    # Factors change smoothly between the regions so that no joint kinks.
    region = np.convolve(np.pad(region, 2, mode="edge"), np.ones(5) / 5, mode="valid")
    angles[:, 0] = tilt * region + rng.normal(0, 1.0, count)
    size = float(rng.choice([2.0, 5.0, 14.0, 28.0], p=[0.45, 0.35, 0.14, 0.06])) * rng.uniform(0.3, 1.0)
    wave = np.arange(count) / rng.uniform(2.0, 4.5) + rng.uniform(0, 2 * np.pi)
    angles[:, 1] = size * np.sin(wave) + rng.normal(0, 0.7, count)
    angles[:, 2] = rng.uniform(0.2, 0.8) * size * np.cos(wave) * rng.choice([-1.0, 1.0]) + rng.normal(0, 1.0, count)
    angles[-1, 1:] *= 0.3
    return angles


def chain(rng: np.random.Generator, levels: list[LevelShape], *, usual: bool) -> list[Pose]:
    """Stack the vertebrae from the sacrum up and return their poses, top first; L3 or the middle lies near zero."""
    angles = draw_angles(rng, len(levels), [v.label for v in levels], usual=usual)
    axes = [rotation(*a) for a in angles]
    poses = [Pose(np.zeros(3), axes[-1])]
    for index in range(len(levels) - 2, -1, -1):
        level, below, low = levels[index], levels[index + 1], poses[0]
        between = axes[index][:, 2] + low.axes[:, 2]
        between = between / np.linalg.norm(between)
        shift = rng.normal(0, 0.0 if usual else 0.5, 3) * (1, 1, 0)
        centre = low.centre + low.axes[:, 2] * below.height / 2 + between * level.disc
        # The bodies' fronts are flush rather than their middles; half way is what is seen.
        centre = centre + axes[index] @ shift + axes[index][:, 2] * level.height / 2
        poses.insert(0, Pose(centre, axes[index]))
    return poses
