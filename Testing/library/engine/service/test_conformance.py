"""The same session, in this process and in another: one suite for both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from SAMSpineLib.engine.autonomous.pipeline import segment_spine
from SAMSpineLib.engine.session import Session
from SAMSpineLib.errors import LabelError, PromptError
from SAMSpineLib.labels import Label, spine_labels
from SAMSpineLib.prompts import Box, Lasso, MaskPrompt, Point, Scribble
from SAMSpineLib.volume import Grid, slices_of

L1, L2, L3 = (spine_labels().by_name(name) for name in ("L1", "L2", "L3"))
HERE, THERE = (0.0, 0.0, 0.0), (0.0, 0.0, 24.0)
WAYS = ("in process", "remote", "remote, shared memory")


@pytest.fixture(params=WAYS)
def make(request, fake, serve, ct) -> Iterator[Callable[..., Any]]:
    """Give a function that makes a session, open on the small volume, in each of the ways."""
    if request.param == WAYS[0]:

        def build(model=None, *, volume=ct, labels=None):
            session = Session(model or fake())
            session.set_volume(volume, labels)
            return session

        yield build
        return
    with serve(fake()) as served:

        def build(model=None, *, volume=ct, labels=None):
            if model is not None:
                served.hosting.networks.__init__(lambda _: model, lambda _: served.localiser)
            session = served.session(shared_memory=request.param == WAYS[2])
            session.set_volume(volume, labels)
            return session

        yield build


@pytest.fixture
def session(make) -> Any:
    session = make()
    session.select(L3)
    return session


def same(update, other) -> bool:
    """Tell whether two updates say the same, voxel by voxel."""
    return (
        (update.label, update.extent, update.overwritten, update.message)
        == (other.label, other.extent, other.overwritten, other.message)
        and np.array_equal(update.mask, other.mask)
        and update.mask.dtype == other.mask.dtype == np.uint8
        and [grid.ijk_to_ras.tolist() for grid in update.visited]
        == [grid.ijk_to_ras.tolist() for grid in other.visited]
    )


def test_a_click_gives_the_crop_that_changed_and_the_result_holds_it(session):
    update = session.add(Point(HERE))
    assert update.label == L3.value
    assert update.mask.sum() == (session.result == L3.value).sum() > 300
    np.testing.assert_array_equal(session.result[slices_of(update.extent)] == L3.value, update.mask == 1)
    assert session.quality(L3.value) == 0.9
    assert session.prompts == (Point(HERE),)
    np.testing.assert_array_equal(session.mask(L3.value), session.result == L3.value)


def test_every_step_answers_as_in_process_to_the_bit(make, fake, open_session):
    session, truth = make(), open_session(fake())
    mask = np.zeros((5, 6, 7), bool)
    mask[1:4, 1:5, 1:6] = True
    rough = MaskPrompt(mask, Grid.centred_on(THERE, shape=mask.shape, spacing=3.0))
    soft = MaskPrompt(mask.astype(np.float32) * 0.7, Grid.centred_on(HERE, shape=mask.shape, spacing=2.5))
    script = [
        ("select", L3), ("add", Point(HERE)), ("add", Point((0, 0, 7.0), positive=False)),
        ("select", L2), ("add", rough),
        ("add", Scribble((THERE, (0.0, 5.0, 24.0)))), ("undo",), ("select", L1), ("add", soft),
        ("add", Lasso((HERE, THERE, (10, 0, 0)), positive=False)), ("add", Box((-9, -9, -9), (9, 9, 9))), ("undo",),
        ("undo",), ("redo",), ("remove", soft), ("undo",), ("select", L3), ("clear",), ("undo",), ("redo",), ("redo",),
        ("add_all", {L2: [Point(THERE)], L3: [Point((0, 0, 16.0)), Point(HERE)]}), ("undo",), ("undo",), ("redo",),
    ]  # fmt: skip
    for name, *words in script:
        update, expected = getattr(session, name)(*words), getattr(truth, name)(*words)
        if isinstance(expected, tuple):
            assert all(same(a, b) for a, b in zip(update, expected, strict=True))
        elif expected is not None:
            assert same(update, expected), name
        np.testing.assert_array_equal(session.result, truth.result)
        assert len(session.prompts) == len(truth.prompts)
        assert [session.quality(one.value) for one in (L1, L2, L3)] == [truth.quality(o.value) for o in (L1, L2, L3)]


def test_overwriting_brings_the_others_voxels_too(make, fake, shapes, open_session):
    balls = [shapes["ball"]((0, 0, 0), 10), shapes["ball"]((0, 0, 12), 10)]
    session, truth = make(fake(balls)), open_session(fake(balls))
    for one in (session, truth):
        one.select(L3)
        one.add(Point((0, 0, -4)))
        one.select(L2, overwrite=True)
    update, expected = session.add(Point((0, 0, 16))), truth.add(Point((0, 0, 16)))
    assert same(update, expected)
    assert update.overwritten == (L3.value,)
    np.testing.assert_array_equal(session.result, truth.result)
    assert same(session.undo(), truth.undo())
    np.testing.assert_array_equal(session.result, truth.result)


def test_undo_and_redo_are_bit_for_bit_and_end_quietly(session):
    before = session.result.copy()
    session.add(Point(HERE))
    after = session.result.copy()
    session.undo()
    np.testing.assert_array_equal(session.result, before)
    assert session.prompts == ()
    session.redo()
    np.testing.assert_array_equal(session.result, after)
    assert session.redo().is_empty
    session.undo()
    assert session.undo().message == "There is nothing to undo"


def test_an_earlier_result_is_gone_on_with(make, ct, fake, open_session):
    labels = np.zeros(ct.shape, np.int16)
    labels[10:30, 15:30, 15:30] = L3.value
    session, truth = make(labels=labels), open_session(fake(), labels=labels)
    np.testing.assert_array_equal(session.result, labels)
    for one in (session, truth):
        one.select(L3)
    assert same(session.add(Point(HERE)), truth.add(Point(HERE)))
    assert same(session.clear(), truth.clear())
    np.testing.assert_array_equal(session.result, truth.result)


def test_a_structure_of_ones_own_is_segmented(session):
    session.select(Label(5000, "screw", "screw", "other", (1, 2, 3)))
    assert session.add(Point(HERE)).label == 5000


def test_what_cannot_be_is_refused_with_the_same_words(make, fake, ct, open_session):
    session, truth = make(), open_session(fake())
    attempts: list[tuple[type[Exception], Callable[[Any], Any]]] = [
        (LabelError, lambda one: one.label),
        (PromptError, lambda one: (one.select(L3), one.add(Point((0, 0, 500.0))))),
        (PromptError, lambda one: one.remove(Point(HERE))),
        (PromptError, lambda one: one.add_all({L3: [Point(HERE)], L2: [Point((0, 900.0, 0))]})),
        (LabelError, lambda one: one.set_volume(ct, np.zeros((2, 2, 2), np.uint16))),
    ]
    for kind, attempt in attempts:
        said = []
        for one in (session, truth):
            with pytest.raises(kind) as caught:
                attempt(one)
            said.append(str(caught.value))
        assert said[0] == said[1]
    assert not session.result.any()
    session.add(Point(HERE))
    assert session.result.any()


def test_the_result_is_a_view_that_nobody_can_write_to(session):
    with pytest.raises(ValueError, match="read-only"):
        session.result[0, 0, 0] = 1


def test_many_labels_tell_their_progress_and_each_is_a_step(session):
    told = []
    updates = session.add_all({L3: [Point(HERE)], L2: [Point(THERE)]}, progress=lambda *words: told.append(words))
    assert [update.label for update in updates] == [L3.value, L2.value]
    assert told[-1] == (2, 2, "L2")
    assert session.label == L2
    session.undo()
    assert set(np.unique(session.result)) == {0, L3.value}


def test_what_progress_raises_ends_the_work_and_keeps_what_is_finished(session):
    class EnoughError(Exception):
        pass

    def stop(done, total, name):
        raise EnoughError

    with pytest.raises(EnoughError):
        session.add_all({L3: [Point(HERE)], L2: [Point(THERE)]}, progress=stop)
    assert L3.value in session.result
    session.undo()
    session.select(L1)
    session.add(Point(HERE))
    assert session.quality(L1.value) == 0.9


def test_another_volume_starts_from_nothing(session, ct):
    session.add(Point(HERE))
    session.set_volume(ct)
    assert not session.result.any()
    assert session.prompts == ()
    assert session.undo().is_empty


def run_spine(session, oracle, **words):
    if isinstance(session, Session):
        return segment_spine(session, oracle(), **words)
    return session.segment_spine(**words)


def test_a_whole_spine_is_found_and_told_of(make, oracle):
    session, shares = make(), []
    result = run_spine(session, oracle, progress=lambda stage, share: shares.append((stage, share)))
    assert len(result.levels) == 3
    assert shares == sorted(shares, key=lambda one: one[1])
    assert shares[-1] == ("segment", pytest.approx(1.0))
    np.testing.assert_array_equal(result.labels, session.result)
    for one in result.levels:
        assert one.voxels == (session.result == one.value).sum() > 0
        assert session.quality(one.value) == pytest.approx(one.quality)
    session.select(spine_labels().by_value(result.levels[0].value))
    assert len(session.prompts) == 2
    session.add(Point(result.levels[0].centre))
    for _ in range(4):
        session.undo()
    assert not session.result.any()


def test_a_cancelled_run_keeps_what_it_has(make, oracle, monkeypatch):
    monkeypatch.setattr(oracle, "pause", 0.2)
    session = make()
    result = run_spine(session, oracle, cancelled=lambda: True)
    assert result.message == "Cancelled; what was finished is kept"
    assert result.levels == ()
    session.select(L3)
    assert session.add(Point(HERE)).mask.any()
