"""Warping: masks land where the transform says, to less than a voxel, and values of labels stay what they are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from SAMSpineLib.atlas.transforms import SpatialTransform, places_of
from SAMSpineLib.atlas.warping import signed_distance, warp_labels, warp_mask
from SAMSpineLib.errors import VolumeError
from SAMSpineLib.volume import Grid

NOWHERE = SpatialTransform.from_matrix(np.eye(4))


def ball(grid: Grid, centre: np.ndarray, radius: float = 18.0) -> np.ndarray:
    return np.linalg.norm(places_of(grid) - centre, axis=-1) < radius


def middle(probability: np.ndarray, grid: Grid) -> np.ndarray:
    return np.average(places_of(grid).reshape(-1, 3), axis=0, weights=probability.ravel())


def moved_by(*shift: float) -> SpatialTransform:
    matrix = np.eye(4)
    matrix[:3, 3] = shift
    return SpatialTransform.from_matrix(matrix)


def test_a_mask_warped_nowhere_is_the_same_mask(spot, kind: str) -> None:
    grid = spot.grid(kind)
    mask = spot.vertebra(grid)
    np.testing.assert_array_equal(warp_mask(mask, grid, NOWHERE, grid) > 0.5, mask)


def test_what_lies_at_x_is_taken_from_map_of_x_on_any_grid(spot, kind: str) -> None:
    target, grid = spot.grid(kind), spot.grid("RAS", 2.5)
    warped = warp_mask(ball(grid, spot.centre), grid, moved_by(7.3, -4.1, 2.6), target)
    np.testing.assert_allclose(middle(warped, target), spot.centre - [7.3, -4.1, 2.6], atol=0.15)
    assert warped.sum() * target.voxel_volume == pytest.approx(4 / 3 * np.pi * 18**3, rel=0.04)


def test_a_shift_of_half_a_voxel_is_half_a_voxel() -> None:
    grid = Grid((12, 12, 12), np.eye(4))
    block = np.zeros(grid.shape, bool)
    block[4:8, 4:8, 4:8] = True
    warped = warp_mask(block, grid, moved_by(0.5, 0.0, 0.0), grid)
    np.testing.assert_allclose(warped[6, 6, :], [0, 0, 0, 0.5, 1, 1, 1, 0.5, 0, 0, 0, 0], atol=0.01)


def test_a_mask_that_touches_the_border_of_its_grid_ends_half_a_voxel_beyond() -> None:
    small, wide = Grid((4, 4, 4), np.eye(4)), Grid((8, 8, 8), np.array([*np.eye(4)[:, :3].T, [-2, -2, -2, 1.0]]).T)
    warped = warp_mask(np.ones(small.shape, bool), small, NOWHERE, wide)
    np.testing.assert_array_equal(np.flatnonzero(warped[4, 4] > 0.5), [2, 3, 4, 5])


def test_between_thick_slices_the_shape_is_interpolated_not_its_values(spot) -> None:
    thick, fine = spot.grid("thick slices"), spot.grid("RAS", 1.0)
    warped = warp_mask(ball(thick, spot.centre), thick, NOWHERE, fine) > 0.5
    truth = ball(fine, spot.centre)
    assert 2 * (warped & truth).sum() / (warped.sum() + truth.sum()) > 0.96
    steps = np.abs(np.diff(warped.sum(axis=(1, 2)).astype(float))).max()
    assert steps < np.abs(np.diff(ball(thick, spot.centre).sum(axis=(1, 2)).astype(float))).max() / 1.4


def test_a_coarse_target_sees_the_whole_soft_edge() -> None:
    grid, coarse = Grid((20, 20, 20), np.eye(4)), Grid((5, 5, 5), np.diag([4.0, 4.0, 4.0, 1.0]))
    block = np.zeros(grid.shape, bool)
    block[6:14, 6:14, 6:14] = True
    warped = warp_mask(block, grid, NOWHERE, coarse)
    # The block ends at 5.5 and 13.5, a millimetre and a half from the centres at 4 and 12.
    assert warped[2, 2, 1] == pytest.approx(0.5 - 1.5 / 4, abs=0.15)
    assert warped[2, 2, 3] == pytest.approx(0.5 + 1.5 / 4, abs=0.15)
    assert warped[2, 2, 0] == 0


def test_a_target_far_away_or_an_empty_mask_gives_nothing(spot) -> None:
    grid = spot.grid("RAS", 4.0)
    assert not warp_mask(spot.vertebra(grid), grid, moved_by(900.0, 0.0, 0.0), grid).any()
    assert not warp_mask(np.zeros(grid.shape), grid, NOWHERE, grid).any()


def test_between_two_and_four_there_is_no_three(spot, waves: Callable) -> None:
    grid, target = spot.grid("LPS"), spot.grid("oblique")
    x = places_of(grid)[..., 0] - spot.centre[0]
    labels = np.where(ball(grid, spot.centre, 40.0), np.where(x < 0, 2, 4), 0).astype(np.uint8)

    class Wavy(SpatialTransform):
        def map(self, points: np.ndarray) -> np.ndarray:
            return waves(np.asarray(points))

    warped = warp_labels(labels, grid, Wavy(NOWHERE.lps), target)
    assert set(warped) == {2, 4}
    both = warped[2] + warped[4]
    side = waves(places_of(target))[..., 0] - spot.centre[0]
    assert warped[4][side < -4].max() == 0
    assert warped[2][side > 4].max() == 0
    within = np.linalg.norm(waves(places_of(target)) - spot.centre, axis=-1) < 35
    np.testing.assert_allclose(both[within], 1.0, atol=0.3)
    assert np.abs(both[within] - 1.0).mean() < 0.03


def test_labels_that_touch_warp_like_masks_of_their_own(spot) -> None:
    grid = spot.grid("permuted", 3.0)
    labels = np.zeros(grid.shape, np.int16)
    labels[5:15], labels[15:25] = 20, 300
    warped = warp_labels(labels, grid, moved_by(1.0, 2.0, 3.0), grid)
    for value in (20, 300):
        np.testing.assert_array_equal(warped[value], warp_mask(labels == value, grid, moved_by(1.0, 2.0, 3.0), grid))


def test_labels_that_are_no_whole_numbers_and_foreign_grids_are_refused() -> None:
    grid = Grid((4, 4, 4), np.eye(4))
    with pytest.raises(VolumeError, match="whole numbers"):
        warp_labels(np.ones(grid.shape), grid, NOWHERE, grid)
    with pytest.raises(VolumeError, match="grid's shape"):
        warp_mask(np.ones((4, 4, 5)), grid, NOWHERE, grid)


def test_a_signed_distance_is_millimetres_to_the_surface_and_reads_partial_voxels() -> None:
    share = np.zeros((5, 5, 20))
    share[:, :, :10] = 1.0
    np.testing.assert_allclose(signed_distance(share, (2.0, 2.0, 2.0))[2, 2], 2.0 * (9.5 - np.arange(20)), atol=1e-5)
    share[:, :, 10] = 0.25
    np.testing.assert_allclose(signed_distance(share, (2.0, 2.0, 2.0))[2, 2, [0, 9, 10, 12]], [19.5, 1.5, -1, -5])
    with pytest.raises(VolumeError, match="an inside and an outside"):
        signed_distance(np.ones((3, 3, 3)), (1.0, 1.0, 1.0))
