"""The robot user clicks where a patient human would, and never anywhere else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from SAMSpineLib.errors import PromptError
from SAMSpineLib.evaluation.robot import largest_error, next_click
from SAMSpineLib.volume import Grid

UNIT = Grid((20, 20, 20), np.eye(4))
OBLIQUE = np.array([[0.8, -0.3, 0.0, 10.0], [0.3, 0.8, 0.0, -20.0], [0.0, 0.0, 2.5, 30.0], [0.0, 0.0, 0.0, 1.0]])


def _rng(seed=0):
    return np.random.default_rng(seed)


def _block(grid, corner, size):
    mask = np.zeros(grid.shape, np.uint8)
    mask[tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))] = 1
    return mask


def _empty(grid):
    return np.zeros(grid.shape, np.uint8)


def test_the_first_click_is_positive_and_in_the_middle_of_the_structure():
    click = next_click(_block(UNIT, (4, 6, 8), (5, 5, 5)), _empty(UNIT), UNIT, rng=_rng())
    assert click.positive
    assert click.ras == (10.0, 8.0, 6.0)


def test_a_perfect_prediction_needs_no_click():
    truth = _block(UNIT, (4, 6, 8), (5, 5, 5))
    assert next_click(truth, truth * 7, UNIT, rng=_rng()) is None
    assert next_click(_empty(UNIT), _empty(UNIT), UNIT, rng=_rng()) is None


def test_excess_is_clicked_negative_when_it_is_the_larger_error():
    truth = _block(UNIT, (2, 2, 2), (5, 5, 5))
    predicted = _block(UNIT, (10, 10, 10), (7, 7, 7)) | truth
    predicted[2, 2, 2:5] = 0
    click = next_click(truth, predicted, UNIT, rng=_rng())
    assert not click.positive
    assert click.ras == (13.0, 13.0, 13.0)


def test_one_large_error_wins_over_many_small_ones_of_more_voxels():
    truth = _block(UNIT, (0, 0, 0), (4, 4, 4))
    speckle = np.zeros(UNIT.shape, np.uint8)
    speckle[8::2, 8::2, 8::2] = 1
    assert speckle.sum() > truth.sum()
    click = next_click(truth, speckle, UNIT, rng=_rng())
    assert click.positive


def test_errors_that_touch_only_at_a_corner_are_two():
    truth = _block(UNIT, (2, 2, 2), (3, 3, 3)) | _block(UNIT, (5, 5, 5), (4, 4, 4))
    assert largest_error(truth, _empty(UNIT), UNIT)[0].sum() == 64


def test_of_two_equal_errors_the_missed_one_is_clicked():
    truth, predicted = _block(UNIT, (12, 12, 12), (3, 3, 3)), _block(UNIT, (2, 2, 2), (3, 3, 3))
    click = next_click(truth, predicted, UNIT, rng=_rng())
    assert click.positive
    assert click.ras == (13.0, 13.0, 13.0)


def test_depth_is_measured_in_millimetres_and_not_in_voxels():
    # 3 slices of 5 mm by 5 rows of 1 mm: in voxels the slices are the thinner way, in mm the rows are.
    grid = Grid((20, 20, 20), np.diag([1.0, 1.0, 5.0, 1.0]))
    bar = _block(grid, (2, 2, 2), (3, 5, 13))
    click = next_click(bar, _empty(grid), grid, rng=_rng())
    assert click.ras[1] == 4.0  # the middle row; by voxels every row from 3 to 5 would be as deep
    slice_only = _block(grid, (1, 1, 1), (1, 9, 9))
    click = next_click(slice_only, _empty(grid), grid, rng=_rng())
    assert click.ras == (5.0, 5.0, 5.0)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_in_a_single_slice_the_click_goes_to_the_middle_and_not_to_the_rim(axis):
    grid = Grid(tuple(np.insert([41, 61], axis, 1).tolist()), np.eye(4))
    corner, size = np.insert([8, 20], axis, 0), np.insert([21, 31], axis, 1)
    click = next_click(_block(grid, corner, size), _empty(grid), grid, rng=_rng())
    expected = (corner + size // 2)[::-1]
    # A bar is as deep all along its middle line: the click lies on it, 11 from either long side.
    inside = np.abs(np.array(click.ras) - expected)
    assert sorted(inside.tolist())[:2] == [0, 0]
    assert inside.max() <= 5


def test_an_error_of_a_single_voxel_is_clicked():
    for shape in ((1, 5, 5), (5, 5, 5)):
        grid = Grid(shape, np.eye(4))
        assert next_click(_block(grid, (0, 2, 3), (1, 1, 1)), _empty(grid), grid, rng=_rng()).ras == (3.0, 2.0, 0.0)


def test_the_image_border_counts_as_outside():
    truth = np.ones((9, 9, 9), np.uint8)
    grid = Grid((9, 9, 9), np.eye(4))
    assert next_click(truth, np.zeros_like(truth), grid, rng=_rng()).ras == (4.0, 4.0, 4.0)


def test_a_click_stays_inside_a_hollow_structure():
    grid = UNIT
    ring = _block(grid, (4, 4, 4), (9, 9, 9))
    ring[4:13, 6:11, 6:11] = 0
    click = next_click(ring, _empty(grid), grid, rng=_rng())
    assert ring[grid.voxel_at(click.ras)] == 1


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    jitter=st.sampled_from([0.0, 1.0, 3.0, 8.0]),
    placement=st.sampled_from(["deepest", "random"]),
    oblique=st.booleans(),
)
def test_every_click_lies_inside_an_error_of_its_own_sign(seed, jitter, placement, oblique):
    rng = _rng(seed)
    grid = Grid((9, 12, 11), OBLIQUE if oblique else np.diag([0.7, 0.7, 3.0, 1.0]))
    truth, predicted = (ndimage.gaussian_filter(rng.normal(size=grid.shape), 1.5) > 0.02 for _ in range(2))
    click = next_click(truth, predicted, grid, rng=rng, jitter_mm=jitter, placement=placement)
    index = grid.voxel_at(click.ras)
    assert truth[index] != predicted[index]
    assert truth[index] == click.positive
    component, where, positive = largest_error(truth, predicted, grid)
    assert positive == click.positive
    assert component[where.voxel_at(click.ras)]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), jitter=st.floats(0.1, 6.0))
def test_jitter_moves_the_click_by_exactly_its_length_where_there_is_room(seed, jitter):
    grid = Grid((30, 30, 30), np.diag([1.0, 1.0, 1.0, 1.0]))
    truth = _block(grid, (5, 5, 5), (20, 20, 20))
    ideal = next_click(truth, _empty(grid), grid, rng=_rng(seed))
    moved = next_click(truth, _empty(grid), grid, rng=_rng(seed), jitter_mm=jitter)
    assert np.linalg.norm(np.subtract(moved.ras, ideal.ras)) == pytest.approx(jitter)


def test_jitter_goes_in_every_direction_alike():
    grid = Grid((21, 21, 21), np.eye(4))
    truth = np.ones(grid.shape, np.uint8)
    rng = _rng(3)
    steps = np.array([next_click(truth, _empty(grid), grid, rng=rng, jitter_mm=3.0).ras for _ in range(600)]) - 10.0
    # Uniform on a sphere of radius 3: no preferred direction, and a third of the square along each axis.
    assert np.abs(steps.mean(axis=0)).max() < 0.25
    assert (steps**2).mean(axis=0) == pytest.approx([3.0, 3.0, 3.0], rel=0.15)


def test_jitter_in_a_thin_error_follows_it_instead_of_leaving_it():
    sheet = _block(UNIT, (10, 0, 0), (1, 20, 20))
    for seed in range(30):
        click = next_click(sheet, _empty(UNIT), UNIT, rng=_rng(seed), jitter_mm=3.0)
        assert abs(click.ras[2] - 10) <= 0.5


def test_an_error_too_small_for_the_jitter_is_clicked_without():
    speck = _block(UNIT, (3, 4, 5), (1, 1, 1))
    click = next_click(speck, _empty(UNIT), UNIT, rng=_rng(), jitter_mm=3.0)
    assert click.ras == (5.0, 4.0, 3.0)


def test_random_placement_reaches_the_whole_error_and_nothing_else():
    line = _block(UNIT, (3, 4, 5), (1, 1, 4))
    rng = _rng(1)
    seen = {next_click(line, _empty(UNIT), UNIT, rng=rng, placement="random").ras for _ in range(100)}
    assert seen == {(float(i), 4.0, 3.0) for i in (5, 6, 7, 8)}


def test_the_same_seed_gives_the_same_clicks_and_another_seed_others():
    truth = _block(UNIT, (2, 2, 2), (15, 15, 15))
    clicks = [next_click(truth, _empty(UNIT), UNIT, rng=_rng(s), jitter_mm=3.0) for s in (5, 5, 6)]
    assert clicks[0] == clicks[1]
    assert clicks[0] != clicks[2]


@pytest.mark.parametrize("jitter", [-1.0, float("nan"), float("inf")])
def test_a_jitter_that_is_no_length_is_refused(jitter):
    with pytest.raises(PromptError, match="jitter"):
        next_click(_block(UNIT, (2, 2, 2), (3, 3, 3)), _empty(UNIT), UNIT, rng=_rng(), jitter_mm=jitter)
