"""The server, tried from outside: every wrong word is refused with a clear one, and memory stays bounded."""

from __future__ import annotations

import base64
import json
import math
import time
import zlib
from typing import Any

import numpy as np
import pytest
import requests

from SAMSpineLib.engine.service.packing import bytes_of, compress, pack_array
from SAMSpineLib.engine.service.protocol import PROTOCOL, PROTOCOL_HEADER
from SAMSpineLib.engine.service.upload import digest_of
from SAMSpineLib.errors import EngineError
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.prompts import Point
from SAMSpineLib.volume import Volume

L3 = {"value": 22, "name": "L3"}
KEY = {"step": 1, "key": "0" * 16}
POINT = {"kind": "point", "ras": [0, 0, 0]}


def refused(answer: requests.Response, status: int, kind: str = "EngineError") -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert error["type"] == kind
    assert "Traceback" not in error["message"]
    return error["message"]


def test_health_needs_no_token_and_all_else_does(engine, outside):
    assert requests.get(engine.url + "/health", timeout=5).json() == {"status": "ok"}
    for path in ("/info", "/openapi.json", "/sessions", "/nothing", "/health/", "//health"):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": outside.headers["Authorization"][7:]}):
            answer = requests.get(engine.url + path, headers=headers, timeout=5)
            assert "token" in refused(answer, 401)


def test_info_says_what_the_engine_is(outside, ct):
    outside.open(ct)
    info = outside("GET", "/info").json()
    assert info["protocol"] == PROTOCOL
    assert (info["device"], info["model"], info["sessions"]) == ("cpu", "fake", 1)
    assert info["voxel_bytes"] == ct.array.nbytes + 2 * ct.array.size


@pytest.mark.parametrize(("theirs", "whom"), [(PROTOCOL + 1, "engine"), (PROTOCOL - 1, "client"), ("x", "engine")])
def test_another_version_of_the_protocol_is_refused_saying_whom_to_update(theirs, whom, outside):
    answer = outside("GET", "/info", headers={PROTOCOL_HEADER: str(theirs)})
    assert f"update the {whom}" in refused(answer, 400)


@pytest.mark.parametrize(
    "path",
    [
        "/arrays/../../etc/passwd", "/arrays/%2e%2e%2fx", "/sessions/..%2f..%2fx/steps",
        f"/sessions/{'g' * 32}/steps", "/x",
    ],
)  # fmt: skip
def test_tricks_with_paths_lead_nowhere(path, outside):
    for method in ("GET", "POST", "PUT", "DELETE"):
        answer = outside(method, path, {})
        refused(answer, answer.status_code)
        assert answer.status_code in (404, 405, 422)


def test_a_session_that_is_not_there_is_lost(outside):
    message = {**KEY, "action": "undo"}
    refused(outside("POST", f"/sessions/{'0' * 32}/steps", message), 404, "EngineLostError")


def test_a_message_too_large_is_not_read(outside, engine, serve, fake, visitor):
    with serve(fake(), message_bytes=1000) as small:
        refused(visitor(small)("POST", "/sessions", data=b"x" * 1001), 413)
        chunks = (b"x" * 100 for _ in range(50))  # no length is announced
        refused(visitor(small)("POST", "/sessions", data=chunks), 413)


@pytest.mark.parametrize("body", [b"", b"{", b'{"array": "', b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"NaN"])
def test_a_message_cut_off_or_of_nonsense_is_refused(body, outside):
    answer = outside("POST", "/sessions", data=body)
    refused(answer, answer.status_code)
    assert answer.status_code in (400, 422)


FAR = [1e308, 0, 0]
BAD_PROMPTS = {
    "NaN": {"kind": "point", "ras": [math.nan, 0, 0]},
    "infinite": {"kind": "point", "ras": [0, math.inf, 0]},
    "beyond all patients": {"kind": "point", "ras": FAR},
    "a box of the far": {"kind": "box", "corner_a": [0, 0, 0], "corner_b": FAR},
    "two numbers": {"kind": "point", "ras": [0, 0]},
    "text": {"kind": "point", "ras": ["0", "0", "0"]},
    "a word for a truth": {"kind": "point", "ras": [0, 0, 0], "positive": "yes"},
    "no kind": {"ras": [0, 0, 0]},
    "an unknown kind": {"kind": "circle", "ras": [0, 0, 0]},
    "something more": {**POINT, "more": 1},
    "an empty scribble": {"kind": "scribble", "points": []},
    "a lasso of two": {"kind": "lasso", "points": [[0, 0, 0], [1, 1, 1]]},
    "a huge scribble": {"kind": "scribble", "points": [[0, 0, 0]] * 20_001},
    "outside": {"kind": "point", "ras": [0, 0, 900]},
}


@pytest.mark.parametrize("prompt", BAD_PROMPTS.values(), ids=BAD_PROMPTS)
def test_a_malformed_prompt_is_refused_and_changes_nothing(prompt, outside, ct):
    path = outside.open(ct)
    answer = outside("POST", f"{path}/steps", {**KEY, "action": "add", "label": L3, "prompt": prompt})
    assert refused(answer, 422, "PromptError")
    job = {**KEY, "action": "add_all", "orders": [{"label": L3, "prompts": [prompt]}]}
    if prompt is not BAD_PROMPTS["outside"]:
        refused(outside("POST", f"{path}/jobs", job), 422, "PromptError")
    good = {**KEY, "action": "add", "label": L3, "prompt": POINT}
    assert outside("POST", f"{path}/steps", good).status_code == 200


def mask_prompt(shape: list[int], dtype: str, data: bytes, grid: list[int] | None = None) -> dict[str, Any]:
    packed = {"shape": shape, "dtype": dtype, "data": base64.b64encode(data).decode()}
    return {"kind": "mask", "grid": {"shape": grid or shape, "ijk_to_ras": np.eye(4).tolist()}, "mask": packed}


BOMB = zlib.compress(bytes(200 * 2**20), 9)
BAD_MASKS = {
    "a bomb": mask_prompt([4, 4, 4], "uint8", BOMB),
    "a bomb that says so": mask_prompt([2**10, 2**10, 2**10], "uint8", BOMB),
    "empty": mask_prompt([4, 4, 4], "uint8", zlib.compress(bytes(64))),
    "cut off": mask_prompt([4, 4, 4], "uint8", zlib.compress(bytes(range(64)))[:-8]),
    "no zlib": mask_prompt([4, 4, 4], "uint8", b"hello"),
    "too short": mask_prompt([4, 4, 4], "uint8", zlib.compress(bytes(63))),
    "something behind": mask_prompt([4, 4, 4], "uint8", zlib.compress(bytes([1] * 64)) + b"x"),
    "another shape than its grid": mask_prompt([4, 4, 4], "uint8", zlib.compress(bytes([1] * 64)), [4, 4, 5]),
    "NaN": mask_prompt([1, 1, 2], "float32", zlib.compress(np.array([np.nan, 1], np.float32).tobytes())),
    "an object": mask_prompt([1, 1, 2], "object", zlib.compress(bytes(16))),
    "no voxel along an axis": mask_prompt([0, 4, 4], "uint8", zlib.compress(b"")),
}


@pytest.mark.parametrize("prompt", BAD_MASKS.values(), ids=BAD_MASKS)
def test_a_malformed_mask_is_refused_without_expanding_it(prompt, outside, ct):
    path = outside.open(ct)
    answer = outside("POST", f"{path}/steps", {**KEY, "action": "add", "label": L3, "prompt": prompt})
    assert answer.status_code == 422
    refused(answer, 422, answer.json()["error"]["type"])


def test_no_base64_and_a_singular_grid_are_refused(outside, ct):
    path = outside.open(ct)
    prompt = mask_prompt([1, 1, 1], "uint8", b"")
    prompt["mask"]["data"] = "&&&"
    refused(
        outside("POST", f"{path}/steps", {**KEY, "action": "add", "label": L3, "prompt": prompt}), 422, "VolumeError"
    )
    prompt = mask_prompt([1, 1, 1], "uint8", zlib.compress(b"\x01"))
    prompt["grid"]["ijk_to_ras"] = np.zeros((4, 4)).tolist()
    answer = outside("POST", f"{path}/steps", {**KEY, "action": "add", "label": L3, "prompt": prompt})
    refused(answer, 422, "GeometryError")


@pytest.mark.parametrize("value", [0, -1, 65536, 1.5, "22", None])
def test_a_label_that_no_map_can_hold_is_refused(value, outside, ct):
    label = {"value": value, "name": "x"}
    answer = outside("POST", f"{outside.open(ct)}/steps", {**KEY, "action": "add", "label": label, "prompt": POINT})
    refused(answer, 422)


def test_a_prompt_to_take_back_that_is_not_there_is_refused(outside, ct):
    message = {**KEY, "action": "remove", "label": L3, "index": 3}
    refused(outside("POST", f"{outside.open(ct)}/steps", message), 422, "PromptError")


def test_too_many_prompts_or_one_label_twice_are_refused(outside, ct):
    path = outside.open(ct)
    many = {**KEY, "action": "add_all", "orders": [{"label": L3, "prompts": [POINT] * 5000}]}
    refused(outside("POST", f"{path}/jobs", many), 422, "PromptError")
    twice = {**KEY, "action": "add_all", "orders": [{"label": L3, "prompts": [POINT]}] * 2}
    refused(outside("POST", f"{path}/jobs", twice), 422, "PromptError")


# Volumes on their way.


def begin(outside: Any, array: np.ndarray) -> str:
    path = f"/arrays/{digest_of(array.dtype.name, array.shape, bytes_of(array))}"
    about = {"shape": list(array.shape), "dtype": array.dtype.name}
    assert outside("POST", path, about).json() == {"received": 0, "complete": False}
    return path


def test_a_bomb_a_cut_and_a_wrong_volume_are_refused_and_the_right_one_arrives(outside):
    array = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    path = begin(outside, array)
    for piece in (BOMB, compress(bytes(240))[:-5], b"hello", b"", compress(bytes(241))):
        refused(outside("PUT", f"{path}/voxels?offset=0", data=piece), 422, "VolumeError")
    assert outside("PUT", f"{path}/voxels?offset=100", data=compress(bytes(10))).json()["received"] == 0
    refused(outside("PUT", f"{path}/voxels?offset=0", data=compress(bytes(240))), 422, "VolumeError")
    refused(outside("PUT", f"{path}/voxels?offset=0", data=compress(array.tobytes())), 409)
    path = begin(outside, array)
    assert outside("PUT", f"{path}/voxels?offset=0", data=compress(array.tobytes()[:100])).json()["received"] == 100
    refused(outside("POST", "/sessions", {"array": path[8:], "ijk_to_ras": np.eye(4).tolist()}), 409)
    last = outside("PUT", f"{path}/voxels?offset=100", data=compress(array.tobytes()[100:]))
    assert last.json() == {"received": 240, "complete": True}


def test_shared_memory_of_a_wrong_name_or_size_is_refused(outside):
    from multiprocessing.shared_memory import SharedMemory

    path = begin(outside, np.zeros((40, 50, 60), np.int16))
    for name in ("../etc/passwd", "/etc/passwd", "", "a" * 65):
        refused(outside("POST", f"{path}/shared", {"name": name}), 422)
    refused(outside("POST", f"{path}/shared", {"name": "nobody-has-this"}), 422, "VolumeError")
    small = SharedMemory(create=True, size=10)
    try:
        refused(outside("POST", f"{path}/shared", {"name": small.name}), 422, "VolumeError")
    finally:
        small.close()
        small.unlink()


def test_volumes_and_sessions_keep_within_the_memory_that_is_set(serve, fake, ct, visitor):
    with serve(fake(), memory_bytes=5 * ct.array.nbytes, volume_bytes=2 * ct.array.nbytes) as engine:
        large = {"shape": [400, 440, 480], "dtype": "int16"}
        refused(visitor(engine)("POST", f"/arrays/{'0' * 64}", large), 422, "VolumeError")
        volumes = [Volume(ct.array + np.int16(n), ct.grid) for n in range(4)]
        sessions = [engine.session() for _ in volumes]
        for session, volume in zip(sessions[:2], volumes, strict=False):
            session.set_volume(volume)
        with pytest.raises(EngineError, match="no room"):
            sessions[2].set_volume(volumes[2])
        sessions[0].close()
        time.sleep(0.1)
        sessions[3].set_volume(volumes[3])
        assert engine.hosting.arrays.nbytes <= 5 * ct.array.nbytes


def test_a_volume_is_sent_and_encoded_once_for_two_sessions(engine, ct):
    sessions, sent = [engine.session(), engine.session()], []
    for session in sessions:
        session.set_volume(ct, progress=sent.append)
        session.select(spine_labels().by_name("L3"))
        session.add(Point((0.0, 0.0, 0.0)))
    np.testing.assert_array_equal(sessions[0].result, sessions[1].result)
    assert len(engine.model.encoded) == len({grid.ijk_to_ras.tobytes() for grid in engine.model.encoded})


def test_a_fault_of_ours_is_logged_and_not_told(engine, outside, ct, monkeypatch, caplog):
    path = outside.open(ct)

    def fail(*words, **named):
        secret = "/a/secret/path"
        raise KeyError(secret)

    monkeypatch.setattr(engine.model, "decode", fail)
    step = {**KEY, "action": "add", "label": L3, "prompt": POINT}
    message = refused(outside("POST", f"{path}/steps", step), 500)
    assert "secret" not in message
    number = message.split()[-1]
    assert f"Fault {number}" in caplog.text
    job = {**KEY, "action": "add_all", "orders": [{"label": L3, "prompts": [POINT]}]}
    lines = outside("POST", f"{path}/jobs", job).text.splitlines()
    assert "failed inside" in json.loads(lines[-2])["error"]["message"]


def test_the_label_map_can_be_fetched_whole(engine, outside, ct):
    session = engine.session()
    session.set_volume(ct)
    session.select(spine_labels().by_name("L3"))
    session.add(Point((0.0, 0.0, 0.0)))
    answer = outside("GET", f"/sessions/{session.mirror._open_state.session}/result")
    assert answer.json() == pack_array(session.result)
