"""Several labels prompted at once: they settle, each can be undone, and what is finished stays."""

from __future__ import annotations

import numpy as np
import pytest

from SAMSpineLib.errors import PromptError
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.prompts import MaskPrompt, Point
from SAMSpineLib.volume import Grid

L3, L4, L5 = (spine_labels().by_name(name) for name in ("L3", "L4", "L5"))
ABOVE, BELOW = Point((0.0, 0.0, 6.0)), Point((0.0, 0.0, -6.0))


def test_neighbours_that_overlap_meet_half_way_whatever_the_order(open_session):
    results = []
    for orders in ({L3: [ABOVE], L4: [BELOW]}, {L4: [BELOW], L3: [ABOVE]}):
        session = open_session()
        updates = session.add_all(orders)
        assert {update.label for update in updates} == {L3.value, L4.value}
        results.append(session.result.copy())
    same = results[0] == results[1]
    assert (~same).sum() <= 0.01 * (results[0] > 0).sum()
    top, bottom = (np.argwhere(results[0] == one.value) for one in (L3, L4))
    assert abs(len(top) - len(bottom)) <= 0.1 * len(top)
    grid = open_session().volume.grid
    assert grid.to_ras(top[:, ::-1])[:, 2].min() >= -1.1
    assert grid.to_ras(bottom[:, ::-1])[:, 2].max() <= 1.1


def test_each_label_is_one_step_to_undo(open_session):
    session = open_session()
    session.add_all({L3: [ABOVE], L4: [BELOW]})
    full = session.result.copy()
    session.undo()
    assert np.array_equal(session.result, np.where(full == L4.value, 0, full))
    session.undo()
    assert not session.result.any()
    session.redo()
    session.redo()
    assert np.array_equal(session.result, full)


def test_a_click_afterwards_corrects_one_label_and_leaves_the_others(open_session):
    session = open_session()
    session.add_all({L3: [ABOVE], L4: [BELOW]})
    before = session.result.copy()
    session.select(L3)
    session.add(Point((0.0, 0.0, 12.0), positive=False))
    assert np.array_equal(session.result == L4.value, before == L4.value)
    assert (session.result == L3.value).sum() < (before == L3.value).sum()


def test_a_mask_and_a_click_are_both_given_in_their_order(open_session, fake):
    model = fake()
    session = open_session(model)
    grid = Grid.centred_on((0, 0, 6), shape=(8, 8, 8), spacing=3.0)
    mask = MaskPrompt(np.ones(grid.shape, bool), grid)
    session.add_all({L3: [mask, ABOVE]})
    assert [len(call["prompts"]) for call in model.decoded] == [1, 2]
    session.select(L3)
    assert session.prompts == (mask, ABOVE)


def test_what_was_answered_before_an_interruption_is_kept_and_settled(open_session):
    session, told = open_session(), []

    def stop_after_two(done, total, name):
        told.append((done, total, name))
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session.add_all({L3: [ABOVE], L4: [BELOW], L5: [Point((30.0, 0.0, 0.0))]}, progress=stop_after_two)
    assert told == [(1, 3, "L3"), (2, 3, "L4")]
    assert set(np.unique(session.result)) == {0, L3.value, L4.value}


def test_a_prompt_outside_the_volume_changes_nothing_at_all(open_session):
    session = open_session()
    with pytest.raises(PromptError, match="outside the volume"):
        session.add_all({L3: [ABOVE], L4: [Point((0.0, 0.0, 999.0))]})
    assert not session.result.any()
