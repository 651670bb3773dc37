"""Slices in any direction."""

from __future__ import annotations

import numpy as np
import pytest

from SAMSpineLib.resampling import sample
from SAMSpineLib.stack import Stack, own_stack, stack_along
from SAMSpineLib.volume import Grid

LAYOUTS = {
    "RAS": np.diag([0.8, 0.9, 3.0]),
    "LPS": np.diag([-0.8, -0.9, 3.0]),
    "sagittal acquisition": np.array([[0, 0, 3.0], [-0.7, 0, 0], [0, -0.7, 0]]),
    "head down": np.diag([0.8, -0.9, -3.0]),
}


def a_grid(columns: np.ndarray) -> Grid:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = columns, (12.0, -30.0, 7.0)
    return Grid((7, 9, 11), matrix)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_without_a_normal_the_slices_are_those_acquired_voxel_for_voxel(layout: str) -> None:
    grid = a_grid(LAYOUTS[layout])
    stack = stack_along(grid)
    assert stack.count == 7
    values = np.random.default_rng(0).normal(size=grid.shape).astype(np.float32)
    for index in (0, 3, 6):
        picture = sample(values, grid, stack.grid(index, (9, 11)), fill=np.nan)[0]
        assert sorted(picture.ravel()) == sorted(values[index].ravel())
        assert stack.index_at(grid.to_ras([2.2, 3.4, index])) == index


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("normal", "right", "down"),
    [((0, 0, 1), (-1, 0, 0), (0, -1, 0)), ((1, 0, 0), (0, -1, 0), (0, 0, -1)), ((0, -1, 0), (-1, 0, 0), (0, 0, -1))],
)
def test_slices_are_upright_however_the_voxels_are_stored(
    layout: str, normal: tuple[float, float, float], right: tuple[float, ...], down: tuple[float, ...]
) -> None:
    stack = stack_along(a_grid(LAYOUTS[layout]), normal)
    assert stack.right @ np.array(right) == pytest.approx(np.linalg.norm(stack.right))
    assert stack.down @ np.array(down) == pytest.approx(np.linalg.norm(stack.down))


def test_cubic_voxels_are_cut_axially() -> None:
    stack = stack_along(a_grid(np.array([[0, 0, 1.0], [-1.0, 0, 0], [0, -1.0, 0]])))
    assert abs(stack.step[2]) == pytest.approx(1.0)


def test_a_view_that_is_nearly_axial_is_the_axial_one() -> None:
    grid = a_grid(LAYOUTS["LPS"])
    assert stack_along(grid, (0.01, 0.0, 0.99995)).parallel(stack_along(grid, (0.0, 0.0, 1.0)))


def test_oblique_slices_hold_every_voxel_and_are_the_same_from_every_click() -> None:
    grid = a_grid(np.diag([0.8, 0.9, 1.0]))
    normal = (0.0, 0.6, 0.8)
    stack = stack_along(grid, normal)
    assert stack.parallel(stack_along(grid, (0.0, 0.600001, 0.8)))
    assert np.abs(stack.step / np.linalg.norm(stack.step)) == pytest.approx(normal)
    ijk = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape[::-1]), indexing="ij"), -1).reshape(-1, 3)
    held = np.zeros(len(ijk), int)
    for index in range(stack.count):
        held += stack.grid(index, (40, 40)).holds(grid.to_ras(ijk))
    assert (held == 1).all()


def test_a_place_outside_belongs_to_the_nearest_slice() -> None:
    stack: Stack = stack_along(a_grid(LAYOUTS["RAS"]))
    assert (stack.index_at((0, 0, -999)), stack.index_at((0, 0, 999))) == (0, 6)


def test_slices_that_are_further_apart_fill_the_same_volume() -> None:
    grid = a_grid(LAYOUTS["LPS"])
    stack = stack_along(grid, (1.0, 0.0, 0.0))
    wider = stack.spaced(2.4)
    assert (stack.count, wider.count) == (11, 4)
    for one, sign in ((stack, -1), (wider, -1), (stack, 1), (wider, 1)):
        edge = one.middle + (one.count - 1) / 2 * one.step + sign * one.count / 2 * one.step
        here = stack.middle + (stack.count - 1) / 2 * stack.step + sign * stack.count / 2 * stack.step
        assert edge == pytest.approx(here)
    assert stack.spaced(0.1).parallel(stack)


def test_slices_as_one_block_lie_where_each_lies_alone() -> None:
    grid = a_grid(LAYOUTS["head down"])
    stack = stack_along(grid)
    values = np.random.default_rng(0).normal(size=grid.shape).astype(np.float32)
    block = sample(values, grid, stack.block(2, 3, (9, 11)), fill=np.nan)
    for place, index in enumerate((2, 3, 4)):
        np.testing.assert_allclose(block[place], sample(values, grid, stack.grid(index, (9, 11)), fill=np.nan)[0])


def test_the_volumes_own_slices_that_face_a_direction_best_are_found_in_a_tilted_scan() -> None:
    angle = np.deg2rad(20)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    grid = a_grid(turn @ LAYOUTS["LPS"])
    assert own_stack(grid, (0.0, 0.0, 1.0)).parallel(stack_along(grid))
    assert own_stack(grid, (1.0, 0.0, 0.0)).count == 11
    assert stack_along(grid, (0.0, 0.0, 1.0)).count > 7


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("normal", [(0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)])
def test_a_slice_with_as_many_pixels_as_voxels_holds_each_of_them(layout: str, normal: tuple[float, ...]) -> None:
    grid = a_grid(LAYOUTS[layout])
    own = own_stack(grid, normal)
    numbers = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    block = sample(numbers, grid, own.block(0, own.count, own.voxels(grid)), fill=-1, order=0)
    assert sorted(block.ravel()) == sorted(numbers.ravel())
