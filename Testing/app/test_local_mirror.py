"""The session behind the door of the service, and the line of calls in front of it."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytest.importorskip("trame_slicer", reason="needs the extra `app`")

from SAMSpineLib.app.local_mirror import HERE, LocalMirror
from SAMSpineLib.app.worker import FAULT, Worker
from SAMSpineLib.engine.fallback import SMALLER_BATCHES
from SAMSpineLib.engine.networks import Networks
from SAMSpineLib.engine.service.call import Call
from SAMSpineLib.errors import PromptError, SAMSpineError
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.prompts import Point
from SAMSpineLib.volume import Volume

FAKES = Path(__file__).resolve().parents[1] / "library" / "engine" / "conftest.py"


@pytest.fixture(scope="module")
def fakes() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fakes_for_the_app", FAKES)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def a_volume() -> Volume:
    matrix = np.eye(4)
    matrix[:3, 3] = -40
    return Volume.from_array(np.zeros((80, 80, 80), np.int16), matrix)


@pytest.fixture
def a_mirror(fakes: ModuleType) -> LocalMirror:
    networks = Networks(lambda _: fakes.FakePromptable(), lambda _: None)
    return LocalMirror(networks, tuple, lambda _: None)


def done(call: Call[Any]) -> Any:
    """Do a call here and now."""
    assert call.request is HERE
    assert call.accept(200)
    return call.result


def test_a_click_an_undo_and_a_redo(a_mirror: LocalMirror, a_volume: Volume) -> None:
    l3 = spine_labels().by_name("L3")
    assert not a_mirror.is_open
    done(a_mirror.open(a_volume))
    assert a_mirror.is_open
    a_mirror.select(l3)
    prompt = Point((0, 0, 0))
    update = done(a_mirror.add(prompt))
    assert update.label == l3.value
    assert a_mirror.prompts_of(l3.value) == (prompt,)
    filled = np.count_nonzero(a_mirror.result)
    assert filled
    done(a_mirror.undo())
    assert a_mirror.prompts_of(l3.value) == ()
    assert not a_mirror.result.any()
    done(a_mirror.redo())
    assert np.count_nonzero(a_mirror.result) == filled
    done(a_mirror.remove(prompt))
    done(a_mirror.clear())
    assert not a_mirror.result.any()


def test_a_call_speaks_of_the_label_that_was_selected_when_it_was_made(a_mirror: LocalMirror, a_volume: Volume) -> None:
    table = spine_labels()
    done(a_mirror.open(a_volume))
    a_mirror.select(table.by_name("L3"))
    call = a_mirror.add(Point((0, 0, 0)))
    a_mirror.select(table.by_name("L4"))
    assert done(call).label == table.by_name("L3").value


def test_what_the_user_can_mend_is_raised_by_the_call(a_mirror: LocalMirror, a_volume: Volume) -> None:
    with pytest.raises(PromptError):
        _ = a_mirror.volume
    done(a_mirror.open(a_volume))
    a_mirror.select(spine_labels().by_name("L3"))
    with pytest.raises(PromptError, match="outside"):
        done(a_mirror.add(Point((0, 0, 5000))))


def waiting(work: Callable[[], Any]) -> Call[Any]:
    def begin() -> Any:
        yield HERE
        return work()

    return Call("Waiting", begin)


def posted(works: list[Callable[[], Any]]) -> tuple[list[Any], Worker]:
    """Post works to a worker, and return what came back in its order."""

    async def story() -> tuple[list[Any], Worker]:
        found: list[Any] = []
        worker = Worker(lambda: None)
        for work in works:
            worker.post(waiting(work), None, found.append, found.append)
        while len(found) < len(works):
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.01)
        worker.close()
        return found, worker

    return asyncio.run(asyncio.wait_for(story(), 20))


def test_calls_are_done_one_after_the_other_in_a_thread_of_their_own() -> None:
    def where() -> tuple[int, int]:
        return threading.get_ident(), threading.active_count()

    found, worker = posted([where] * 5)
    threads = {thread for thread, _ in found}
    assert len(threads) == 1
    assert threading.get_ident() not in threads
    assert worker.steps == 5
    assert worker.doing == ""


def test_the_loop_goes_on_while_the_engine_works() -> None:
    async def story() -> int:
        begun, turns = threading.Event(), 0
        finished: list[None] = []
        worker = Worker(lambda: None)
        worker.post(waiting(lambda: begun.wait(10)), None, finished.append, finished.append)
        for _ in range(20):
            await asyncio.sleep(0.001)
            turns += 1
        assert not finished
        begun.set()
        while not finished:
            await asyncio.sleep(0.001)
        worker.close()
        return turns

    assert asyncio.run(asyncio.wait_for(story(), 20)) == 20


def test_an_error_ends_its_own_call_only(caplog: pytest.LogCaptureFixture) -> None:
    def mended() -> None:
        msg = "outside"
        raise PromptError(msg)

    def broken() -> None:
        msg = "a fault of ours"
        raise RuntimeError(msg)

    with caplog.at_level(logging.ERROR):
        (first, second, third), _ = posted([mended, broken, lambda: "done"])
    assert isinstance(first, PromptError)
    assert isinstance(second, SAMSpineError)
    assert str(second) == FAULT
    assert "a fault of ours" in caplog.text
    assert third == "done"


def test_a_full_gpu_is_told_in_one_line_and_the_run_goes_on(fakes: ModuleType, a_volume: Volume) -> None:
    class Narrow:
        batch_size = 1

        def localise(self, volume: Volume, *, progress: Any = None) -> Any:
            if self.batch_size > 1:
                raise MemoryError
            msg = "looked at one by one"
            raise PromptError(msg)

    told: list[str] = []
    narrow = Narrow()
    networks = Networks(lambda _: fakes.FakePromptable(), lambda _: narrow, device="cuda", batch_size=2)
    mirror = LocalMirror(networks, tuple, told.append)
    done(mirror.open(a_volume))
    with pytest.raises(PromptError, match="one by one"):
        done(mirror.segment_spine())
    assert told[-1] == SMALLER_BATCHES.format(count=1)


def test_other_masks_and_following_come_from_the_session_and_stop_ends_them(
    fakes: ModuleType, a_volume: Volume
) -> None:
    model = fakes.FakeSlices([fakes.ball((0.0, 0.0, 0.0), 12.0)])
    mirror = LocalMirror(Networks(lambda _: model, lambda _: None), tuple, lambda _: None)
    l3 = spine_labels().by_name("L3")
    done(mirror.open(a_volume))
    mirror.select(l3)
    assert not mirror.follows(l3.value)
    done(mirror.add(Point((0.2, 0.2, 0.2))))
    assert mirror.follows(l3.value)
    first = mirror.result.copy()
    done(mirror.next_candidate())
    assert (mirror.result != first).any()
    done(mirror.undo())
    seen: list[int] = []

    def ends(number: int, total: int, name: str) -> None:
        seen.append(number)
        if number >= 3:
            mirror.stop()

    assert done(mirror.propagate(progress=ends)) == ()
    part = int((mirror.result > 0).sum())
    assert (first > 0).sum() < part
    (update,) = done(mirror.propagate())
    assert update.label == l3.value
    assert (mirror.result > 0).sum() > part
