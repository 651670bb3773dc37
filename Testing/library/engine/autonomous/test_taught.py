"""A taught network over a whole volume: where structures are along the stack, pieces, rivals, undo and clicks."""

from __future__ import annotations

import numpy as np
import pytest

from SAMSpineLib.engine.autonomous.taught import main_pieces, segment_taught
from SAMSpineLib.engine.fallback import sturdy_session
from SAMSpineLib.engine.networks import Networks
from SAMSpineLib.engine.session import Session
from SAMSpineLib.errors import PromptError
from SAMSpineLib.models.protocols import TaughtPromptable
from SAMSpineLib.models.self_prompting import there
from SAMSpineLib.prompts import Point

from ..conftest import BESIDE, BONE, DISC, L3, FakeSlices, FakeTaught, places


@pytest.fixture
def model():
    return FakeTaught()


@pytest.fixture
def session(open_session, model):
    return open_session(model)


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return 2 * float((first & second).sum()) / float(first.sum() + second.sum())


def test_the_fake_is_what_the_protocol_wants(model):
    assert isinstance(model, TaughtPromptable)


def test_what_was_taught_is_found_in_the_direction_in_which_it_was_taught(session, model):
    told = []
    result = segment_taught(session, progress=lambda stage, share: told.append(share))
    grid = session.volume.grid
    assert overlap(session.mask(L3.value) > 0, BONE(places(grid)) < 0) > 0.93
    assert overlap(session.mask(DISC.value) > 0, BESIDE(places(grid)) < 0) > 0.9
    assert model.looked == grid.shape[2]
    assert told[0] == 0
    assert told[-1] == 1
    assert [(one.value, bool(one.flags)) for one in result.levels] == [(L3.value, False), (DISC.value, True)]
    assert result.structures == (L3, DISC)
    np.testing.assert_allclose(result.levels[1].centre, (-30, 0, 0), atol=1.0)


def test_each_structure_is_one_step_and_undo_restores_bit_for_bit(session):
    session.select(L3)
    session.add(Point((0.0, 0.0, 0.0)))
    before = session.result.copy()
    segment_taught(session)
    after = session.result.copy()
    session.undo()
    session.undo()
    np.testing.assert_array_equal(session.result, before)
    assert session.prompts == (Point((0.0, 0.0, 0.0)),) or session.label != L3
    session.redo()
    session.redo()
    np.testing.assert_array_equal(session.result, after)


def test_a_click_corrects_the_slice_that_it_is_in_and_no_other(session, model):
    segment_taught(session)
    before = session.result.copy()
    session.select(L3)
    session.add(Point((0.4, 8.4, 0.4), positive=False, normal=(1.0, 0.0, 0.0)))
    changed = np.argwhere(before != session.result)
    assert len(changed) > 5
    assert len(set(changed[:, 2])) == 1
    assert model.asked


def test_one_slice_that_is_unsure_is_kept_between_two_and_one_that_is_sure_alone_is_not():
    np.testing.assert_array_equal(there(np.array([0.9, 0.9, 0.2, 0.9, 0.9])), [True] * 5)
    np.testing.assert_array_equal(there(np.array([0.1, 0.1, 0.9, 0.1, 0.1])), [False] * 5)
    np.testing.assert_array_equal(there(np.array([0.8])), [True])
    np.testing.assert_array_equal(there(np.array([0.8, 0.2])), [True, False])


def test_presence_vetoes_slices(open_session, model):
    model.presence = dict.fromkeys(range(100), 0.0)
    session = open_session(model)
    result = segment_taught(session)
    assert not session.mask(L3.value).any()
    assert session.mask(DISC.value).any()
    assert [one.value for one in result.levels] == [DISC.value]


def test_small_pieces_are_left_out_of_a_stack_and_kept_in_a_picture():
    inside = np.zeros((3, 20, 20), bool)
    inside[:, 2:12, 2:12] = True
    inside[1, 18, 18] = True
    kept = main_pieces(inside)
    assert kept.sum() == 300
    assert main_pieces(inside[1:2]).sum() == 101
    inside[:, 15:20, 2:12] = True
    assert main_pieces(inside).sum() == 300 + 150


def test_what_is_cancelled_changes_nothing(session, model):
    result = segment_taught(session, cancelled=lambda: model.looked >= 5)
    assert "Cancelled" in result.message
    assert not session.result.any()
    assert not result.levels
    assert model.looked == 5


def test_a_network_that_was_taught_nothing_says_so(open_session):
    with pytest.raises(PromptError, match="taught"):
        segment_taught(open_session(FakeSlices([BONE])))


def test_it_survives_behind_the_sturdy_door(ct, model):
    session, _ = sturdy_session(Networks(lambda _: model, lambda _: None), lambda _: None)
    assert isinstance(session, Session)
    session.set_volume(ct)
    segment_taught(session)
    assert session.mask(L3.value).any()
