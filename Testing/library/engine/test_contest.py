"""Neighbours that claim the same voxels settle it."""

from __future__ import annotations

import numpy as np
import pytest

from SAMSpineLib.engine.contest import settled
from SAMSpineLib.engine.merging import PatchAnswer, merge
from SAMSpineLib.volume import Grid

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
