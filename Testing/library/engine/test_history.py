"""Steps are kept in order and within a bound."""

from __future__ import annotations

import numpy as np
import pytest

from SAMSpineLib.engine.history import History, LabelState, Step
from SAMSpineLib.engine.merging import PatchAnswer
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.prompts import Point
from SAMSpineLib.volume import Grid

STEP_BYTES = 2 * 2 * 10**3


def step(number, answers=()):
    crop = np.full((10, 10, 10), number, np.uint16)
    return Step(number, (0, 9, 0, 9, 0, 9), crop, crop + 1, LabelState(), LabelState(answers=answers))


def filled(count, limit):
    history, steps = History(limit_bytes=limit), [step(n) for n in range(count)]
    for one in steps:
        history.push(one)
    return history, steps


def undone(history):
    return [one.label for one in iter(history.undo, None)]


def test_steps_come_back_newest_first_and_go_again_oldest_first():
    history, _ = filled(4, 10**9)
    assert undone(history) == [3, 2, 1, 0]
    assert [one.label for one in iter(history.redo, None)] == [0, 1, 2, 3]
    assert history.redo() is None


def test_a_new_step_forgets_what_was_undone():
    history, _ = filled(3, 10**9)
    history.undo()
    history.undo()
    history.push(step(9))
    assert history.redo() is None
    assert undone(history) == [9, 0]


@pytest.mark.parametrize(("limit", "kept"), [(0, 1), (STEP_BYTES, 1), (3 * STEP_BYTES, 3), (10**9, 5)])
def test_the_oldest_steps_go_when_memory_is_short_and_the_newest_never(limit, kept):
    history, _ = filled(5, limit)
    assert undone(history) == [4, 3, 2, 1, 0][:kept]


def test_a_step_counts_its_crops_and_the_answers_that_it_replaced():
    probability = np.zeros((4, 4, 4), np.float32)
    one, other = (PatchAnswer(Grid(probability.shape, np.eye(4)), probability, prompted=True) for _ in range(2))
    crops = [np.zeros((10, 10, 10), np.uint16)] * 2
    assert step(0).nbytes == step(0, (one,)).nbytes == STEP_BYTES
    kept = Step(1, (0, 9, 0, 9, 0, 9), *crops, LabelState(answers=(one,)), LabelState(answers=(one, other)))
    assert kept.nbytes == STEP_BYTES
    replaced = Step(1, (0, 9, 0, 9, 0, 9), *crops, LabelState(answers=(one, other)), LabelState(answers=(other,)))
    assert replaced.nbytes == STEP_BYTES + probability.nbytes


def test_what_the_steps_take_is_known_whatever_was_done_and_undone():
    history, _ = filled(5, 3 * STEP_BYTES)
    assert history.nbytes == 3 * STEP_BYTES
    history.undo()
    assert history.nbytes == 3 * STEP_BYTES
    history.push(step(9))
    assert history.nbytes == 3 * STEP_BYTES
    history.undo()
    history.undo()
    history.push(step(10))
    assert history.nbytes == 2 * STEP_BYTES
    history.clear()
    assert history.nbytes == 0


def test_a_session_keeps_its_undo_within_the_bound_and_the_last_step_always(open_session):
    session = open_session(undo_bytes=1)
    session.select(spine_labels().by_name("L3"))
    before = session.add(Point((0.0, 0.0, 0.0))) and session.result.copy()
    session.add(Point((5.0, 0.0, 0.0)))
    assert not session.undo().is_empty
    assert np.array_equal(session.result, before)
    assert session.undo().is_empty
