"""Prompts in millimetres become pixels of one slice."""

from __future__ import annotations

import numpy as np
import pytest

from SAMSpineLib.models.sam.prompting import LINE_POINTS, coarse_grid, slice_prompts
from SAMSpineLib.prompts import Box, Lasso, MaskPrompt, Point, Scribble
from SAMSpineLib.stack import stack_along
from SAMSpineLib.volume import Grid

SIZE = 64
VOLUME = Grid((10, 64, 64), np.diag([-2.0, -2.0, 3.0, 1.0]))  # as on a screen: pixel x, y is at R = -2x, A = -2y
SLICE = stack_along(VOLUME).grid(4, (64, 64))  # S = 12


def test_a_point_is_its_pixel_in_its_slice_and_nothing_in_others() -> None:
    found = slice_prompts(
        [Point((-20.0, -31.0, 12.9)), Point((-9.0, -8.0, 15.0)), Point((-6.0, -8.0, 11.0), False)], SLICE, SIZE
    )
    np.testing.assert_allclose(found.points, [[10, 15.5], [3, 4]], atol=1e-5)
    assert found.positive.tolist() == [True, False]
    assert not found.is_ambiguous


def test_one_point_may_mean_several_things_and_with_a_box_one() -> None:
    point, box = Point((-20.0, -31.0, 12.0)), Box((-40.0, -60.0, 12.0), (-10.0, -20.0, 12.0))
    assert slice_prompts([point], SLICE, SIZE).is_ambiguous
    assert not slice_prompts([point, box], SLICE, SIZE).is_ambiguous


def test_a_box_is_a_box_wherever_it_meets_the_slice() -> None:
    found = slice_prompts([Box((-40.0, -60.0, 0.0), (-10.0, -20.0, 30.0))], SLICE, SIZE)
    np.testing.assert_allclose(found.box, [5, 10, 20, 30], atol=1e-5)
    assert slice_prompts([Box((-40.0, -60.0, 20.0), (-10.0, -20.0, 30.0))], SLICE, SIZE).box is None


def test_a_line_is_a_few_points_on_it() -> None:
    found = slice_prompts([Scribble(((-20.0, -20.0, 12.0), (-100.0, -20.0, 12.0)))], SLICE, SIZE)
    assert len(found.points) == LINE_POINTS
    assert found.points[:, 1] == pytest.approx(10)
    assert found.points[:, 0].min() > 10
    assert found.points[:, 0].max() < 50


def test_an_outline_around_the_structure_is_a_mask_and_its_box() -> None:
    square = Lasso(((-20.0, -20.0, 12.0), (-60.0, -20.0, 12.0), (-60.0, -80.0, 12.0), (-20.0, -80.0, 12.0)))
    found = slice_prompts([square], SLICE, SIZE)
    assert found.mask is not None
    assert found.mask.shape == (16, 16)
    inside = np.argwhere(found.mask > 0)
    assert inside.min(axis=0).tolist() == [3, 3]
    assert inside.max(axis=0).tolist() == [9, 7]
    np.testing.assert_allclose(found.box, [12, 12, 31, 39])


def test_an_outline_around_what_is_not_it_is_a_few_negative_points() -> None:
    outline = ((-20.0, -20.0, 12.0), (-60.0, -20.0, 12.0), (-60.0, -80.0, 12.0), (-20.0, -80.0, 12.0))
    found = slice_prompts([Lasso(outline, positive=False)], SLICE, SIZE)
    assert found.mask is None
    assert 0 < len(found.points) <= LINE_POINTS // 2
    assert not found.positive.any()
    assert ((found.points > 10) & (found.points < 40)).all()


def test_a_mask_is_read_where_the_slice_is_and_what_was_answered_since_takes_its_place() -> None:
    mask = np.zeros(VOLUME.shape, bool)
    mask[3:6, 8:24, 16:40] = True
    prompt = MaskPrompt(mask, VOLUME)
    found = slice_prompts([prompt], SLICE, SIZE)
    assert found.mask is not None
    assert np.argwhere(found.mask > 0).min(axis=0).tolist() == [2, 4]
    assert np.argwhere(found.mask > 0).max(axis=0).tolist() == [5, 9]
    later = np.full((16, 16), 3, np.float32)
    assert slice_prompts([prompt], SLICE, SIZE, previous=later).mask is later
    assert slice_prompts([prompt], stack_along(VOLUME).grid(8, (64, 64)), SIZE).mask is None


def test_masks_lie_on_every_fourth_pixel_of_the_network_s_square() -> None:
    coarse = coarse_grid(SLICE, SIZE)
    assert coarse.shape == (1, 16, 16)
    fine = SLICE.to_ras([[4 * 5 + a, 4 * 7 + b, 0] for a in range(4) for b in range(4)])
    np.testing.assert_allclose(coarse.to_ras([5, 7, 0]), fine.mean(axis=0))
