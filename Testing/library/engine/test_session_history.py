"""Every step can be taken back bit for bit, and what a face has drawn can follow every step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from SAMSpineLib.labels import spine_labels
from SAMSpineLib.prompts import Point
from SAMSpineLib.volume import slices_of

LABELS = [spine_labels().by_name(name) for name in ("L2", "L3", "L4", "sacrum")]
PLACES = st.tuples(*[st.sampled_from([-30.0, -14.0, -5.0, 0.0, 8.0, 21.0, 33.0])] * 3)
STEPS = st.one_of(
    st.tuples(st.just("add"), PLACES, st.booleans()),
    st.tuples(st.just("add"), PLACES, st.just(True)),
    st.tuples(st.just("select"), st.integers(0, 3), st.booleans()),
    st.tuples(st.just("remove"), st.integers(0, 5), st.none()),
    st.tuples(st.sampled_from(["undo", "redo", "undo", "redo", "clear"]), st.none(), st.none()),
)
RANDOM = settings(max_examples=30, deadline=None, derandomize=True)


def earlier_result(shape):
    labels = np.zeros(shape, np.uint8)
    labels[4:20, 8:30, 10:40] = LABELS[1].value
    labels[20:34, 8:30, 10:40] = LABELS[2].value
    return labels


def perform(session, step):
    """Do one step; return its update, or None for a selection or where there is nothing to remove."""
    kind, first, second = step
    if kind == "select":
        session.select(LABELS[first], overwrite=second)
    elif kind == "add":
        return session.add(Point(first, positive=second))
    elif kind == "remove":
        return session.remove(session.prompts[first % len(session.prompts)]) if session.prompts else None
    else:
        return getattr(session, kind)()
    return None


def snapshot(session):
    """Return the label map and all labels' prompts."""
    prompts = {}
    selected, overwrite = session._label, session._overwrite
    for label in LABELS:
        session.select(label)
        prompts[label.value] = session.prompts
    session.select(selected, overwrite=overwrite)
    return session.result.copy(), prompts


def same(a, b):
    return np.array_equal(a[0], b[0]) and a[1] == b[1]


def start(open_session, fake, ct, loaded):
    session = open_session(
        fake(patch=16, spacing=3.0), labels=earlier_result(ct.shape) if loaded else None, max_patches=3
    )
    session.select(LABELS[1])
    return session


@RANDOM
@given(steps=st.lists(STEPS, max_size=10), loaded=st.booleans())
def test_undo_and_redo_restore_map_and_prompts_bit_for_bit(open_session, fake, ct, steps, loaded):
    session = start(open_session, fake, ct, loaded)
    done, undone = [snapshot(session)], []
    for step in steps:
        update = perform(session, step)
        if step[0] == "undo" and len(done) > 1:
            undone.append(done.pop())
        elif step[0] == "redo" and undone:
            done.append(undone.pop())
        elif step[0] in ("add", "remove", "clear") and update is not None:
            done.append(snapshot(session))
            undone.clear()
        assert same(snapshot(session), done[-1]), step
    for expected in reversed(done[:-1]):
        session.undo()
        assert same(snapshot(session), expected)
    assert session.undo().is_empty
    for expected in done[1:]:
        session.redo()
        assert same(snapshot(session), expected)


@RANDOM
@example(steps=[("select", 3, True), ("add", (0.0, -5.0, -5.0), True), ("undo", None, None)], loaded=True)
@given(steps=st.lists(STEPS, max_size=12), loaded=st.booleans())
def test_a_face_that_applies_each_crop_shows_the_result(open_session, fake, ct, steps, loaded):
    """What a face draws: the label's mask in the crop; of those named as overwritten, what the result says there."""
    session = start(open_session, fake, ct, loaded)
    shown = session.result.copy()
    for step in steps:
        update = perform(session, step)
        if update is None or update.is_empty:
            continue
        crop, truth = shown[slices_of(update.extent)], session.result[slices_of(update.extent)]
        for other in update.overwritten:
            crop[crop == other] = 0
            crop[truth == other] = other
        crop[crop == update.label] = 0
        assert not (crop[update.mask > 0]).any(), "a voxel changed hands and nobody was told"
        crop[update.mask > 0] = update.label
        assert np.array_equal(shown, session.result), step


@RANDOM
@given(steps=st.lists(STEPS, max_size=8))
def test_without_overwriting_no_label_ever_loses_a_voxel_to_another(open_session, fake, ct, steps):
    session = start(open_session, fake, ct, loaded=True)
    for kind, first, second in steps:
        if kind in ("undo", "redo"):
            continue
        before = session.result.copy()
        update = perform(session, (kind, first, False if kind == "select" else second))
        others = (before != 0) & (before != session.label.value)
        assert np.array_equal(session.result[others], before[others])
        assert update is None or update.overwritten == ()


CLICKS = [((0.0, 0.0, 0.0), True), ((21.0, 4.0, 0.0), True), ((5.0, 0.0, 4.0), False), ((-20.0, -8.0, 9.0), True)]


@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("which", range(4))
def test_a_removed_prompt_was_never_there(open_session, fake, ct, which, loaded):
    def clicked(points):
        session = start(open_session, fake, ct, loaded)
        for place, positive in points:
            session.add(Point(place, positive=positive))
        return session

    removed = clicked(CLICKS)
    removed.remove(Point(*CLICKS[which]))
    never = clicked(CLICKS[:which] + CLICKS[which + 1 :])
    assert same(snapshot(removed), snapshot(never))


@pytest.mark.parametrize("loaded", [False, True])
def test_removing_the_only_prompt_gives_back_what_was_there(open_session, fake, ct, loaded):
    session = start(open_session, fake, ct, loaded)
    before = snapshot(session)
    session.add(Point((0.0, 0.0, 0.0), positive=False))
    session.add(Point((3.0, 0.0, 0.0)))
    session.remove(Point((0.0, 0.0, 0.0), positive=False))
    session.remove(Point((3.0, 0.0, 0.0)))
    assert same(snapshot(session), before)


def test_an_earlier_result_stays_outside_the_patches_and_guides_the_network_inside(open_session, fake, ct):
    model = fake(patch=8, spacing=2.0)
    earlier = earlier_result(ct.shape)
    session = open_session(model, labels=earlier, max_patches=1)
    session.select(LABELS[1])
    update = session.add(Point((0.0, -10.0, -20.0)))
    previous = model.decoded[0]["previous"]
    assert previous is not None
    assert previous.max() == 1.0
    outside = np.ones(ct.shape, bool)
    outside[slices_of(ct.grid.extent_of(update.visited[0]))] = False
    assert np.array_equal(session.result[outside], earlier[outside])


def test_an_earlier_result_can_be_corrected_by_a_negative_click(open_session, fake, ct):
    session = open_session(fake(), labels=earlier_result(ct.shape), max_patches=1)
    session.select(LABELS[1])
    before = session.mask(LABELS[1].value).sum()
    click = Point((0.0, -10.0, -20.0), positive=False)
    session.add(click)
    assert session.result[ct.grid.voxel_at(click.ras)] != LABELS[1].value
    assert 0 < session.mask(LABELS[1].value).sum() < before - 10


def test_clear_removes_an_earlier_result_too_and_undo_brings_it_back(open_session, fake, ct):
    earlier = earlier_result(ct.shape)
    session = open_session(fake(), labels=earlier)
    session.select(LABELS[1])
    session.clear()
    assert not session.mask(LABELS[1].value).any()
    assert session.mask(LABELS[2].value).sum() == (earlier == LABELS[2].value).sum()
    session.undo()
    assert np.array_equal(session.result, earlier)


def test_undo_says_whose_voxels_came_back(open_session, fake, ct):
    session = open_session(fake(), labels=earlier_result(ct.shape))
    session.select(LABELS[3], overwrite=True)
    taken = session.add(Point((0.0, -10.0, -20.0)))
    assert taken.overwritten == (LABELS[1].value,)
    assert session.undo().overwritten == (LABELS[1].value,)
    assert session.redo().overwritten == (LABELS[1].value,)


def test_nothing_to_undo_is_said_and_changes_nothing(open_session):
    session = open_session()
    session.select(LABELS[0])
    assert session.undo().is_empty
    assert "nothing" in session.redo().message
