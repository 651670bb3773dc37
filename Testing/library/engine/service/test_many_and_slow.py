"""Many clients at once, and clients that are slow, silent or gone."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from SAMSpineLib.errors import EngineError
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.prompts import Point

L3 = {"value": 22, "name": "L3"}
KEY = {"step": 1, "key": "0" * 16}
POINT = {"kind": "point", "ras": [0, 0, 0]}


def test_fifty_at_once_are_served_or_told_that_all_places_are_taken(serve, fake, ct):
    said: list[str] = []
    with serve(fake(), sessions=30) as engine:
        everybody = [engine.session() for _ in range(50)]

        def visit(session):
            try:
                session.set_volume(ct)
                session.select(spine_labels().by_name("L3"))
                said.append("ok" if session.add(Point((0.0, 0.0, 0.0))).mask.any() else "empty")
            except EngineError as error:
                said.append(str(error))

        threads = [threading.Thread(target=visit, args=(session,)) for session in everybody]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert said.count("ok") == 30
    assert len(said) == 50
    assert {text for text in said if text != "ok"} == {
        "All 30 sessions of this engine are in use; close one, or try later"
    }


def test_more_calls_than_may_wait_are_refused(serve, fake, oracle, ct, visitor):
    localiser = oracle()
    localiser.hold.clear()
    with serve(fake(), localiser, waiting=2) as engine:
        outside = visitor(engine)
        path = outside.open(ct)
        run = outside("POST", f"{path}/jobs", {**KEY, "action": "segment_spine"}, stream=True)
        assert localiser.started.wait(5)
        answers: list[int] = []
        threads = [
            threading.Thread(target=lambda: answers.append(outside("GET", f"{path}/result").status_code))
            for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        assert outside("GET", "/info").json()["sessions"] == 1  # others are served meanwhile
        localiser.hold.set()
        for thread in threads:
            thread.join(10)
        run.close()
    assert sorted(answers) == [200, 200, 429, 429, 429]


def raw(engine: Any, text: str) -> socket.socket:
    """Begin a request by hand."""
    wire = socket.create_connection(("127.0.0.1", engine.port), 10)
    wire.sendall(text.encode())
    return wire


def test_one_who_sends_too_slowly_is_told_so(serve, fake, token):
    with serve(fake(), body_seconds=0.3) as engine:
        wire = raw(
            engine,
            f"POST /sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
        )
        assert b" 408 " in wire.recv(4096).split(b"\r\n")[0]
        wire.close()


def test_one_who_says_nothing_is_hung_up_on(serve, fake):
    with serve(fake(), body_seconds=0.3) as engine:
        for text in ("", "GET /health HT"):
            wire = raw(engine, text)
            assert wire.recv(10) == b""
            wire.close()


def until_hung_up(wire: socket.socket, *, seconds: float = 5.0) -> bytes:
    """Send one byte of a header now and then, and return what is heard before the other side hangs up."""
    heard, end = b"", time.monotonic() + seconds
    wire.settimeout(0.05)
    while time.monotonic() < end:
        try:
            wire.sendall(b"x")
            part = wire.recv(4096)
        except TimeoutError:
            continue
        except ConnectionError:
            return heard
        if not part:
            return heard
        heard += part
    msg = f"Still connected after {seconds} s, heard {heard!r}"
    raise TimeoutError(msg)


HEALTHY = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


def is_healthy(wire: socket.socket) -> bool:
    """Read one answer to `HEALTHY`, and no more."""
    heard = b""
    while not heard.endswith(b'{"status":"ok"}'):
        part = wire.recv(1)
        if not part:
            return False
        heard += part
    return b" 200 " in heard


def test_one_who_drips_the_headers_of_a_later_request_is_hung_up_on(serve, fake):
    with serve(fake(), body_seconds=0.5) as engine:
        wire = raw(engine, HEALTHY)
        assert is_healthy(wire)
        wire.sendall(b"GET /health HTTP/1.1\r\nHost: ")
        assert until_hung_up(wire) == b""
        # The beginning of a request may come in one part with the end of the one before it.
        wire = raw(engine, HEALTHY + "GET /health HT")
        assert is_healthy(wire)
        assert wire.recv(4096) == b""


def test_one_who_is_silent_between_two_requests_is_kept(serve, fake):
    with serve(fake(), body_seconds=0.3) as engine:
        wire = raw(engine, HEALTHY)
        for _ in range(2):
            assert is_healthy(wire)
            time.sleep(0.7)
            wire.sendall(HEALTHY[:20].encode())
            time.sleep(0.05)
            wire.sendall(HEALTHY[20:].encode())
        assert is_healthy(wire)


def test_one_who_drips_a_body_is_told_so(serve, fake, token):
    with serve(fake(), body_seconds=0.5) as engine:
        wire = raw(
            engine,
            f"POST /sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n{",
        )
        assert b" 408 " in until_hung_up(wire).split(b"\r\n")[0]


def test_one_who_hangs_up_in_the_middle_leaves_nothing_behind(engine, outside, ct):
    path = outside.open(ct)
    auth = f"Host: x\r\nAuthorization: {outside.headers['Authorization']}\r\n"
    raw(engine, f"POST {path}/steps HTTP/1.1\r\n{auth}Content-Length: 100\r\n\r\n{{").close()
    raw(engine, f"POST {path}/jo").close()
    good = {**KEY, "action": "add", "label": L3, "prompt": POINT}
    assert outside("POST", f"{path}/steps", good).status_code == 200


def test_one_who_reads_slowly_gets_the_end_and_not_all_the_progress(serve, fake, oracle, ct, visitor):
    class Talkative(oracle):
        def localise(self, volume, *, progress: Callable[[float], None]):
            for n in range(20_000):
                progress(n / 20_000)
            return super().localise(volume, progress=progress)

    with serve(fake(), Talkative()) as engine:
        outside = visitor(engine)
        answer = outside("POST", f"{outside.open(ct)}/jobs", {**KEY, "action": "segment_spine"}, stream=True)
        time.sleep(0.5)
        lines = [json.loads(line) for line in answer.iter_lines()]
    assert lines[-1] == {"end": True}
    assert any("result" in line for line in lines)
