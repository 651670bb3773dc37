"""Voxels on other grids: exact where the physics is, and no dearer than what is asked for."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from SAMSpineLib.resampling import sample, sample_labels
from SAMSpineLib.volume import Grid


def _oblique(angle, spacing, shape, centre):
    c, s = np.cos(angle), np.sin(angle)
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[c, -s, 0], [s * c, c * c, -s], [s * s, c * s, c]]) * spacing
    matrix[:3, 3] = np.asarray(centre) - matrix[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2)
    return Grid(shape, matrix)


def _places(grid):
    k, j, i = np.indices(grid.shape)
    return grid.to_ras(np.stack([i, j, k], axis=-1))


def _ramp(grid):
    return _places(grid) @ np.array([3.0, -2.0, 0.7]) + 100.0


def _ball(grid, centre, radius):
    return (np.linalg.norm(_places(grid) - np.asarray(centre), axis=-1) <= radius).astype(np.uint8)


def _by_hand(array, grid, target):
    """Look every target voxel's centre up, one by one."""
    result = np.zeros(target.shape, array.dtype)
    for index in np.ndindex(target.shape):
        found = grid.voxel_at(target.to_ras(index[::-1]))
        if found is not None:
            result[index] = array[found]
    return result


SOURCE = _oblique(0.4, np.array([0.7, 0.9, 2.3]), (20, 30, 40), (-347.12, 83.4, -911.7))


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32, np.float64])
def test_the_same_grid_gives_the_same_voxels_exactly(order, dtype):
    array = np.random.default_rng(1).integers(0, 200, SOURCE.shape).astype(dtype)
    again = sample(array, SOURCE, Grid(SOURCE.shape, SOURCE.ijk_to_ras.copy()), fill=255, order=order)
    assert np.array_equal(again, array)
    assert again.dtype == (np.float32 if order else dtype)


@settings(max_examples=25, deadline=None)
@given(angle=st.floats(-3, 3), shift=st.tuples(*[st.floats(-4, 4)] * 3), stretch=st.floats(0.3, 1.0))
def test_a_linear_ramp_is_reproduced_exactly_on_any_grid_inside_the_volume(angle, shift, stretch):
    target = _oblique(angle, stretch * np.array([0.9, 0.8, 1.9]), (5, 6, 7), np.array([-347.12, 83.4, -911.7]) + shift)
    ijk = SOURCE.to_ijk(_places(target))
    inside = ((ijk >= 0) & (ijk <= np.array(SOURCE.shape[::-1]) - 1)).all(axis=-1)
    found = sample(_ramp(SOURCE), SOURCE, target, fill=np.nan)
    # A finer grid is not smoothed; where it is as coarse as the source along one axis, a ramp stays a ramp anyway.
    assert np.abs(found - _ramp(target))[inside].max(initial=0.0) < 2e-3


def test_a_ramp_survives_smoothing_on_a_coarser_grid_away_from_the_border():
    target = _oblique(0.4, np.array([2.8, 2.7, 6.9]), (3, 4, 4), (-347.12, 83.4, -911.7))
    assert np.abs(sample(_ramp(SOURCE), SOURCE, target, fill=0) - _ramp(target)).max() < 0.05


@settings(max_examples=20, deadline=None)
@given(angle=st.floats(-3, 3), spacing=st.floats(0.4, 9.0), shift=st.floats(-30, 30))
def test_a_constant_stays_constant_and_the_outside_is_fill(angle, spacing, shift):
    target = _oblique(angle, np.full(3, spacing), (8, 8, 8), (-347.12 + shift, 83.4, -911.7))
    found = sample(np.full(SOURCE.shape, 700, np.int16), SOURCE, target, fill=-1024)
    ijk = SOURCE.to_ijk(_places(target))
    last = np.array(SOURCE.shape[::-1]) - 1
    inside = ((ijk > -0.499) & (ijk < last + 0.499)).all(axis=-1)
    outside = ((ijk < -0.501) | (ijk > last + 0.501)).any(axis=-1)
    assert np.allclose(found[inside], 700, atol=1e-3)
    assert (found[outside] == -1024).all()


def test_a_volume_ends_half_a_voxel_beyond_its_outermost_centres():
    grid = Grid((1, 1, 4), np.eye(4))
    matrix = np.eye(4) / [1, 1, 1, 1]
    matrix[0, 0], matrix[0, 3] = 0.25, -1.0
    found = sample(np.array([[[5, 6, 7, 8]]], np.int16), grid, Grid((1, 1, 21), matrix), fill=-9)[0, 0]
    places = -1.0 + 0.25 * np.arange(21)
    assert ((found == -9) == ((places < -0.5) | (places > 3.5))).all()
    assert found[places == -0.5] == 5
    assert found[places == 3.5] == 8


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_single_slice_is_read_on_grids_that_lie_within_its_thickness(axis):
    shape = [6, 6, 6]
    shape[axis] = 1
    spacing = np.ones(3)
    spacing[2 - axis] = 5.0
    grid = Grid(tuple(shape), np.diag([*spacing, 1.0]))
    target = Grid.centred_on((2, 2, 2) @ (np.eye(3) * (spacing == 1)), shape=(4, 4, 4), spacing=1.0)
    array = np.arange(36, dtype=np.float32).reshape(shape)
    found = sample(array, grid, target, fill=-1)
    assert (found >= 0).all()
    assert (found == found.take([0], axis=axis)).all()
    between = np.eye(4)
    between[:3, 3] = 0.4 * (spacing == 5) + 2 * (spacing == 1)
    assert sample(array, grid, Grid((1, 1, 1), between), fill=-1).item() == array.flat[14]


@pytest.mark.parametrize("order", [0, 1])
def test_a_grid_between_two_voxel_centres_is_read_and_one_far_away_is_fill(order):
    array, grid = np.full((4, 4, 4), 7, np.int16), Grid((4, 4, 4), np.diag([10.0, 10, 10, 1]))
    tiny, far = (
        Grid.centred_on((14, 15, 16), shape=(2, 2, 2), spacing=0.5),
        Grid.centred_on((99, 0, 0), shape=(2, 2, 2), spacing=1),
    )
    assert (sample(array, grid, tiny, fill=0, order=order) == 7).all()
    assert (sample(array, grid, far, fill=-3, order=order) == -3).all()


def test_reading_a_patch_costs_what_the_patch_costs_and_not_the_volume():
    # 2 TiB if anything made a copy of it; as it is, one number in memory.
    huge = np.broadcast_to(np.int16(300), (10_000, 10_000, 10_000))
    grid = Grid(huge.shape, np.diag([0.1, 0.1, 0.1, 1.0]))
    target = _oblique(0.3, np.full(3, 0.15), (24, 24, 24), (500.0, 500.0, 500.0))
    tracemalloc.start()
    found = sample(huge, grid, target, fill=-1024)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found == 300).all()
    assert peak < 50e6


def test_only_the_slices_that_the_target_meets_are_read_from_disk(tmp_path):
    class Watched(np.memmap):
        asked = []

        def __getitem__(self, key):
            if isinstance(key, tuple) and all(isinstance(part, slice) for part in key):
                self.asked.append(key)
            return super().__getitem__(key)

    disk = Watched(tmp_path / "voxels.raw", np.int16, "w+", shape=(200, 30, 30))
    disk[:] = np.arange(200, dtype=np.int16)[:, None, None]
    Watched.asked.clear()
    found = sample(
        disk, Grid(disk.shape, np.eye(4)), Grid.centred_on((15, 15, 100), shape=(3, 3, 3), spacing=1), fill=0
    )
    assert (found == np.array([99, 100, 101])[:, None, None]).all()
    assert not isinstance(found, np.memmap)
    assert all(key[0].stop - key[0].start <= 10 for key in Watched.asked)
    assert Watched.asked


def test_thin_bone_fades_on_a_coarse_grid_instead_of_flickering():
    array = np.zeros((5, 5, 120), np.int16)
    array[:, :, ::6] = 600  # cortical sheets, one voxel thick, every 6 voxels
    grid = Grid(array.shape, np.diag([0.5, 1, 1, 1]))
    coarse = [
        sample(
            array,
            grid,
            Grid((1, 1, 10), np.array([[2.75, 0, 0, 8 + shift], [0, 1, 0, 2], [0, 0, 1, 2], [0, 0, 0, 1]])),
            fill=0,
        )
        for shift in np.linspace(0, 3, 9)
    ]
    assert np.ptp(np.stack(coarse)) < 0.6 * 600
    assert np.mean(coarse) == pytest.approx(100, abs=15)  # plain interpolation would leave most sheets out altogether


def test_half_a_sheet_is_not_smoothed_when_the_target_is_finer():
    array = np.zeros((3, 3, 9), np.int16)
    array[:, :, 4] = 600
    matrix = np.diag([0.5, 1.0, 1.0, 1.0])
    found = sample(array, Grid(array.shape, np.eye(4)), Grid((3, 3, 17), matrix), fill=0)[1, 1]
    assert found[8] == 600
    assert found[7] == found[9] == 300


def test_labels_on_the_same_grid_come_back_as_they_are():
    array, grid = np.ones((3, 4, 5), np.uint8), Grid((3, 4, 5), np.diag([1.0, 2, 3, 1]))
    assert sample_labels(array, grid, Grid(grid.shape, grid.ijk_to_ras.copy())) is array


def test_a_flipped_and_permuted_grid_only_reorders_labels():
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    grid = Grid((2, 3, 4), np.diag([1.0, 2.0, 3.0, 1.0]))
    matrix = np.array([[0, 0, 1.0, 0], [0, -2.0, 0, 4.0], [3.0, 0, 0, 0], [0, 0, 0, 1.0]])
    moved = sample_labels(array, grid, Grid((4, 3, 2), matrix))
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
    assert np.mean(sample_labels(array, grid, target) != expected) < 0.01


def test_a_lone_labelled_voxel_reaches_as_far_as_it_is_thick():
    array = np.zeros((9, 9, 9), np.int16)
    array[4, 4, 4] = 31
    grid, target = Grid(array.shape, np.diag([3.0, 3, 3, 1])), Grid((27, 27, 27), np.diag([1.0, 1, 1, 1]))
    moved = sample_labels(array, grid, target)
    assert np.array_equal(np.unique(moved), [0, 31])
    assert np.array_equal(np.argwhere(moved), 11 + np.argwhere(np.ones((3, 3, 3))))


def test_a_ball_keeps_its_place_and_size_on_a_coarser_oblique_grid():
    grid, target = (
        Grid.centred_on((5, -7, 9), shape=(40, 40, 40), spacing=1.0),
        _oblique(0.5, np.array([1.5, 1.5, 3.0]), (24, 40, 40), (5, -7, 9)),
    )
    moved = sample_labels(_ball(grid, (5, -7, 9), 12), grid, target)
    expected = _ball(target, (5, -7, 9), 12)
    assert 2 * (moved & expected).sum() / (moved.sum() + expected.sum()) > 0.95


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, ">i2", np.uint16, np.int64])
@pytest.mark.parametrize("full", [False, True], ids=["empty", "far away"])
def test_nothing_arrives_from_an_empty_or_distant_grid(full, dtype):
    near, far = Grid((4, 4, 4), np.eye(4)), np.eye(4)
    far[:3, 3] = 100
    result = sample_labels(np.full((4, 4, 4), full).astype(dtype), near, Grid((5, 5, 5), far))
    assert result.shape == (5, 5, 5)
    assert result.dtype == dtype
    assert not result.any()


@pytest.mark.parametrize("dtype", [bool, np.uint8, ">i2", np.uint16, np.int64])
def test_labels_keep_their_type_whatever_it_is(dtype):
    array = np.ones((4, 4, 4)).astype(dtype)
    found = sample_labels(array, Grid((4, 4, 4), np.eye(4)), Grid((2, 2, 2), np.diag([2.0, 2, 2, 1])))
    assert found.dtype == dtype
    assert found.all()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0)])
@pytest.mark.parametrize("step", [(0.37, 0.5), (1.0, 1.0), (2.3, 1.7)], ids=["finer", "the same", "coarser"])
def test_a_slice_along_the_axes_is_what_a_slice_at_any_angle_would_be(order, step, monkeypatch):
    rng = np.random.default_rng(3)
    array, grid = rng.normal(0, 300, (9, 21, 17)).astype(np.int16), Grid((9, 21, 17), np.diag([0.8, 0.9, 2.5, 1.0]))
    matrix = np.eye(4)
    matrix[:3, :3] = (np.diag([0.8, 0.9, 2.5]) * [1, -1, 1])[:, order]
    matrix[:3, :2] *= step
    matrix[:3, 3] = grid.to_ras([3.3, 12.6, 2.2])
    target = Grid((1, 40, 30), matrix)
    found = sample(array, grid, target, fill=-1024.0)
    monkeypatch.setattr("SAMSpineLib.resampling._axes", lambda matrix: None)
    expected = sample(array, grid, target, fill=-1024.0)
    assert found.dtype == expected.dtype == np.float32
    assert (expected == -1024).any()
    assert (expected != -1024).any()
    np.testing.assert_array_equal(found == -1024, expected == -1024)
    np.testing.assert_allclose(found, expected, atol=1e-3)
