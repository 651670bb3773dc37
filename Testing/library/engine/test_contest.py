"""Neighbours that claim the same voxels settle it."""

from __future__ import annotations

import numpy as np
import pytest

from SAMSpineLib.engine.contest import settled, settled_slices
from SAMSpineLib.engine.merging import PatchAnswer, merge
from SAMSpineLib.engine.slice_answer import SliceAnswer
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.protocols import SliceMasks
from SAMSpineLib.prompts import Point
from SAMSpineLib.stack import stack_along
from SAMSpineLib.volume import Grid

from .conftest import FakeSlices, ball
from .test_session_slices import VIEWS

NEAR = Grid.centred_on((0, 0, 0), shape=(12, 12, 12), spacing=2.0)
ABOVE = Grid.centred_on((0, 0, 12), shape=(12, 12, 12), spacing=2.0)


def _answer(grid, rng=None, level=None):
    values = rng.random(grid.shape).astype(np.float32) if rng else np.full(grid.shape, level, np.float32)
    return PatchAnswer(grid, values, prompted=True)


def test_no_voxel_is_claimed_by_two_labels_after_the_settlement():
    rng = np.random.default_rng(1)
    answers = {3: (_answer(NEAR, rng),), 4: (_answer(ABOVE, rng),), 5: (_answer(NEAR, rng), _answer(ABOVE, rng))}
    found = settled(answers)
    grid = Grid.centred_on((0, 0, 6), shape=(20, 12, 12), spacing=2.0)
    claims = [merge(found[value], grid)[0] > 0.5 for value in answers]
    assert sum(claim.astype(int) for claim in claims).max() == 1
    before = [merge(answers[value], grid)[0] for value in answers]
    sure = [(one > 0.5) & (np.sum(before, axis=0) - one < 1e-6) for one in before]
    assert all((claim >= one).all() for claim, one in zip(claims, sure, strict=True))


def test_the_likelier_label_keeps_the_voxel_and_equals_meet_at_one_half():
    found = settled({3: (_answer(NEAR, level=0.9),), 4: (_answer(NEAR, level=0.6),)})
    assert found[3][0].probability == pytest.approx(0.6, abs=1e-6)
    assert found[4][0].probability == pytest.approx(0.4, abs=1e-6)
    equal = settled({3: (_answer(NEAR, level=0.8),), 4: (_answer(NEAR, level=0.8),)})
    assert equal[3][0].probability == pytest.approx(0.5, abs=1e-6)


def test_what_nobody_else_claims_stays_as_it_is():
    far = Grid.centred_on((0, 0, 500), shape=(12, 12, 12), spacing=2.0)
    answers = {3: (_answer(NEAR, np.random.default_rng(2)),), 4: (_answer(far, level=1.0),)}
    assert np.array_equal(settled(answers)[3][0].probability, answers[3][0].probability)
    unsure = {3: (_answer(NEAR, level=0.4),), 4: (_answer(NEAR, level=0.5),)}
    assert np.array_equal(settled(unsure)[3][0].probability, unsure[3][0].probability)


PLACE = Grid.centred_on((0, 0, 0), shape=(20, 20, 20), spacing=2.0)


def _slice(logits, view="axial", index=10):
    stack = stack_along(PLACE, VIEWS[view])
    grid = stack.grid(index, np.shape(logits))
    masks = SliceMasks(grid, np.stack([logits, np.full_like(logits, 3.0)]).astype(np.float16), (0.9, 0.5))
    return SliceAnswer(stack, index, masks, PLACE)


def _noise(seed):
    return np.random.default_rng(seed).normal(0, 30, (40, 40)).astype(np.float32)


def test_no_place_of_a_slice_is_claimed_by_two_labels_and_none_is_left_between_them():
    slices = {value: (_slice(_noise(value)),) for value in (3, 4, 5)}
    found = settled_slices(slices)
    before = sum((slices[value][0].logits > 0).astype(int) for value in slices)
    after = sum((found[value][0].logits > 0).astype(int) for value in slices)
    assert before.max() == 3
    np.testing.assert_array_equal(after, before > 0)


def test_the_surer_label_keeps_a_place_and_of_equals_the_lower_value():
    sure, unsure = np.full((40, 40), 5.0, np.float32), np.full((40, 40), 2.0, np.float32)
    found = settled_slices({3: (_slice(unsure),), 4: (_slice(sure),)})
    assert (found[3][0].logits < 0).all()
    assert (found[4][0].logits > 0).all()
    np.testing.assert_array_equal(found[4][0].masks.logits[1], 3.0)  # the masks that were not chosen stay
    equal = settled_slices({5: (_slice(sure),), 3: (_slice(sure),), 4: (_slice(sure),)})
    assert [(equal[value][0].logits > 0).all() for value in (3, 4, 5)] == [True, False, False]
    assert [(equal[value][0].logits < 0).all() for value in (3, 4, 5)] == [False, True, True]


def test_a_slice_that_nobody_contests_is_the_very_same():
    slices = {3: (_slice(_noise(1)),), 4: (_slice(_noise(2), index=11),), 5: (_slice(_noise(3) - 500),)}
    found = settled_slices(slices)
    assert found[4][0] is slices[4][0]
    assert found[5][0] is slices[5][0]


def test_slices_of_different_directions_contest_the_line_where_they_cross():
    sure, unsure = np.full((40, 40), 5.0, np.float32), np.full((40, 40), 2.0, np.float32)
    slices = {3: (_slice(unsure),), 4: (_slice(sure, "sagittal"),)}
    lost = settled_slices(slices)[3][0].logits < 0
    assert lost.any(axis=0).sum() == 2  # of 40 columns of half a voxel, those of one voxel
    assert lost.any(axis=0).sum() * 40 == lost.sum()


@pytest.mark.parametrize("turned", [False, True])
def test_labels_that_are_prompted_together_meet_between_them_whatever_their_order(open_session, turned):
    left, right = ball((-6.0, 0.0, 1.0), 10.0), ball((6.0, 0.0, 1.0), 10.0)
    session = open_session(FakeSlices([left, right]))
    labels = [spine_labels().by_name(name) for name in ("L3", "L4")]
    orders = list(zip(labels, ([Point((-9.0, 0.0, 1.0))], [Point((9.0, 0.0, 1.0))]), strict=True))
    session.add_all(dict(orders[::-1] if turned else orders))
    columns = [np.flatnonzero(session.mask(label.value).any(axis=(0, 1))) for label in labels]
    assert columns[0].max() < columns[1].min()
    sizes = [int(session.mask(label.value).sum()) for label in labels]
    assert abs(sizes[0] - sizes[1]) <= 0.06 * sum(sizes)
    session.undo()
    session.undo()
    assert not session.result.any()
