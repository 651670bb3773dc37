"""A click in a slice paints that slice anew and no other, and gives what painting everything anew would give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from SAMSpineLib.engine.history import LabelState
from SAMSpineLib.engine.painting import union
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.prompts import Point
from SAMSpineLib.volume import slices_of

from .conftest import FakeSlices, ellipsoid, places
from .test_session_slices import VIEWS

L3, L4 = (spine_labels().by_name(name) for name in ("L3", "L4"))
BONE = ellipsoid((3.0, 2.0, 1.0), (14.0, 11.0, 9.0))


@pytest.fixture
def session(open_session):
    opened = open_session(FakeSlices([BONE]))
    opened.select(L3)
    return opened


def painted_anew(session):
    """Return what the selected label marks, all of it painted at once."""
    state = session._state
    new = session._reader.repaint(LabelState(earlier=state.earlier), state)
    mask = np.zeros(session.volume.shape, bool)
    if new.marked is not None:
        mask[slices_of(new.marked[1])] = new.marked[0]
    if state.earlier is not None:
        kept, extent = state.earlier.beyond(state.grids, state.earlier.extent)
        mask[slices_of(extent)] |= kept
    return mask


def random_step(session, generator):
    """Click somewhere near the bone in a view, or do what a user does between clicks."""
    kind = generator.choice(["click", "click", "click", "next", "propagate", "undo", "remove"])
    if kind == "next" and session.follows(session.label.value):
        session.next_candidate()
    elif kind == "propagate" and session.follows(session.label.value):
        session.propagate()
    elif kind == "undo":
        session.undo()
    elif kind == "remove" and session.prompts:
        session.remove(session.prompts[0])
    else:
        ras = tuple(float(x) for x in generator.uniform((-14, -12, -10), (20, 16, 12)))
        view = generator.choice(list(VIEWS))
        session.add(Point(ras, positive=bool(generator.random() < 0.7), normal=VIEWS[view]))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("earlier", [False, True])
def test_whatever_was_done_the_map_is_what_painting_everything_at_once_gives(seed, earlier, open_session, ct):
    shifted = BONE(places(ct.grid) - np.array([6.0, 0.0, 0.0])) < 0
    labels = np.where(shifted, L3.value, 0).astype(np.uint16) if earlier else None
    session, generator = open_session(FakeSlices([BONE]), labels=labels), np.random.default_rng(seed)
    session.select(L3)
    for _ in range(12):
        random_step(session, generator)
        if session.prompts:
            np.testing.assert_array_equal(session.mask(L3.value) > 0, painted_anew(session))


@pytest.mark.parametrize("seed", range(3))
def test_undo_gives_each_state_back_bit_for_bit(seed, session):
    generator, seen = np.random.default_rng(seed), [session.result.copy()]
    for _ in range(10):
        ras = tuple(float(x) for x in generator.uniform((-14, -12, -10), (20, 16, 12)))
        session.add(Point(ras, positive=bool(generator.random() < 0.7), normal=VIEWS[generator.choice(list(VIEWS))]))
        seen.append(session.result.copy())
    for before in reversed(seen[:-1]):
        session.undo()
        np.testing.assert_array_equal(session.result, before)
    for after in seen[1:]:
        session.redo()
        np.testing.assert_array_equal(session.result, after)


def test_a_click_changes_its_own_slice_only_however_many_others_there_are(session):
    for height in (-5.4, -3.4, 1.4, 5.4):
        update = session.add(Point((3.4, 2.4, height)))
        k = session.volume.grid.voxel_at((3.4, 2.4, height))[0]
        assert update.extent[4:] == (k, k)
    assert session.mask(L3.value).any(axis=(1, 2)).sum() == 4


def test_an_update_and_the_map_before_it_make_the_map_after_it(session):
    generator = np.random.default_rng(5)
    for _ in range(12):
        before = session.mask(L3.value)
        view = VIEWS[generator.choice(list(VIEWS))]
        update = session.add(Point(tuple(float(x) for x in generator.uniform(-8, 8, 3)), normal=view))
        before[slices_of(update.extent)] = update.mask
        np.testing.assert_array_equal(before, session.mask(L3.value))


def test_a_voxel_that_was_clicked_stays_as_it_was_clicked_when_its_slice_is_painted_anew(session):
    far = Point((-30.0, 20.0, 1.4))
    session.add(Point((3.4, 2.4, 1.4)))
    session.add(far)
    session.add(Point((3.4, 4.4, 1.4), positive=False))
    assert session.result[session.volume.grid.voxel_at(far.ras)] == L3.value
    assert session.result[session.volume.grid.voxel_at((3.4, 4.4, 1.4))] == 0


def test_what_another_label_has_taken_meanwhile_stays_its_own(session):
    session.add(Point((3.4, 2.4, 1.4)))
    session.select(L4, overwrite=True)
    session.add(Point((3.4, 2.4, 1.4), normal=VIEWS["sagittal"]))
    theirs = session.mask(L4.value)
    session.select(L3)
    session.add(Point((3.4, 2.4, 5.4)))
    np.testing.assert_array_equal(session.mask(L4.value), theirs)


def test_another_order_of_slices_that_cross_paints_all_of_them_anew(session):
    session.add(Point((3.4, 2.4, 1.4)))
    session.add(Point((3.4, 2.4, 1.4), normal=VIEWS["sagittal"]))
    state = session._state
    turned = replace(state, slices=state.slices[::-1])
    assert session._reader.repaint(state, turned).extent == state.painted
    assert session._reader.repaint(state, state).extent is None


def test_an_earlier_result_that_counts_no_more_is_painted_over(open_session, ct):
    labels = np.where(BONE(places(ct.grid)) < 0, L3.value, 0).astype(np.uint16)
    session = open_session(FakeSlices([BONE]), labels=labels)
    session.select(L3)
    session.add(Point((3.4, 2.4, 1.4)))
    state = session._state
    extent = session._reader.repaint(state, replace(state, earlier=None)).extent
    assert union(extent, state.earlier.extent) == extent
