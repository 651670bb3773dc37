"""Other hands: what another annotator would have drawn."""

from __future__ import annotations

import numpy as np
import pytest

from SAMSpineLib.training.annotators import TAKEN_ALONG, Hand

SHAPE = (40, 40, 40)


def _ball(radius):
    places = np.stack(np.meshgrid(*(np.arange(n) - 19.5 for n in SHAPE), indexing="ij"))
    return np.clip(radius - np.linalg.norm(places, axis=0) + 0.5, 0, 1).astype(np.float32)


def _radius(share):
    return (share.sum() * 3 / (4 * np.pi)) ** (1 / 3)


@pytest.mark.parametrize("outwards", [-1.5, -0.4, 0.0, 0.4, 1.5])
def test_a_hand_moves_the_border_by_what_it_says_also_by_parts_of_a_voxel(outwards):
    redrawn = Hand(np.full(SHAPE, outwards, np.float32)).redraw(_ball(12))
    assert _radius(redrawn) - _radius(_ball(12)) == pytest.approx(outwards, abs=0.1 + 0.15 * abs(outwards))
    assert redrawn.min() == 0
    assert redrawn.max() == 1


def test_a_hand_that_does_not_err_leaves_borders_where_they_are():
    ball = _ball(12)
    redrawn = Hand(np.zeros(SHAPE, np.float32)).redraw(ball)
    assert np.abs(redrawn - ball).max() < 0.03


def test_what_is_not_there_or_fills_everything_is_left_alone():
    hand = Hand(np.full(SHAPE, 2.0, np.float32))
    for share in (np.zeros(SHAPE, np.float32), np.ones(SHAPE, np.float32)):
        assert np.array_equal(hand.redraw(share), share)


def test_hands_err_to_both_sides_smoothly_and_the_same_generator_draws_the_same_one():
    hands = [Hand.draw(SHAPE, np.random.default_rng(seed)) for seed in range(40)]
    means = [float(hand.outwards.mean()) for hand in hands]
    assert min(means) < -0.2 < 0.2 < max(means)
    assert np.mean(means) == pytest.approx(TAKEN_ALONG, abs=0.12)
    for hand in hands:
        assert np.abs(np.diff(hand.outwards, axis=0)).max() < 3.5
    assert np.array_equal(Hand.draw(SHAPE, np.random.default_rng(3)).outwards, hands[3].outwards)


def test_half_of_the_hands_see_some_lump_of_several_voxels_as_part_of_the_bone_or_not():
    extremes = [Hand.draw(SHAPE, np.random.default_rng(seed)).outwards for seed in range(60)]
    out, inwards = (np.mean([one.max() > 3 for one in extremes]), np.mean([one.min() < -3 for one in extremes]))
    assert 0.1 < out < 0.6
    assert 0.1 < inwards < 0.6
