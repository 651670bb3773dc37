"""What a network was taught, found by an engine in another process as in this one."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from SAMSpineLib.engine.autonomous.taught import segment_taught
from SAMSpineLib.engine.session import Session
from SAMSpineLib.errors import PromptError
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.prompts import Point

L3 = spine_labels().by_name("L3")


@pytest.fixture
def served(serve, fake_taught):
    with serve(fake_taught()) as engine:
        yield engine


def test_it_gives_the_same_voxels_and_says_what_they_are(there, fake_taught, ct):
    here = Session(fake_taught())
    here.set_volume(ct)
    first, second = segment_taught(here), there.segment_spine(method="sam2rad")
    np.testing.assert_array_equal(here.result, there.result)
    assert [one.value for one in first.levels] == [one.value for one in second.levels]
    assert [one.name for one in second.structures] == ["L3", "my disc"]
    assert second.structures[1].colour == (1, 2, 3)
    there.undo()
    there.undo()
    assert not there.result.any()
    there.redo()
    assert there.result.any()


def test_a_click_goes_on_and_a_lost_engine_finds_it_all_again(there, lose_engine):
    there.segment_spine(method="sam2rad")
    there.select(L3)
    there.add(Point((0.4, 8.4, 0.4), positive=False, normal=(1.0, 0.0, 0.0)))
    lose_engine()


def test_cancelling_changes_nothing(there, served):
    go_on = threading.Event()
    look = served.model.look

    def slowly(encoded):
        go_on.wait(0.05)
        return look(encoded)

    served.model.look = slowly
    result = there.segment_spine(method="sam2rad", cancelled=lambda: True)
    assert "Cancelled" in result.message
    assert not there.result.any()


def test_a_network_that_was_taught_nothing_says_so(serve, fake_slices, ct):
    with serve(fake_slices()) as engine:
        session = engine.session()
        session.set_volume(ct)
        with pytest.raises(PromptError, match="taught"):
            session.segment_spine(method="sam2rad")
