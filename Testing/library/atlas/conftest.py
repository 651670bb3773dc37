"""A vertebra that is a formula, so that it can be put on any grid and through any map without being resampled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from SAMSpineLib.atlas.transforms import places_of
from SAMSpineLib.volume import Grid

Points = np.ndarray
# Centre and half axes (RAS mm): body, the arch's two sides, spinous process, the two transverse processes.
PARTS = (
    ((0, 12, 0), (23, 16, 13)),
    ((13, -8, 2), (6, 12, 8)),
    ((-13, -8, 2), (6, 12, 8)),
    ((0, -26, -4), (5, 17, 9)),
    ((28, -10, 3), (14, 5, 5)),
    ((-28, -10, 3), (14, 5, 5)),
)
GRIDS = ("RAS", "LPS", "permuted", "oblique", "thick slices")


def inside(points: Points) -> np.ndarray:
    """Tell which points (..., 3) lie in the vertebra, about its own origin."""
    return np.any([((points - c) ** 2 / np.square(h)).sum(axis=-1) <= 1 for c, h in np.array(PARTS, float)], axis=0)


@dataclass(frozen=True)
class Spot:
    """Where a test's vertebra lies, and the helpers that paint it."""

    centre: Points

    def grid(self, kind: str, spacing: float = 2.0) -> Grid:
        axes = {
            "RAS": np.eye(3),
            "LPS": np.diag([-1.0, -1.0, 1.0]),
            "permuted": np.eye(3)[:, [2, 0, 1]] * [-1, 1, -1],
            "oblique": Rotation.from_euler("xyz", [20, -15, 30], degrees=True).as_matrix(),
            "thick slices": np.eye(3),
        }[kind]
        sizes = np.array([1.0, 1.0, 4.0] if kind == "thick slices" else [spacing] * 3)
        counts = np.ceil(130 / sizes).astype(int)
        matrix = np.eye(4)
        matrix[:3, :3] = axes * sizes
        matrix[:3, 3] = self.centre - matrix[:3, :3] @ ((counts - 1) / 2)
        return Grid((int(counts[2]), int(counts[1]), int(counts[0])), matrix)

    def vertebra(self, grid: Grid, through: Callable[[Points], Points] | None = None) -> np.ndarray:
        """Paint the vertebra (K, J, I) as it looks to someone who sees x where `through(x)` is."""
        places = places_of(grid)
        return inside((places if through is None else through(places)) - self.centre)

    def landmarks(self, grid: Grid, mask: np.ndarray) -> Points:
        """Return about a thousand places (N, 3) within a mask."""
        points = grid.to_ras(np.argwhere(mask)[:, ::-1])
        return points[:: max(1, len(points) // 1000)]


@pytest.fixture(scope="session")
def spot() -> Spot:
    """Give a place far from the origin, as patients have it."""
    return Spot(np.array([31.0, -140.0, 512.0]))


@pytest.fixture(params=GRIDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Give each sort of grid in turn."""
    return request.param


@pytest.fixture(scope="session")
def sphere(spot: Spot) -> tuple[np.ndarray, Grid]:
    """Give what is no vertebra at all."""
    grid = spot.grid("RAS")
    return np.linalg.norm(places_of(grid) - spot.centre, axis=-1) < 24, grid


@pytest.fixture(scope="session")
def waves(spot: Spot) -> Callable[[Points], Points]:
    """Give a smooth map that moves each place by some millimetres, by an amount that changes over centimetres."""

    def move(points: Points) -> Points:
        x, y, z = np.moveaxis((points - spot.centre) / 35, -1, 0)
        return points + 4 * np.stack([np.sin(1.5 * y), np.cos(2 * z) * np.sin(x), np.sin(1.2 * x + y)], axis=-1)

    return move


def matrix_about(centre: Points, linear: np.ndarray, shift: Points) -> np.ndarray:
    """Return the matrix (4, 4) that does `linear` about a centre and then moves."""
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = centre - linear @ centre + shift
    return matrix


@pytest.fixture(scope="session")
def turned(spot: Spot) -> np.ndarray:
    """Give a rigid matrix: 25 degrees about an oblique axis, and into another patient's place."""
    turn = Rotation.from_rotvec(np.radians(25) * np.array([2, -1, 2]) / 3).as_matrix()
    return matrix_about(spot.centre, turn, np.array([60.0, -35.0, 110.0]))


@pytest.fixture(scope="session")
def stretched(spot: Spot) -> np.ndarray:
    """Give an affine matrix: larger, flatter, sheared and turned a little."""
    turn = Rotation.from_euler("xyz", [12, -6, 8], degrees=True).as_matrix()
    linear = turn @ np.array([[1.2, 0.1, 0.0], [0.0, 0.9, 0.1], [0.0, 0.0, 1.1]])
    return matrix_about(spot.centre, linear, np.array([-20.0, 15.0, 30.0]))
