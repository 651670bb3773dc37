"""Grids and volumes: places are kept, whatever the orientation, the spacing and the crop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from SAMSpineLib.errors import GeometryError, VolumeError
from SAMSpineLib.volume import Grid, Volume, ras_from_lps, slices_of

sizes = st.tuples(*[st.integers(1, 9)] * 3)


@st.composite
def grids(draw: st.DrawFn, *, oblique: bool = True) -> Grid:
    """Draw a grid of any orientation, handedness, spacing and origin."""
    spacing = np.array(draw(st.tuples(*[st.floats(0.2, 6)] * 3)))
    angles = draw(st.tuples(*[st.floats(-180, 180)] * 3)) if oblique else (0, 0, 0)
    flips = np.array(draw(st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3)))
    axes = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()[:, draw(st.permutations([0, 1, 2]))]
    matrix = np.eye(4)
    matrix[:3, :3] = axes * spacing * flips
    matrix[:3, 3] = draw(st.tuples(*[st.floats(-300, 300)] * 3))
    return Grid(draw(sizes), matrix)


@given(grids())
def test_indices_come_back_from_ras(grid: Grid) -> None:
    ijk = np.array([[0, 0, 0], [1.5, -2, 3], np.array(grid.shape[::-1]) - 1.0])
    assert np.allclose(grid.to_ijk(grid.to_ras(ijk)), ijk, atol=1e-6)
    assert np.allclose(grid.to_ras(grid.to_ijk(grid.to_ras(ijk))), grid.to_ras(ijk), atol=1e-6)


@given(grids())
def test_a_step_along_an_index_is_as_long_as_the_spacing(grid: Grid) -> None:
    steps = grid.to_ras(np.eye(3)) - grid.to_ras([0, 0, 0])
    assert np.allclose(np.linalg.norm(steps, axis=1), grid.spacing)
    assert np.isclose(grid.voxel_volume, np.prod(grid.spacing))


@given(grids(), st.data())
def test_every_voxel_centre_is_found_again_as_its_voxel(grid: Grid, data: st.DataObject) -> None:
    k, j, i = (data.draw(st.integers(0, n - 1)) for n in grid.shape)
    nudge = np.array(data.draw(st.tuples(*[st.floats(-0.49, 0.49)] * 3)))
    assert grid.voxel_at(grid.to_ras(np.array([i, j, k]) + nudge)) == (k, j, i)


@given(grids(), st.integers(0, 2), st.booleans())
def test_just_outside_there_is_no_voxel(grid: Grid, axis: int, below: bool) -> None:
    ijk = (np.array(grid.shape[::-1]) - 1) / 2
    ijk[axis] = -0.51 if below else grid.shape[::-1][axis] - 0.49
    assert grid.voxel_at(grid.to_ras(ijk)) is None


def _centres(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return all voxels (n, 3) as I, J, K and their centres in RAS mm."""
    ijk = np.argwhere(np.ones(grid.shape))[:, ::-1]
    return ijk, grid.to_ras(ijk)


@given(grids(), grids())
def test_an_extent_has_every_voxel_whose_centre_lies_in_another_grid(one: Grid, other: Grid) -> None:
    ijk, ras = _centres(one)
    inside = ijk[[other.voxel_at(point) is not None for point in ras]]
    extent = one.extent_of(other)
    if extent is None:
        assert len(inside) == 0
        return
    low, high = np.array(extent[::2]), np.array(extent[1::2])
    assert ((inside >= low) & (inside <= high)).all()
    assert (low >= 0).all()
    assert (high < one.shape[::-1]).all()


@given(grids(oblique=False), st.data())
def test_an_extent_is_exact_between_grids_with_the_same_axes(grid: Grid, data: st.DataObject) -> None:
    # Whole voxels further and a third of a voxel aside: no centre then lies on a border, where rounding would decide.
    shift = np.array(data.draw(st.tuples(*[st.integers(-3, 3)] * 3))) + 1 / 3
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, 3] = grid.to_ras(shift)
    other = Grid(data.draw(sizes), matrix)
    ijk, ras = _centres(grid)
    inside = ijk[[other.voxel_at(point) is not None for point in ras]]
    extent = grid.extent_of(other)
    assert (extent is None) == (len(inside) == 0)
    if extent is not None:
        assert tuple(inside.min(axis=0)) == extent[::2]
        assert tuple(inside.max(axis=0)) == extent[1::2]


@given(grids())
def test_a_grid_lies_in_itself_as_a_whole(grid: Grid) -> None:
    k, j, i = grid.shape
    assert grid.extent_of(grid) == (0, i - 1, 0, j - 1, 0, k - 1)


def test_grids_that_do_not_meet_have_no_extent() -> None:
    here = Grid.centred_on((0, 0, 0), shape=(4, 4, 4), spacing=1)
    assert here.extent_of(Grid.centred_on((100, 0, 0), shape=(4, 4, 4), spacing=1)) is None


@given(grids(), st.data())
def test_a_crop_keeps_every_voxel_in_its_place(grid: Grid, data: st.DataObject) -> None:
    low = [data.draw(st.integers(0, n - 1)) for n in grid.shape[::-1]]
    high = [data.draw(st.integers(a, n - 1)) for a, n in zip(low, grid.shape[::-1], strict=True)]
    extent = (low[0], high[0], low[1], high[1], low[2], high[2])
    crop = grid.crop(extent)
    numbers = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    assert crop.shape == numbers[slices_of(extent)].shape
    for corner in (np.zeros(3), np.array(crop.shape[::-1]) - 1):
        k, j, i = (corner[::-1]).astype(int)
        place = grid.voxel_at(crop.to_ras(corner))
        assert numbers[place] == numbers[slices_of(extent)][k, j, i]


@given(grids())
def test_a_grid_is_at_its_own_place_and_nowhere_else(grid: Grid) -> None:
    assert grid.same_place(Grid(grid.shape, grid.ijk_to_ras))
    moved = grid.ijk_to_ras.copy()
    moved[0, 3] += 0.01
    assert not grid.same_place(Grid(grid.shape, moved))
    assert grid.same_place(Grid(grid.shape, moved), tolerance=0.02)


@given(grids(), st.permutations([0, 1, 2]), st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_voxels_are_the_same_in_whatever_order_they_are_stored(grid: Grid, order: list[int], flips: tuple) -> None:
    sizes, matrix = np.array(grid.shape[::-1]), np.eye(4)
    turn = np.zeros((3, 3))
    for axis, (of, flipped) in enumerate(zip(order, flips, strict=True)):
        turn[of, axis] = -1 if flipped else 1
        matrix[of, 3] = sizes[of] - 1 if flipped else 0
    matrix[:3, :3] = turn
    stored = Grid(tuple(int(sizes[of]) for of in order[::-1]), grid.ijk_to_ras @ matrix)
    assert grid.same_voxels(stored)
    assert stored.same_voxels(grid)
    shifted = stored.ijk_to_ras.copy()
    shifted[:3, 3] += 0.5 * shifted[:3, 0]
    assert not grid.same_voxels(Grid(stored.shape, shifted))
    longer = (stored.shape[0] + 1, *stored.shape[1:])
    assert not grid.same_voxels(Grid(longer, stored.ijk_to_ras))


def test_grids_that_differ_only_in_rotation_are_at_different_places() -> None:
    a = Grid.centred_on((0, 0, 0), shape=(5, 5, 5), spacing=1)
    turned = np.eye(4)
    turned[:2, :2] = [[0, -1], [1, 0]]
    assert not a.same_place(Grid(a.shape, turned @ a.ijk_to_ras))


@given(st.tuples(*[st.floats(-200, 200)] * 3), sizes, st.floats(0.3, 4))
def test_a_centred_grid_has_a_voxel_centre_at_its_centre(
    ras: tuple[float, ...], shape: tuple[int, int, int], spacing: float
) -> None:
    grid = Grid.centred_on(ras, shape=shape, spacing=spacing)
    assert grid.voxel_at(ras) == tuple(n // 2 for n in shape)
    assert np.allclose(grid.to_ijk(ras), [n // 2 for n in shape[::-1]], atol=1e-6)


def test_lps_and_ras_are_each_others_opposite_in_the_first_two_axes() -> None:
    lps = np.array([[1, 0, 0, 10], [0, 2, 0, 20], [0, 0, 3, 30], [0, 0, 0, 1.0]])
    assert np.allclose(ras_from_lps(lps), [[-1, 0, 0, -10], [0, -2, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]])
    assert np.allclose(ras_from_lps(ras_from_lps(lps)), lps)


@pytest.mark.parametrize("shape", [(0, 3, 3), (3, 3), (1, 2, 3, 4), (-1, 2, 3)])
def test_a_grid_without_three_real_axes_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(GeometryError, match="three axes"):
        Grid(shape, np.eye(4))


@pytest.mark.parametrize("matrix", [np.diag([1, 1, 0, 1.0]), np.diag([1, 1, np.nan, 1]), np.eye(3)])
def test_a_grid_without_a_usable_matrix_is_refused(matrix: np.ndarray) -> None:
    with pytest.raises(GeometryError, match="invertible, finite"):
        Grid((2, 2, 2), matrix)


def test_a_grid_cannot_be_changed_through_the_matrix_that_made_it() -> None:
    matrix = np.eye(4)
    grid = Grid((2, 2, 2), matrix)
    matrix[0, 3] = 5
    assert grid.ijk_to_ras[0, 3] == 0
    with pytest.raises(ValueError, match="read-only"):
        grid.ijk_to_ras[0, 3] = 5


def test_a_volume_keeps_the_users_array_and_does_not_copy_it() -> None:
    array = np.zeros((2, 3, 4), np.int16)
    assert Volume.from_array(array, np.eye(4)).array is array


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 3)), "three axes"),
        (np.zeros((2, 2, 2, 3)), "three axes"),
        (np.zeros((2, 2, 2), complex), "integer or real"),
        (np.full((2, 2, 2), "a"), "integer or real"),
    ],
)
def test_a_volume_that_is_no_scalar_image_is_refused(array: np.ndarray, message: str) -> None:
    with pytest.raises(VolumeError, match=message):
        Volume.from_array(array, np.eye(4))


def test_a_volume_of_another_shape_than_its_grid_is_refused() -> None:
    with pytest.raises(VolumeError, match=r"\(4, 3, 2\).*\(2, 3, 4\)"):
        Volume(np.zeros((4, 3, 2)), Grid((2, 3, 4), np.eye(4)))
