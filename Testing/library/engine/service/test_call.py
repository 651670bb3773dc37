"""Calls and the mirror without any wire: what comes in pieces, cut off, or from somebody else."""

from __future__ import annotations

import json

import numpy as np
import pytest

from SAMSpineLib.engine.service.call import Call, Request, asked, posted
from SAMSpineLib.engine.service.mirror import SessionMirror
from SAMSpineLib.engine.service.packing import DTYPES, pack_array, unpack_array
from SAMSpineLib.engine.service.step_log import Sent, StepLog
from SAMSpineLib.engine.service.wire import error_message, read_error
from SAMSpineLib.errors import EngineError, GeometryError, LabelError, MissingExtraError, PromptError, SAMSpineError
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.prompts import Point

L3 = spine_labels().by_name("L3")


def counting_call():
    """Return a call that asks twice and gives the sum."""

    def begin():
        first = yield from asked(Request("GET", "/one"))
        second = yield from asked(Request("GET", "/two", share=0.5))
        return first["n"] + second["n"]

    return Call("Counting", begin)


def test_a_call_is_sent_request_by_request_and_again_after_a_cut():
    call = counting_call()
    assert call.request.path == call.request.path == "/one"
    with pytest.raises(EngineError, match="not answered"):
        _ = call.result
    assert not call.accept(200, b'{"n": 1}')
    call.cut()
    assert (call.request.path, call.request.share) == ("/two", 0.5)
    assert call.accept(200, b'{"n": 2}')
    assert call.result == 3


def test_a_call_can_begin_anew():
    call = counting_call()
    call.accept(200, b'{"n": 1}')
    call.restart()
    assert call.request.path == "/one"


def test_nothing_is_worked_out_before_a_request_is_asked_for():
    assert Call("Waiting", lambda: pytest.fail("too early")).title == "Waiting"


def test_the_token_and_the_protocol_go_with_every_request():
    headers = posted("/x", {}).headers("secret")
    assert headers["Authorization"] == "Bearer secret"
    assert headers["X-SAMSpine-Protocol"]


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_lines_may_come_in_pieces_of_any_size(size):
    said, body = [], b'{"a": 1}\n\n{"b": "\xc3\xa4"}\n{"c": 3}'

    def begin():
        yield Request("POST", "/lines", on_line=said.append)

    call = Call("Listening", begin)
    assert call.request.on_line is not None
    for start in range(0, len(body), size):
        call.feed(body[start : start + size])
    assert call.accept(200)
    assert said == [{"a": 1}, {"b": "ä"}, {"c": 3}]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"\xff"])
def test_an_answer_of_somebody_else_is_an_error_of_the_engine(body):
    for status in (200, 502):
        with pytest.raises(EngineError, match="cannot be read"):
            counting_call().accept(status, body)


@pytest.mark.parametrize("error", [PromptError("a"), GeometryError("b"), LabelError("c"), EngineError("d")])
def test_errors_travel_as_what_they_are(error):
    found = read_error(json.loads(json.dumps(error_message(error))), 422)
    assert (type(found), str(found)) == (type(error), str(error))


def test_an_error_that_the_other_side_cannot_build_goes_as_its_base():
    found = read_error(error_message(MissingExtraError("torch", "sam")), 422)
    assert type(found) is SAMSpineError
    assert "samspine[sam]" in str(found)


@pytest.mark.parametrize("dtype", DTYPES)
def test_voxels_of_each_type_arrive_as_they_were(dtype):
    array = (np.random.default_rng(0).uniform(0, 2, (3, 5, 7)) * 60).astype(dtype)
    found = unpack_array(json.loads(json.dumps(pack_array(array[:, ::2]))))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, array[:, ::2])


def test_a_mirror_without_a_volume_says_so():
    mirror = SessionMirror()
    assert not mirror.is_open
    assert not mirror.can_undo
    assert not mirror.can_redo
    assert mirror.result.size == 0
    for ask in (mirror.undo, mirror.revive, mirror.cancel, lambda: mirror.volume):
        with pytest.raises(PromptError, match="No volume is open"):
            ask()
    with pytest.raises(LabelError, match="No structure is selected"):
        mirror.add(Point((0, 0, 0)))
    mirror.select(L3)
    assert mirror.prompts == ()


def test_a_log_repeats_what_was_done_together_whole_and_undoes_the_rest():
    log, one, many = StepLog(), Sent({"action": "add"}), Sent({"action": "add_all"})
    log.push(one, 1, (), ())
    for label in (2, 3, 4):
        log.push(many, label, (), ())
    log.undo()
    log.undo()
    assert [sent.message["action"] for sent in log.replay()] == ["add", "add_all", "undo", "undo"]
    log.push(Sent({"action": "clear"}), 5, (), ())
    assert [sent.message["action"] for sent in log.replay()] == ["add", "add_all", "undo", "undo", "clear"]
