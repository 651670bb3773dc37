"""Where the scan looks: which levels, how wide, how fine, and which way the axes run."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from SAMSpineLib.errors import GeometryError
from SAMSpineLib.training.synthetic.anatomy import Subject
from SAMSpineLib.training.synthetic.settings import SACRUM, PhantomSettings
from SAMSpineLib.volume import Grid

DIRECTIONS = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}


def axes_of(orientation: str) -> npt.NDArray[np.float64]:
    """Return the (3, 3) matrix whose columns are the directions in which I, J and K grow (RAS).

    Raises:
        GeometryError: if the letters are not one of R/L, one of A/P and one of S/I.
    """
    letters = orientation.upper()
    if len(letters) != 3 or any(sum(c in pair for c in letters) != 1 for pair in ("RL", "AP", "SI")):
        msg = f"An orientation is one letter each of R/L, A/P and S/I, such as 'LPS', got '{orientation}'"
        raise GeometryError(msg)
    return np.array([DIRECTIONS[c] for c in letters], dtype=float).T


def choose_levels(rng: np.random.Generator, subject: Subject, settings: PhantomSettings) -> tuple[int, int]:
    """Return the places in `subject.levels` of the first and last vertebra in view."""
    count = len(subject.levels)
    if settings.levels is not None:
        present = [v.label for v in subject.levels]
        first, last = settings.levels
        if first not in present or last not in present or present.index(first) > present.index(last):
            msg = f"Levels need two label values of this spine, the upper one first, got {settings.levels}"
            raise GeometryError(msg)
        return present.index(first), present.index(last)
    span = int(rng.integers(5, 11))
    # Lumbar scans are the most common, neck scans the rarest.
    part = rng.random()
    last = count - 1 - int(rng.integers(0, 3)) if part < 0.45 else int(rng.integers(5, count))
    return max(0, last - span), last


def draw_spacing(rng: np.random.Generator, settings: PhantomSettings) -> npt.NDArray[np.float64]:
    """Return the voxel size along R, A and S axes of the patient (mm) as asked or as scanners make it."""
    if settings.spacing is not None:
        return np.array(settings.spacing, dtype=float)
    fine = float(rng.uniform(0.6, 1.3))
    return np.array([fine, fine, float(rng.choice([0.8, 1.0, 1.5, 2.0, 3.0]))])


def draw_grid(rng: np.random.Generator, subject: Subject, settings: PhantomSettings) -> Grid:
    """Return the grid of the scan in the patient (RAS mm)."""
    first, last = choose_levels(rng, subject, settings)
    poses, levels = subject.poses[first : last + 1], subject.levels[first : last + 1]
    spacing, axes = draw_spacing(rng, settings), axes_of(settings.orientation)
    high = poses[0].centre[2] + levels[0].height / 2 + settings.margin
    tail = 125.0 if levels[-1].label == SACRUM else levels[-1].height / 2 + 8
    low = poses[-1].centre[2] - tail - settings.margin
    if not settings.clean:
        high, low = high + rng.uniform(-20, 25), low + rng.uniform(-25, 20)
    width = settings.fov if settings.fov is not None else _draw_fov(rng)
    size = np.array([width[0], width[1], high - low])
    along = _limit(np.abs(axes).T @ size, spacing, settings.max_voxels, np.abs(axes[2]).argmax())
    size = np.abs(axes) @ along
    place = np.array([p.centre for p in poses])
    middle = (place.max(axis=0) + place.min(axis=0)) / 2
    # The room in front shrinks first, the processes behind stay in view.
    behind = 118.0 if levels[-1].label == SACRUM else 88.0
    middle = np.array([middle[0], middle[1] + 0.5 * size[1] - behind, (high + low) / 2])
    if not settings.clean:
        middle += rng.uniform(-1, 1, 3) * (0.08 * size[0], 0.06 * size[1], 0)
    turn = Rotation.from_euler("xyz", rng.uniform(-1, 1, 3) * settings.oblique, degrees=True).as_matrix()
    return _grid_about(middle, turn @ axes, spacing, along)


def _draw_fov(rng: np.random.Generator) -> tuple[float, float]:
    side = float(rng.choice([150.0, 190.0, 250.0, 340.0], p=[0.25, 0.35, 0.28, 0.12])) * rng.uniform(0.9, 1.15)
    return side, side * float(rng.uniform(0.85, 1.0))


def _limit(
    size: npt.NDArray[np.float64], spacing: npt.NDArray[np.float64], most: int, long_axis: np.intp
) -> npt.NDArray[np.float64]:
    """Narrow the field across the spine, then along it, until it has at most `most` voxels."""
    size = size.copy()
    across = [n for n in range(3) if n != long_axis]
    excess = float(np.prod(size / spacing)) / most
    if excess > 1:
        size[across] = np.maximum(size[across] / np.sqrt(excess), np.minimum(size[across], 140.0))
    excess = float(np.prod(size / spacing)) / most
    if excess > 1:
        size[long_axis] /= excess
    return size


def _grid_about(
    middle: npt.NDArray[np.float64],
    axes: npt.NDArray[np.float64],
    spacing: npt.NDArray[np.float64],
    size: npt.NDArray[np.float64],
) -> Grid:
    count = np.maximum(np.round(size / spacing).astype(int), 4)
    matrix = np.eye(4)
    matrix[:3, :3] = axes * spacing
    matrix[:3, 3] = middle - matrix[:3, :3] @ ((count - 1) / 2)
    return Grid((int(count[2]), int(count[1]), int(count[0])), matrix)
