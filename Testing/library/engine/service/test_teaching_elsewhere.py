"""Orders to teach travel to the engine with their volumes, tell how far they are, and can be ended."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from SAMSpineLib.errors import EngineError, LabelError
from SAMSpineLib.labels import Label, spine_labels
from SAMSpineLib.lesson_order import LabelledVolume, LessonOrder, LessonResult
from SAMSpineLib.prompts import Point

L3 = spine_labels().by_name("L3")
MINE = Label(1001, "my bone", "my bone", "custom", (9, 8, 7))


class FakeTeacher:
    """Takes an order, and as many turns as it is let."""

    def __init__(self) -> None:
        self.orders: list[LessonOrder] = []
        self.turns, self.go_on = 3, threading.Event()

    def __call__(self, order, *, progress=None, cancelled=None):
        self.orders.append(order)
        if order.name == "bad":
            msg = "too little to learn from"
            raise LabelError(msg)
        for turn in range(self.turns):
            progress(f"turn {turn}", turn / self.turns)
            if cancelled():
                return LessonResult(order.name, 10, turn, "cancelled", {"dice": 0.5})
            self.go_on.wait(0.02)
        return LessonResult(order.name, 10, self.turns, "all steps were taken", {"dice": 0.8})


@pytest.fixture
def teacher():
    return FakeTeacher()


@pytest.fixture
def served(serve, fake_slices, teacher):
    with serve(fake_slices()) as engine:
        engine.hosting.teacher = teacher
        yield engine


@pytest.fixture
def session(served, ct):
    session = served.session()
    session.set_volume(ct)
    return session


@pytest.fixture
def order(ct):
    labels = np.zeros(ct.shape, np.uint16)
    labels[3:6, 4:9, 5:8] = MINE.value
    return LessonOrder("mine", (MINE,), (LabelledVolume(ct, labels, "somebody", complete=True),), 7)


def ask(session, order, progress=None):
    return session._do(session.mirror.teach(order, progress=progress))


def test_the_order_arrives_whole_and_what_came_of_it_comes_back(session, teacher, order, ct):
    told = []
    found = ask(session, order, lambda said, share: told.append((said, share)))
    assert found == LessonResult("mine", 10, 3, "all steps were taken", {"dice": 0.8})
    assert told[-1][0].startswith("turn")
    (arrived,) = teacher.orders
    (one,) = arrived.volumes
    assert (arrived.name, arrived.steps, one.subject, one.complete) == ("mine", 7, "somebody", True)
    assert [(label.value, label.name, label.colour) for label in arrived.structures] == [(1001, "my bone", (9, 8, 7))]
    np.testing.assert_array_equal(one.volume.array, ct.array)
    np.testing.assert_array_equal(one.labels, order.volumes[0].labels)
    np.testing.assert_array_equal(one.volume.ijk_to_ras, ct.ijk_to_ras)


def test_teaching_changes_nothing_in_the_session(session, order):
    session.select(L3)
    session.add(Point((3.4, 2.4, 1.4)))
    before = session.result.copy()
    ask(session, order)
    np.testing.assert_array_equal(session.result, before)
    session.undo()
    assert not session.result.any()


def test_it_can_be_ended_and_keeps_the_best_so_far(session, teacher, order):
    teacher.turns = 1000
    cancelling = []

    def progress(said, share):
        if not cancelling:
            cancelling.append(said)
            session._cancel()

    assert ask(session, order, progress).stopped == "cancelled"


def test_what_cannot_be_taught_is_said(session, served, order, ct):
    with pytest.raises(LabelError, match="too little"):
        ask(session, LessonOrder("bad", order.structures, order.volumes))
    wrong = LabelledVolume(ct, np.zeros((2, 3, 4), np.uint16), "somebody")
    with pytest.raises(LabelError, match="shape"):
        ask(session, LessonOrder("mine", order.structures, (wrong,)))
    served.hosting.teacher = None
    with pytest.raises(EngineError, match="does not teach"):
        ask(session, order)
