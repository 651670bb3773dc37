"""The engine is killed, or its answer cut off, and the user notices one line."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
import torch

from SAMSpineLib.engine.fallback import SMALLER_BATCHES, WENT_TO_CPU
from SAMSpineLib.engine.memory import CACHE_EMPTIED
from SAMSpineLib.engine.networks import Networks
from SAMSpineLib.engine.service import hosted
from SAMSpineLib.engine.service.client import HttpTransport, RemoteSession
from SAMSpineLib.engine.service.upload import Way
from SAMSpineLib.errors import EngineError
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.prompts import Point
from SAMSpineLib.volume import Volume

L1, L2, L3 = (spine_labels().by_name(name) for name in ("L1", "L2", "L3"))
HERE, THERE, ELSEWHERE = (0.0, 0.0, 0.0), (0.0, 0.0, 24.0), (20.0, 10.0, -12.0)


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def child(tmp_path, notes) -> Iterator[RemoteSession]:
    """Give a session whose engine is a process of its own."""
    command = [sys.executable, str(Path(__file__).with_name("fake_engine.py")), str(tmp_path)]
    with RemoteSession.in_child(command, notify=notes.append) as session:
        yield session


def kill(session: RemoteSession) -> None:
    os.kill(session._engine.pid, getattr(signal, "SIGKILL", signal.SIGTERM))


def killing_at(session: RemoteSession, folder: Path, name: str) -> threading.Thread:
    """Kill the engine as soon as it has come to a point."""
    (folder / f"stall-{name}").touch()

    def wait() -> None:
        while not (folder / f"stalled-{name}").exists():
            time.sleep(0.01)
        kill(session)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def busy_history(session) -> None:
    """Click, correct, undo part of what was done together, and leave something to redo."""
    session.select(L3)
    session.add(Point(HERE))
    session.add(Point((0, 0, 6.0), positive=False))
    session.add_all({L2: [Point(THERE)], L1: [Point(ELSEWHERE)]})
    session.undo()
    session.select(L3)
    session.remove(Point((0, 0, 6.0), positive=False))
    session.add(Point((4.0, 0, -6.0)))
    session.undo()


def test_killed_between_click_and_answer_the_click_is_there_once(child, tmp_path, notes, ct, open_session, fake):
    truth = open_session(fake())
    child.set_volume(ct)
    for one in (child, truth):
        busy_history(one)
    thread = killing_at(child, tmp_path, "click")
    child.select(L2)
    truth.select(L2)
    child.add(Point((2.0, 0.0, 26.0)))
    truth.add(Point((2.0, 0.0, 26.0)))
    thread.join(5)
    np.testing.assert_array_equal(child.result, truth.result)
    assert child.prompts == truth.prompts
    assert notes == ["The engine was lost and is back: the volume was opened again and 4 step(s) repeated"]


def test_after_a_kill_every_step_can_still_be_undone_and_redone(child, ct, open_session, fake):
    truth = open_session(fake())
    child.set_volume(ct)
    for one in (child, truth):
        busy_history(one)
    before = child.result.copy()
    kill(child)
    steps = ["redo", "redo", *["undo"] * 7, *["redo"] * 7]
    for step in steps:
        assert getattr(child, step)().extent == getattr(truth, step)().extent
        np.testing.assert_array_equal(child.result, truth.result)
    child.undo()
    np.testing.assert_array_equal(child.result, before)


def test_killed_in_the_middle_of_an_uploads_body_the_volume_arrives_all_the_same(child, tmp_path, notes):
    """The engine has read a part of the voxels and not the rest when it dies; what was accepted before goes on."""
    array = np.random.default_rng(0).integers(-1000, 1000, (60, 256, 256)).astype(np.int16)
    volume = Volume.from_array(array, np.diag([1.0, 1.0, 1.0, 1.0]))
    child.mirror.way = Way(compression=0)
    thread, shares = killing_at(child, tmp_path, "upload"), []
    child.set_volume(volume, progress=shares.append)
    thread.join(5)
    assert not thread.is_alive()
    assert (tmp_path / "stalled-upload").exists()
    assert shares.count(0.0) >= 2  # it was begun anew
    child.select(L3)
    assert child.add(Point((128.0, 128.0, 30.0))).mask.any()
    assert notes == []  # nothing of the user's was lost


def test_killed_between_two_pieces_of_an_upload_the_volume_arrives_all_the_same(child, notes):
    array = np.random.default_rng(0).integers(-1000, 1000, (60, 256, 256)).astype(np.int16)
    volume, shares = Volume.from_array(array, np.diag([1.0, 1.0, 1.0, 1.0])), []
    child.mirror.way = Way()

    def progress(share: float) -> None:
        shares.append(share)
        if len(shares) == 1:
            kill(child)

    child.set_volume(volume, progress=progress)
    child.select(L3)
    assert child.add(Point((128.0, 128.0, 30.0))).mask.any()
    assert notes == []  # nothing of the user's was lost


def test_killed_during_an_autonomous_run_the_run_comes_to_its_end(child, tmp_path, notes, ct):
    child.set_volume(ct)
    child.select(L3)
    child.add(Point(ELSEWHERE))
    thread = killing_at(child, tmp_path, "spine")
    result = child.segment_spine()
    thread.join(5)
    assert len(result.levels) == 3
    assert len(notes) == 1
    kill(child)
    before = child.result.copy()
    child.select(L1)
    child.add(Point(ELSEWHERE))
    child.undo()
    np.testing.assert_array_equal(child.result, before)


def test_an_engine_ends_with_its_parent(child):
    engine = child._engine
    engine._process.stdin.close()
    assert not engine.is_alive(within=5)


def losing_first_answer(monkeypatch, *, method: str = "POST", path: str) -> list[str]:
    """Let the first answer to a request be lost on its way; return the paths of all that were sent."""
    send, sent = HttpTransport._answer, []

    def lossy(self, request):
        answer = send(self, request)
        sent.append(request.path)
        if request.method == method and request.path.endswith(path) and len([p for p in sent if p.endswith(path)]) == 1:
            answer.content  # noqa: B018 - the engine has done its work
            raise requests.ConnectionError
        return answer

    monkeypatch.setattr(HttpTransport, "_answer", lossy)
    return sent


@pytest.mark.parametrize("step", [lambda one: one.add(Point(HERE)), lambda one: one.add_all({L3: [Point(HERE)]})])
def test_a_step_whose_answer_was_lost_is_not_done_twice(step: Callable, engine, ct, monkeypatch):
    session = engine.session()
    session.set_volume(ct)
    session.select(L3)
    path = "/jobs" if "add_all" in step.__code__.co_names else "/steps"
    sent = losing_first_answer(monkeypatch, path=path)
    step(session)
    assert len([one for one in sent if one.endswith(path)]) == 2
    assert session.prompts == (Point(HERE),)
    (place,) = engine.hosting._places.values()
    assert place.hosted.session.prompts == (Point(HERE),)
    session.undo()
    assert session.undo().is_empty


def test_two_steps_under_one_number_are_told_apart(engine, ct):
    session = engine.session()
    session.set_volume(ct)
    session.select(L3)
    first, second = session.mirror.add(Point(HERE)), session.mirror.add(Point(THERE))
    assert first.request.path == second.request.path
    session._transport.send(first)
    session._do(second)
    assert session.prompts == (Point(HERE), Point(THERE))


def test_an_engine_that_is_gone_for_good_is_said(engine, ct, monkeypatch):
    monkeypatch.setattr("SAMSpineLib.engine.service.client.PATIENCE", (0.0, 0.0))
    session = RemoteSession.at("http://127.0.0.1:9", "x" * 16)
    with pytest.raises(EngineError, match=r"127\.0\.0\.1:9 does not answer"):
        session.set_volume(ct)


def test_a_session_that_was_idle_too_long_comes_back_with_all_it_had(serve, fake, ct, notes):
    with serve(fake(), idle_seconds=0.3) as engine:
        session = engine.session(notify=notes.append)
        session.set_volume(ct)
        busy_history(session)
        before = session.result.copy()
        time.sleep(1.0)
        assert engine.hosting.count == 0
        assert engine.hosting.arrays.nbytes == 0
        gc.collect()
        assert engine.hosting.patches.nbytes == 0
        session.undo()
        session.redo()
        np.testing.assert_array_equal(session.result, before)
        assert len(notes) == 1


def test_the_answer_for_a_volume_that_was_closed_changes_nothing(engine, ct):
    session = engine.session()
    session.set_volume(ct)
    session.select(L3)
    late = session.mirror.add(Point(HERE))
    reply = session._transport._answer(late.request)
    session.set_volume(ct)
    with pytest.raises(EngineError, match="no longer open"):
        late.accept(reply.status_code, reply.content)
    assert not session.result.any()


def test_a_full_memory_is_told_to_the_user_and_the_click_is_there(serve, fake, ct, notes):
    class Full(fake):
        failures = 1

        def decode(self, *words, **named):
            if self.failures:
                self.failures -= 1
                raise MemoryError
            return super().decode(*words, **named)

    with serve(Full()) as engine:
        session = engine.session(notify=notes.append)
        session.set_volume(ct)
        session.select(L3)
        assert session.add(Point(HERE)).mask.any()
        engine.model.failures = 1
        session.add_all({L2: [Point(THERE)]})
    assert notes == [CACHE_EMPTIED] * 2


@pytest.fixture
def narrow(oracle):
    """Give networks whose localiser has room on the GPU for so many windows at a time, and on the CPU for one."""

    class Narrow(oracle):
        batch_size = 1

        def __init__(self, most):
            super().__init__()
            self.most, self.asked = most, []

        def localise(self, volume, *, progress=None):
            self.asked.append(self.batch_size)
            if self.batch_size > self.most:
                raise torch.OutOfMemoryError
            return super().localise(volume, progress=progress)

    def build(fake, most):
        gpu, cpu = Narrow(most), Narrow(1)
        networks = Networks(
            lambda _: fake(), lambda where: cpu if where == "cpu" else gpu, device="cuda", batch_size=4
        )  # fmt: skip
        return networks, gpu, cpu

    return build


@pytest.mark.parametrize("most", [2, 0])
def test_a_full_gpu_is_told_and_the_autonomous_run_ends_well(most, serve, fake, narrow, ct, notes):
    networks, gpu, cpu = narrow(fake, most)
    with serve(fake(), networks=networks) as engine:
        session = engine.session(notify=notes.append)
        session.set_volume(ct)
        session.select(L3)
        session.add(Point(HERE))
        before = session.mask(L3.value)
        result = session.segment_spine()
        assert len(result.levels) == 3
        assert gpu.asked == ([4, 4, 2] if most else [4, 4, 2, 1])
        assert cpu.asked == ([] if most else [1])
        last = SMALLER_BATCHES.format(count=2) if most else WENT_TO_CPU
        assert notes[0] == CACHE_EMPTIED
        assert notes[-1] == last
        assert (session.mask(L3.value) & before).any()
        session.select(L3)
        assert session.add(Point((2.0, 0.0, 2.0))).mask.any()


def test_an_answer_that_finds_no_memory_is_repeated_in_a_new_session(
    engine, ct, notes, monkeypatch, open_session, fake
):
    truth = open_session(fake())
    session = engine.session(notify=notes.append)
    session.set_volume(ct)
    for one in (session, truth):
        one.select(L3)
        one.add(Point(HERE))
    whole, left = hosted.update_message, [2]

    def told(*words):
        if left[0]:
            left[0] -= 1
            raise MemoryError
        return whole(*words)

    monkeypatch.setattr(hosted, "update_message", told)
    for one in (session, truth):
        one.add(Point((4.0, 0.0, 6.0)))
    np.testing.assert_array_equal(session.result, truth.result)
    assert session.prompts == truth.prompts
    assert len(notes) == 1
    for one in (session, truth):
        one.undo()
    np.testing.assert_array_equal(session.result, truth.result)


def test_a_volume_that_finds_no_memory_is_refused_in_a_sentence(engine, ct, monkeypatch):
    def full(*_words, **_named):
        raise MemoryError

    session = engine.session()
    monkeypatch.setattr(engine.hosting, "_hosted", full)
    with pytest.raises(EngineError, match="not enough memory"):
        session.set_volume(ct)
    monkeypatch.undo()
    session.set_volume(ct)
    session.select(L3)
    assert session.add(Point(HERE)).mask.any()
    assert engine.hosting.count == 1
