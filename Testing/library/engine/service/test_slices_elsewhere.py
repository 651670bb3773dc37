"""Prompts in slices, other masks and following through the stack: the same in this process and in another."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from SAMSpineLib.engine.session import Session
from SAMSpineLib.errors import Cancelled, PromptError
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.prompts import Box, Lasso, Point, Scribble
from SAMSpineLib.stack import stack_along

L3, L4 = (spine_labels().by_name(name) for name in ("L3", "L4"))
IN_BONE, IN_OTHER = (3.4, 2.4, 1.4), (-30.0, 0.0, 0.0)
SAGITTAL = (1.0, 0.0, 0.0)


def stop(done: int, total: int, name: str) -> None:
    """Say after two slices that it is enough."""
    if done >= 2:
        msg = "enough"
        raise Cancelled(msg)


@pytest.fixture
def shown(shapes):
    return [shapes["ellipsoid"]((3.0, 2.0, 1.0), (14.0, 11.0, 9.0)), shapes["ball"](IN_OTHER, 8.0)]


@pytest.fixture
def here(fake_slices, shown, ct):
    session = Session(fake_slices(shown))
    session.set_volume(ct)
    session.select(L3)
    return session


@pytest.fixture
def served(serve, fake_slices, shown):
    with serve(fake_slices(shown)) as engine:
        yield engine


@pytest.fixture
def there(served, ct):
    session = served.session()
    session.set_volume(ct)
    session.select(L3)
    return session


def test_whether_a_label_can_be_followed_is_known_without_asking(here, there, serve, fake, ct):
    assert not here.follows(L3.value)
    assert not there.follows(L3.value)
    here.add(Point(IN_BONE))
    there.add(Point(IN_BONE))
    assert here.follows(L3.value)
    assert there.follows(L3.value)
    with serve(fake()) as cubes:
        session = cubes.session()
        session.set_volume(ct)
        session.select(L3)
        session.add(Point((0.0, 0.0, 0.0)))
        assert not session.follows(L3.value)


@pytest.mark.parametrize(
    "prompt",
    [
        Point(IN_BONE, normal=SAGITTAL),
        Box((-4.0, -4.0, 1.4), (8.0, 8.0, 1.4), normal=(0.0, 0.6, 0.8)),
        Scribble((IN_BONE, (6.0, 2.4, 1.4)), normal=(0.0, 0.0, 1.0)),
        Lasso(((0.0, 0.0, 1.4), (8.0, 0.0, 1.4), (8.0, 8.0, 1.4)), normal=(0.0, 0.0, 1.0)),
    ],
)
def test_which_way_a_slice_faces_travels_with_what_is_drawn_in_it(here, there, prompt):
    first, second = here.add(prompt), there.add(prompt)
    np.testing.assert_array_equal(first.mask, second.mask)
    assert first.extent == second.extent
    assert there.prompts == (prompt,)


def test_a_click_in_a_sagittal_view_marks_that_slice_only(there):
    there.add(Point(IN_BONE, normal=SAGITTAL))
    stack = stack_along(there.volume.grid, SAGITTAL)
    marked = np.argwhere(there.mask(L3.value))
    places = there.volume.grid.to_ras(marked[:, ::-1].astype(float))
    assert len(marked) > 30
    assert set(stack.indices_at(places)) == {stack.index_at(IN_BONE)}


def test_other_masks_and_following_give_the_same_voxels_and_undo_takes_them_back(here, there):
    before = []
    for session in (here, there):
        session.add(Point(IN_BONE))
        before.append(session.result.copy())
        session.next_candidate()
        assert (session.result != before[-1]).any()
        session.undo()
        np.testing.assert_array_equal(session.result, before[-1])
        told = []
        session.propagate(progress=lambda done, total, name, told=told: told.append((done, total, name)))
        assert told
        assert told[-1][2] == L3.name
    np.testing.assert_array_equal(here.result, there.result)
    assert (there.result > 0).sum() > 3 * (before[1] > 0).sum()
    there.undo()
    np.testing.assert_array_equal(there.result, before[1])
    there.redo()
    np.testing.assert_array_equal(here.result, there.result)


def test_several_labels_are_followed_in_one_pass(here, there):
    for session in (here, there):
        for label, place in ((L3, IN_BONE), (L4, IN_OTHER)):
            session.select(label)
            session.add(Point(place))
        assert {update.label for update in session.propagate([L3, L4])} == {L3.value, L4.value}
    np.testing.assert_array_equal(here.result, there.result)


def test_without_a_prompted_slice_nothing_can_be_followed_nor_chosen(there):
    for ask in (there.next_candidate, there.propagate):
        with pytest.raises(PromptError, match="prompt"):
            ask()
    there.add(Point(IN_BONE))
    assert there.result.any()


def test_following_that_is_ended_keeps_what_was_found(there, served):
    there.add(Point(IN_BONE))
    alone = int((there.result > 0).sum())

    slow, go_on = served.model.tracker, threading.Event()

    def tracker(count):
        found = slow(count)
        follow = found.follow

        def patient(*words, **more):
            go_on.wait(0.1)
            return follow(*words, **more)

        found.follow = patient
        return found

    served.model.tracker = tracker
    with pytest.raises(Cancelled, match="enough"):
        there.propagate(progress=stop)
    found = there.result.copy()
    assert (found > 0).sum() > alone
    served.model.tracker = slow
    there.propagate()
    assert (there.result > 0).sum() > (found > 0).sum()


def test_a_lost_engine_is_brought_back_with_other_masks_and_what_was_followed(there, served):
    there.add(Point(IN_BONE))
    there.next_candidate()
    there.undo()
    there.propagate()
    before, lost = there.result.copy(), there.mirror
    served.hosting.close(lost._state.session)
    told = []
    there._notify = told.append
    there.add(Point((3.4, 6.4, 1.4), positive=False))
    assert "repeated" in told[0]
    assert "differently" not in told[0]
    there.undo()
    np.testing.assert_array_equal(there.result, before)


def test_following_that_was_ended_is_repeated_as_far_as_it_went(there, served):
    there.add(Point(IN_BONE))

    with pytest.raises(Cancelled):
        there.propagate(progress=stop)
    before = there.result.copy()
    served.hosting.close(there.mirror._state.session)
    told = []
    there._notify = told.append
    there.select(L4)
    there.add(Point(IN_OTHER))
    assert "differently" not in told[0]
    np.testing.assert_array_equal(there.result == L3.value, before == L3.value)
