"""Label maps on other grids."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from SAMSpineLib.evaluation.resample import resample_labels
from SAMSpineLib.volume import Grid


def _ball(grid, centre, radius):
    k, j, i = np.indices(grid.shape)
    distance = np.linalg.norm(grid.to_ras(np.stack([i, j, k], axis=-1)) - np.asarray(centre), axis=-1)
    return (distance <= radius).astype(np.uint8)


def _oblique(angle, spacing, shape, centre):
    c, s = np.cos(angle), np.sin(angle)
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[c, -s, 0], [s * c, c * c, -s], [s * s, c * s, c]]) * spacing
    matrix[:3, 3] = np.asarray(centre) - matrix[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2)
    return Grid(shape, matrix)


def _by_hand(array, grid, target):
    """Look every target voxel's centre up, one by one."""
    result = np.zeros(target.shape, array.dtype)
    for index in np.ndindex(target.shape):
        found = grid.voxel_at(target.to_ras(index[::-1]))
        if found is not None:
            result[index] = array[found]
    return result


def test_labels_on_the_same_grid_come_back_as_they_are():
    array, grid = np.ones((3, 4, 5), np.uint8), Grid((3, 4, 5), np.diag([1.0, 2, 3, 1]))
    assert resample_labels(array, grid, Grid(grid.shape, grid.ijk_to_ras.copy())) is array


def test_a_flipped_and_permuted_grid_only_reorders_voxels():
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    grid = Grid((2, 3, 4), np.diag([1.0, 2.0, 3.0, 1.0]))
    matrix = np.array([[0, 0, 1.0, 0], [0, -2.0, 0, 4.0], [3.0, 0, 0, 0], [0, 0, 0, 1.0]])
    moved = resample_labels(array, grid, Grid((4, 3, 2), matrix))
    assert np.array_equal(moved, array.transpose(2, 1, 0)[:, ::-1, :])
    assert moved.dtype == array.dtype


@settings(max_examples=25, deadline=None)
@given(angle=st.floats(-3, 3), shift=st.floats(-6, 6), seed=st.integers(0, 99))
def test_every_voxel_gets_the_label_at_its_centre_on_any_pair_of_grids(angle, shift, seed):
    grid = _oblique(0.3, np.array([1.0, 1.3, 2.1]), (6, 8, 9), (0, 0, 0))
    target = _oblique(angle, np.array([0.83, 1.71, 1.17]), (7, 6, 8), (shift, 1, -1))
    array = np.random.default_rng(seed).integers(0, 4, grid.shape).astype(np.uint8)
    expected = _by_hand(array, grid, target)
    # A centre on the very border between two voxels may go to either.
    assert np.mean(resample_labels(array, grid, target) != expected) < 0.01


def test_a_ball_keeps_its_place_and_size_on_a_coarser_oblique_grid():
    grid, target = (
        Grid.centred_on((5, -7, 9), shape=(40, 40, 40), spacing=1.0),
        _oblique(0.5, np.array([1.5, 1.5, 3.0]), (24, 40, 40), (5, -7, 9)),
    )
    moved = resample_labels(_ball(grid, (5, -7, 9), 12), grid, target)
    expected = _ball(target, (5, -7, 9), 12)
    assert 2 * (moved & expected).sum() / (moved.sum() + expected.sum()) > 0.95


@pytest.mark.parametrize("array", [np.zeros((4, 4, 4), bool), np.ones((4, 4, 4), bool)], ids=["empty", "far away"])
def test_nothing_arrives_from_an_empty_or_distant_grid(array):
    near, far = Grid((4, 4, 4), np.eye(4)), np.eye(4)
    far[:3, 3] = 100
    result = resample_labels(array, near, Grid((5, 5, 5), far))
    assert result.shape == (5, 5, 5)
    assert not result.any()
