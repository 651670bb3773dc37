"""Calls that never wait: in order, and repeated on an engine that was lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from SAMSpineLib.engine.service import upload
from SAMSpineLib.engine.service.call import BREATH, Call, Request
from SAMSpineLib.engine.service.call_queue import MOST_ATTEMPTS, RESTARTING, RESTORED, CallQueue
from SAMSpineLib.errors import EngineError, EngineLostError, PromptError


class Wire:
    """Keeps what is sent; a test answers when it likes."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.beside: list[str] = []
        self.finished: Callable[[int | None, bytes], None] | None = None

    def send(self, request: Request, finished: Callable[[int | None, bytes], None]) -> None:
        self.sent.append(request.path)
        self.finished = finished

    def send_beside(self, request: Request) -> None:
        self.beside.append(request.path)

    def breathe(self, finished: Callable[[], None]) -> None:
        self.sent.append("breath")
        self.finished = lambda *_: finished()

    def abort(self) -> None:
        self.finished = None

    def answer(self, status: int | None = 200, body: bytes = b"{}") -> None:
        finished, self.finished = self.finished, None
        assert finished is not None
        finished(status, body)


class Host:
    """An engine that starts at once, unless it is told to wait or to fail."""

    def __init__(self) -> None:
        self.starts, self.is_alive, self.error = 0, False, None
        self.waiting: list[Callable[[], None]] = []
        self.holds = False

    def start(self, ready: Callable[[], None], failed: Callable[[Any], None]) -> None:
        self.starts += not self.is_alive
        if self.error is not None:
            failed(self.error)
        elif self.holds:
            self.waiting.append(ready)
        else:
            self.is_alive = True
            ready()

    def lost(self) -> None:
        self.is_alive = False


class Mirror:
    """A mirror whose session is open; reviving it is one request."""

    is_open = True

    def revive(self) -> Call[None]:
        return call("revive", needs_session=False)


def call(*paths: str, error: Exception | None = None, needs_session: bool = True) -> Call[Any]:
    def begin() -> Any:
        for path in paths:
            yield Request("POST", path)
        if error is not None:
            raise error
        return paths[-1]

    return Call(paths[0], begin, needs_session=needs_session)


class Bench:
    """A queue with everything around it."""

    def __init__(self) -> None:
        self.wire, self.host, self.mirror = Wire(), Host(), Mirror()
        self.lines: list[str] = []
        self.results: list[Any] = []
        self.errors: list[Exception] = []
        self.queue = CallQueue(self.wire, self.host, self.lines.append)

    def post(self, *paths: str, **options: Any) -> Call[Any]:
        made = call(*paths, **options)
        self.queue.post(made, self.mirror, self.results.append, self.errors.append)
        return made


@pytest.fixture
def bench() -> Bench:
    """Give a queue whose session is known to its engine."""
    bench = Bench()
    bench.post("open", needs_session=False)
    bench.wire.answer()
    bench.wire.sent.clear()
    bench.results.clear()
    return bench


def test_long_work_of_the_clients_own_lets_the_event_loop_breathe(bench: Bench) -> None:
    def begin() -> Any:
        yield BREATH
        yield BREATH
        reply = yield Request("POST", "a")
        return reply.status

    bench.queue.post(Call("a", begin), bench.mirror, bench.results.append, bench.errors.append)
    assert bench.wire.sent == ["breath"]
    bench.wire.answer()
    assert bench.wire.sent == ["breath", "breath"]
    bench.wire.answer()
    bench.wire.answer(201)
    assert (bench.wire.sent, bench.results) == (["breath", "breath", "a"], [201])


def test_calls_that_are_forgotten_do_not_go_on_after_a_breath(bench: Bench) -> None:
    def begin() -> Any:
        yield BREATH
        yield Request("POST", "a")

    bench.queue.post(Call("a", begin), bench.mirror, bench.results.append, bench.errors.append)
    late = bench.wire.finished
    bench.queue.clear()
    late(200, b"")
    assert bench.wire.sent == ["breath"]


def test_calls_go_one_after_the_other(bench: Bench) -> None:
    bench.post("a", "b")
    bench.post("c")
    assert bench.wire.sent == ["a"]
    bench.wire.answer()
    assert bench.wire.sent == ["a", "b"]
    bench.wire.answer()
    assert bench.wire.sent == ["a", "b", "c"]
    assert bench.queue.title == "c"
    bench.wire.answer()
    assert bench.results == ["b", "c"]
    assert bench.queue.is_idle


def test_a_cut_connection_repeats_the_request_on_an_engine_that_lives(bench: Bench) -> None:
    bench.post("a", "b")
    bench.wire.answer()
    bench.wire.answer(None)
    assert bench.wire.sent == ["a", "b", "b"]
    bench.wire.answer()
    assert bench.results == ["b"]
    assert bench.lines == []


def test_a_dead_engine_is_started_restored_and_asked_again_with_two_lines(bench: Bench) -> None:
    bench.post("a", "b")
    bench.wire.answer()
    bench.host.is_alive = False
    bench.wire.answer(None)
    assert bench.wire.sent == ["a", "b", "revive"]
    bench.wire.answer()
    assert bench.wire.sent == ["a", "b", "revive", "a"]
    bench.wire.answer()
    bench.wire.answer()
    assert bench.results == ["b"]
    assert bench.host.starts == 2
    assert bench.lines == [RESTARTING, RESTORED]


def test_a_session_that_the_engine_has_forgotten_is_restored_on_the_same_engine(bench: Bench) -> None:
    body = b'{"error": {"type": "EngineLostError", "message": "unknown session"}}'
    made = Call("step", _refused)
    bench.queue.post(made, bench.mirror, bench.results.append, bench.errors.append)
    bench.wire.answer(404, body)
    assert bench.wire.sent == ["step", "revive"]
    assert bench.host.starts == 1


def _refused() -> Any:
    reply = yield Request("POST", "step")
    if reply.status == 404:
        raise EngineLostError(reply.status)


def test_an_engine_that_dies_again_and_again_is_given_up_and_the_next_call_goes_on(bench: Bench) -> None:
    bench.post("a")
    bench.post("c")
    for _ in range(MOST_ATTEMPTS):
        bench.host.is_alive = False
        bench.wire.answer(None)
    assert [str(error) for error in bench.errors] == ["The engine does not answer"]
    assert not bench.queue.is_idle
    bench.wire.answer()
    bench.wire.answer()
    assert bench.results == ["c"]


def test_an_engine_that_cannot_start_fails_each_call(bench: Bench) -> None:
    bench.host.error = EngineError("no")
    bench.host.is_alive = False
    bench.post("a")
    bench.post("b")
    assert [str(error) for error in bench.errors] == ["no", "no"]
    assert bench.queue.is_idle


def test_a_refusal_ends_its_call_only(bench: Bench) -> None:
    bench.post("a", error=PromptError("outside"))
    bench.post("b")
    bench.wire.answer()
    bench.wire.answer()
    assert [str(error) for error in bench.errors] == ["outside"]
    assert bench.results == ["b"]


def test_what_was_dropped_is_neither_told_nor_sent(bench: Bench) -> None:
    bench.post("a")
    bench.post("b")
    late = bench.wire.finished
    bench.queue.clear()
    assert late is not None
    late(200, b"{}")
    assert bench.results == []
    bench.post("c")
    assert bench.wire.sent == ["a", "revive"]


def test_what_was_dropped_while_the_engine_started_is_not_sent(bench: Bench) -> None:
    bench.host.is_alive, bench.host.holds = False, True
    bench.post("a")
    bench.queue.clear()
    bench.host.waiting[0]()
    assert bench.wire.sent == []


def test_a_cancellation_goes_beside(bench: Bench) -> None:
    bench.queue.post_beside(call("too early"))
    bench.post("long")
    bench.queue.post_beside(call("cancel"))
    assert bench.wire.beside == ["cancel"]


def test_a_call_of_later_is_made_when_its_turn_has_come(bench: Bench) -> None:
    ready: list[str] = []
    bench.post("a")
    later = Call.later("later", lambda: call(*ready))
    bench.queue.post(later, bench.mirror, bench.results.append, bench.errors.append)
    ready.append("b")
    bench.wire.answer()
    bench.wire.answer()
    assert bench.results == ["a", "b"]


def test_a_volume_is_hashed_a_little_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "TURN", 100)
    array = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    parcel = upload.Parcel(array)
    assert list(parcel.hashed()) == [BREATH, BREATH, BREATH]  # 240 bytes
    assert parcel.digest == upload.digest_of("int16", (4, 5, 6), memoryview(array).cast("B"))
