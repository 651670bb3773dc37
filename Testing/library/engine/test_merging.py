"""Answers on overlapping patches become one, without seams and without inventing anything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from SAMSpineLib.engine.merging import PatchAnswer, merge
from SAMSpineLib.volume import Grid

SHAPE = (8, 10, 12)
OFFSETS = st.tuples(*[st.integers(-9, 9)] * 3)


def patch(offset=(0, 0, 0), shape=SHAPE):
    """Return a patch moved by whole voxels (I, J, K) of 2 mm."""
    matrix = np.diag([2.0, 2.0, 2.0, 1.0])
    matrix[:3, 3] = np.array([-7.0, 3.0, 11.0]) + 2.0 * np.array(offset)
    return Grid(shape, matrix)


def answer(offset=(0, 0, 0), value=None, *, prompted=True):
    """Return an answer: one value everywhere, or a field that depends on the place alone."""
    grid = patch(offset)
    k, j, i = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    ras = grid.to_ras(np.stack([i, j, k], axis=-1))
    field = 0.5 + 0.5 * np.sin(ras @ np.array([0.11, 0.07, 0.05])) if value is None else np.full(SHAPE, value)
    return PatchAnswer(grid, field.astype(np.float32), prompted)


def test_one_answer_is_itself():
    one = answer()
    merged, grid = merge([one])
    assert grid.same_place(one.grid)
    np.testing.assert_allclose(merged, one.probability, rtol=1e-6)
    assert merged.dtype == np.float32


@settings(max_examples=40, deadline=None, derandomize=True)
@given(offsets=st.lists(OFFSETS, min_size=1, max_size=5), prompted=st.lists(st.booleans(), min_size=5, max_size=5))
def test_answers_that_agree_are_blended_into_what_they_agree_on(offsets, prompted):
    answers = [answer(offset, prompted=flag) for offset, flag in zip(offsets, prompted, strict=False)]
    merged, grid = merge(answers)
    for one in answers:
        i, j, k = np.round(grid.to_ijk(one.grid.ijk_to_ras[:3, 3])).astype(int)
        crop = merged[k : k + SHAPE[0], j : j + SHAPE[1], i : i + SHAPE[2]]
        np.testing.assert_allclose(crop, one.probability, atol=1e-5)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(offsets=st.lists(OFFSETS, min_size=1, max_size=5))
def test_every_voxel_that_a_patch_knows_has_weight_and_no_other_is_marked(offsets):
    ones = [answer(offset, 1.0) for offset in offsets]
    merged, grid = merge(ones)
    known = np.zeros(grid.shape, bool)
    for one in ones:
        i, j, k = np.round(grid.to_ijk(one.grid.ijk_to_ras[:3, 3])).astype(int)
        known[k : k + SHAPE[0], j : j + SHAPE[1], i : i + SHAPE[2]] = True
    np.testing.assert_allclose(merged[known], 1.0, atol=1e-5)
    assert not merged[~known].any()


def test_the_union_is_the_smallest_grid_that_holds_all():
    _, grid = merge([answer((0, 0, 0)), answer((5, -3, 2))])
    assert grid.shape == (SHAPE[0] + 2, SHAPE[1] + 3, SHAPE[2] + 5)
    np.testing.assert_allclose(grid.ijk_to_ras[:3, 3], patch((0, -3, 0)).ijk_to_ras[:3, 3])


@pytest.mark.parametrize("order", [1, -1])
def test_the_patch_that_was_clicked_outvotes_the_one_that_was_visited(order):
    clicked, visited = answer((0, 0, 0), 1.0), answer((4, 0, 0), 0.0, prompted=False)
    merged, _ = merge([clicked, visited][::order])
    assert (merged[:, :, 4:12] > 0.9).all()
    assert not merged[:, :, 12:].any()


def test_between_two_equal_patches_the_nearer_centre_wins_and_the_step_is_gradual():
    merged, _ = merge([answer((0, 0, 0), 1.0), answer((4, 0, 0), 0.0)])
    middle = merged[SHAPE[0] // 2, SHAPE[1] // 2, 4:12]
    assert (np.diff(middle) <= 0).all()
    assert middle[0] > 0.8
    assert middle[-1] < 0.2
    assert np.abs(np.diff(middle)).max() < 0.5


def test_a_target_is_filled_where_answers_reach_and_zero_elsewhere():
    merged, grid = merge([answer(value=1.0)], patch((6, 0, 0)))
    assert grid.same_place(patch((6, 0, 0)))
    assert (merged[:, :, :6] > 0.999).all()
    assert not merged[:, :, 6:].any()
    assert not merge([answer(value=1.0)], patch((60, 0, 0)))[0].any()


def test_merging_changes_no_answer():
    answers = [answer((0, 0, 0)), answer((3, 1, 0), prompted=False)]
    before = [one.probability.copy() for one in answers]
    merge(answers)
    for one, kept in zip(answers, before, strict=True):
        assert np.array_equal(one.probability, kept)
