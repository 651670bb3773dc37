"""Prompts in millimetres on patches of any place."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from SAMSpineLib.models.ct_sam3d.prompt_maps import click_points, prompt_maps
from SAMSpineLib.prompts import Box, Lasso, MaskPrompt, Point, Scribble
from SAMSpineLib.volume import Grid

PREVIOUS, POSITIVE, NEGATIVE, BOX = range(4)
PATCH = Grid.centred_on((10.0, -20.0, 30.0), shape=(24, 24, 24), spacing=2.0)


def _maps(*prompts, previous=None, grid=PATCH):
    return prompt_maps(prompts, grid, sigma_mm=3.0, previous=previous).numpy()


def _peak_ras(channel, grid=PATCH):
    return grid.to_ras(np.unravel_index(int(channel.argmax()), channel.shape)[::-1])


def _ras(grid):
    k, j, i = np.indices(grid.shape)
    return grid.to_ras(np.stack([i, j, k], axis=-1))


def test_a_click_lies_where_it_was_made_and_is_three_millimetres_wide():
    maps = _maps(Point((4.0, -26.0, 40.0)))
    distance = np.linalg.norm(_ras(PATCH) - (4.0, -26.0, 40.0), axis=-1)
    assert np.abs(maps[POSITIVE] - np.exp(-(distance**2) / 18)).max() < 1e-5
    assert not maps[[PREVIOUS, NEGATIVE, BOX]].any()


def test_positive_and_negative_clicks_do_not_touch_each_other_even_at_one_place():
    here = (4.0, -26.0, 40.0)
    maps = _maps(Point(here), Point(here, positive=False), Point((14.0, -12.0, 22.0), positive=False))
    assert np.array_equal(maps[POSITIVE], _maps(Point(here))[POSITIVE])
    assert maps[NEGATIVE].max() == 1
    index = PATCH.voxel_at((14.0, -12.0, 22.0))
    assert maps[NEGATIVE][index] == 1
    assert maps[POSITIVE][index] < 1e-3


def test_prompts_outside_the_patch_are_ignored():
    outside = PATCH.to_ras([[-1.0, 5, 5], [5, 24.6, 5], [5, 5, 500]])
    prompts = [Point(tuple(p)) for p in outside] + [Point(tuple(p), positive=False) for p in outside]
    assert not _maps(*prompts).any()
    inside = Point((10.0, -20.0, 30.0))
    assert np.array_equal(_maps(*prompts, inside), _maps(inside))


def test_a_click_in_the_outermost_half_voxel_still_counts():
    for ijk in ([-0.45, 3, 3], [3, 23.45, 3]):
        heat = _maps(Point(tuple(PATCH.to_ras(ijk))))[POSITIVE]
        assert heat.max() == 1
        assert np.linalg.norm(_peak_ras(heat) - PATCH.to_ras(ijk)) < 1


def test_a_box_marks_the_voxels_whose_centres_it_holds_whatever_its_corners_order():
    box = Box((20.0, -31.0, 25.0), (-3.0, -11.0, 37.0))
    marked = _maps(box)[BOX] > 0
    ras = _ras(PATCH)
    expected = ((ras >= (-3, -31, 25)) & (ras <= (20, -11, 37))).all(axis=-1)
    assert np.array_equal(marked, expected)
    assert 0.8 < marked.sum() * PATCH.voxel_volume / (23 * 20 * 12) < 1.2


def test_of_two_boxes_the_last_one_counts():
    first, last = Box((0, -30, 20), (20, -10, 40)), Box((8, -24, 26), (14, -16, 34))
    assert np.array_equal(_maps(first, last), _maps(last))


def test_a_scribble_paints_an_even_line_through_all_of_its_vertices():
    line = Scribble(((-4.0, -30.0, 20.0), (20.0, -30.0, 20.0), (20.0, -8.0, 40.0)))
    heat = _maps(line)[POSITIVE]
    for start, end in zip(line.points[:-1], line.points[1:], strict=True):
        for share in np.linspace(0, 1, 25):
            place = np.add(np.multiply(start, 1 - share), np.multiply(end, share))
            assert heat[PATCH.voxel_at(place)] > 0.7
    assert heat[PATCH.voxel_at((10.0, -20.0, 40.0))] < 0.1
    assert np.array_equal(_maps(Scribble(line.points, positive=False))[NEGATIVE], heat)


def test_a_scribble_of_one_point_is_a_click():
    assert np.array_equal(_maps(Scribble(((4.0, -26.0, 40.0),))), _maps(Point((4.0, -26.0, 40.0))))


def test_a_scribbles_samples_are_no_further_apart_than_the_step():
    places = click_points([Scribble(((0, 0, 0), (7, 0, 0), (7, 5, 0)))], positive=True, step=2.0)
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    assert steps.max() <= 2.0
    assert np.allclose(places[[0, -1]], [(0, 0, 0), (7, 5, 0)])


@pytest.mark.parametrize("turn", [0.0, 0.6])
def test_a_lasso_fills_its_inside_in_its_own_plane_and_leaves_its_dent_out(turn):
    u, v = np.array([np.cos(turn), 0, np.sin(turn)]), np.array([0.0, 1.0, 0.0])
    centre = np.array([10.0, -20.0, 30.0])
    outline = [(-18, -18), (18, -18), (18, 18), (0, -8), (-18, 18)]  # a square with a deep dent from above
    lasso = Lasso(tuple(tuple(centre + a * u + b * v) for a, b in outline))
    places = click_points([lasso], positive=True, step=2.0)
    flat = np.stack([(places - centre) @ u, (places - centre) @ v], axis=1)
    assert np.abs((places - centre) @ np.cross(u, v)).max() < 1e-9
    assert np.abs(flat).max() < 18
    area = 36 * 36 - 36 * 26 / 2
    assert len(places) * 16 == pytest.approx(area, rel=0.15)  # one sample per 4 x 4 mm
    assert not ((np.abs(flat[:, 0]) < 3) & (flat[:, 1] > 2)).any()
    heat = _maps(lasso)[POSITIVE]
    assert heat[PATCH.voxel_at(centre - 13 * v)] > 0.5
    assert heat[PATCH.voxel_at(centre + 14 * v)] < 0.3


def test_a_lasso_without_area_counts_as_its_vertices():
    line = Lasso(((0.0, -20.0, 30.0), (6.0, -20.0, 30.0), (12.0, -20.0, 30.0)))
    assert np.array_equal(_maps(line)[POSITIVE], _maps(*[Point(p) for p in line.points])[POSITIVE])


def test_a_mask_prompt_on_an_oblique_anisotropic_grid_lies_at_the_same_place():
    c, s = np.cos(0.5), np.sin(0.5)
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, -1.0]]) @ np.diag([0.8, 1.1, 3.0])
    matrix[:3, 3] = np.array([12.0, -22.0, 31.0]) - matrix[:3, :3] @ np.array([29.5, 24.5, 9.5])
    source = Grid((20, 50, 60), matrix)
    mask = np.linalg.norm(_ras(source) - (12, -22, 31), axis=-1) < 14
    wanted = np.linalg.norm(_ras(PATCH) - (12, -22, 31), axis=-1) < 14
    for kind in (bool, np.uint8, np.float32):
        found = _maps(MaskPrompt(mask.astype(kind), source))[PREVIOUS]
        assert found.min() >= 0
        assert found.max() <= 1 + 1e-6
        overlap = ((found > 0.5) & wanted).sum()
        assert 2 * overlap / ((found > 0.5).sum() + wanted.sum()) > 0.93


def test_the_last_answer_comes_before_a_mask_prompt_and_goes_in_as_it_is():
    previous = np.random.default_rng(1).random(PATCH.shape).astype(np.float32)
    mask = MaskPrompt(np.ones(PATCH.shape, bool), PATCH)
    assert np.array_equal(_maps(mask, previous=previous)[PREVIOUS], previous)
    assert np.array_equal(_maps(mask)[PREVIOUS], np.ones(PATCH.shape))
    assert not _maps(Point((10.0, -20.0, 30.0)))[PREVIOUS].any()


def test_one_samples_maps_do_not_depend_on_who_else_is_in_the_batch():
    lone, strong = (
        [Point((4.0, -26.0, 40.0))],
        [Scribble(((0, -20, 30), (20, -20, 30))), Box((0, -30, 20), (9, -9, 29))],
    )
    batch = torch.stack([prompt_maps(p, PATCH, sigma_mm=3.0) for p in (lone, strong)])
    assert torch.equal(batch[0], torch.stack([prompt_maps(p, PATCH, sigma_mm=3.0) for p in (lone, [])])[0])
    assert batch[0, POSITIVE].max() == 1
