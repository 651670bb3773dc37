"""From a probability on the network's lattice to voxels of the volume."""

from __future__ import annotations

import numpy as np
import pytest

from SAMSpineLib.engine.painting import painted, union
from SAMSpineLib.prompts import Lasso, MaskPrompt, Point, Scribble
from SAMSpineLib.volume import Grid, slices_of

LATTICE = Grid.centred_on((0.0, 0.0, 0.0), shape=(24, 24, 24), spacing=2.0)
FINE = Grid.centred_on((0.0, 0.0, 0.0), shape=(60, 60, 60), spacing=1.0)
LEFT, RIGHT = (-15.0, 0.0, 0.0), (15.0, 0.0, 0.0)


def two_pieces(between=0.0):
    """Two blocks at R = -15 and +15 mm; `between` is the probability of the bridge."""
    field = np.zeros(LATTICE.shape, np.float32)
    field[9:15, 9:15, 2:8] = field[9:15, 9:15, 16:22] = 0.9
    field[11:13, 11:13, 8:16] = between
    return field


def paint(field, *prompts, grid=FINE, threshold=0.5):
    found = painted(field, LATTICE, grid, prompts, threshold=threshold)
    mask = np.zeros(grid.shape, bool)
    if found is not None:
        mask[slices_of(found[1])] = found[0]
    return mask


def marked(mask, place, grid=FINE):
    return bool(mask[grid.voxel_at(place)])


def test_pieces_without_a_click_are_dropped():
    mask = paint(two_pieces(), Point(LEFT))
    assert marked(mask, LEFT)
    assert not marked(mask, RIGHT)
    assert not mask[:, :, 31:].any()


AROUND_RIGHT = Lasso(((9.0, -6.0, 0.0), (21.0, -6.0, 0.0), (21.0, 6.0, 0.0), (9.0, 6.0, 0.0)))


@pytest.mark.parametrize(
    "prompts", [(Point(LEFT), Point(RIGHT)), (Scribble((LEFT, RIGHT)),), (Point(LEFT), AROUND_RIGHT)]
)
def test_all_pieces_with_a_prompt_stay(prompts):
    mask = paint(two_pieces(), *prompts)
    assert marked(mask, LEFT)
    assert marked(mask, RIGHT)


def test_a_mask_prompt_or_no_positive_click_keeps_every_piece():
    rough = MaskPrompt(two_pieces() > 0.5, LATTICE)
    for prompts in ((rough,), (rough, Point(LEFT)), (Point((0.0, 20.0, 0.0), positive=False),)):
        mask = paint(two_pieces(), *prompts)
        assert marked(mask, LEFT)
        assert marked(mask, RIGHT)


def test_a_thin_isthmus_joins_what_lies_behind_it_although_it_is_below_the_threshold():
    mask = paint(two_pieces(between=0.4), Point(LEFT))
    assert marked(mask, LEFT)
    assert marked(mask, RIGHT)
    assert not marked(mask, (0.0, 0.0, 0.0))
    assert not marked(paint(two_pieces(between=0.2), Point(LEFT)), RIGHT)


def test_a_click_beside_everything_keeps_the_largest_piece_and_its_own_voxel():
    field = two_pieces()
    field[9:15, 9:15, 2] = 0.0
    mask = paint(field, Point((0.0, 20.0, 0.0)))
    assert marked(mask, (0.0, 20.0, 0.0))
    assert marked(mask, RIGHT)
    assert not marked(mask, LEFT)


def test_the_last_click_on_a_voxel_decides():
    yes, no = Point(LEFT), Point(LEFT, positive=False)
    assert marked(paint(two_pieces(), yes, no, yes), LEFT)
    assert not marked(paint(two_pieces(), yes, no), LEFT)


def test_nothing_marked_is_none_and_a_click_alone_is_one_voxel():
    empty = np.zeros(LATTICE.shape, np.float32)
    assert painted(empty, LATTICE, FINE, [Point(LEFT, positive=False)], threshold=0.5) is None
    found = painted(empty, LATTICE, FINE, [Point(LEFT)], threshold=0.5)
    assert found is not None
    assert found[0].shape == (1, 1, 1)
    assert found[0].all()


def test_a_probability_beyond_the_volume_is_left_there():
    corner = FINE.crop((0, 20, 0, 59, 0, 59))
    assert painted(two_pieces(), LATTICE, corner, [], threshold=0.5) is not None
    far = Grid.centred_on((500.0, 0.0, 0.0), shape=(9, 9, 9), spacing=1.0)
    assert painted(two_pieces(), LATTICE, far, [], threshold=0.5) is None


def test_finer_voxels_give_the_same_size():
    fine = Grid.centred_on(LEFT, shape=(60, 60, 60), spacing=0.5)
    mask = paint(two_pieces(), Point(LEFT), grid=fine)
    # Between 0.9 and 0 the threshold is passed 0.44 voxels beyond the last centre.
    assert mask.sum() * fine.voxel_volume == pytest.approx((5 + 2 * 0.444) ** 3 * 8, rel=0.1)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_a_higher_threshold_marks_less(threshold):
    k, j, i = np.meshgrid(*(np.arange(24) - 12,) * 3, indexing="ij")
    field = np.clip(1 - np.sqrt(k**2 + j**2 + i**2) / 10, 0, 1).astype(np.float32)
    radius = (1 - threshold) * 10 * 2.0
    mask = paint(field, Point((0.0, 0.0, 0.0)), threshold=threshold)
    assert mask.sum() == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.08)


def test_the_union_of_extents_holds_both():
    a, b = (0, 4, 2, 3, 5, 9), (3, 8, 0, 1, 6, 7)
    assert union(a, b) == (0, 8, 0, 3, 5, 9)
    assert union(None, a) == union(a, None) == a
    assert union(None, None) is None
