"""`samspine serve` as others see it: its first line, its token, its end; and what the client's side needs."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from SAMSpineLib.cli import run
from SAMSpineLib.engine.service.child import EngineProcess, read_handshake, serve_command, serve_environment
from SAMSpineLib.engine.service.client import RemoteSession
from SAMSpineLib.engine.service.listening import Address, bound, build_server, is_loopback, token_of
from SAMSpineLib.engine.service.protocol import PROTOCOL
from SAMSpineLib.engine.service.shared import offered
from SAMSpineLib.engine.session import Session
from SAMSpineLib.errors import EngineError
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.build import build_promptable
from SAMSpineLib.prompts import Point

ROOT = Path(__file__).resolve().parents[4]
L3 = spine_labels().by_name("L3")


@pytest.fixture(scope="module")
def real() -> Iterator[RemoteSession]:
    """Give a session in a child process with a real network."""
    with RemoteSession.in_child(serve_command(model="ct-sam3d-small")) as session:
        yield session


def test_the_bundled_network_answers_in_a_child_process_as_it_does_here(real, ct):
    here = Session(build_promptable("ct-sam3d-small"))
    for session in (here, real):
        session.set_volume(ct)
        session.select(L3)
        session.add(Point((0.0, 0.0, 0.0)))
    assert here.result.any()
    differing = (here.result != real.result).sum()
    # Both use the same CPU; another number of threads may round differently.
    assert differing <= 0.001 * (here.result > 0).sum()
    assert real.quality(L3.value) == pytest.approx(here.quality(L3.value), abs=1e-4)


def processor_seconds(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / 100


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_an_idle_engine_uses_no_processor(real, ct):
    real.set_volume(ct)
    pid = real._engine.pid
    time.sleep(0.5)
    before = processor_seconds(pid)
    woken = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    time.sleep(1.5)
    after = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    assert processor_seconds(pid) - before <= 0.01
    count = [int(re.search(r"\nvoluntary_ctxt_switches:\s+(\d+)", text).group(1)) for text in (woken, after)]
    assert count[1] - count[0] <= 3, "the main thread wakes up though nobody asks"


def test_the_first_line_says_how_to_reach_it_and_another_version_is_refused():
    line = {"url": "http://127.0.0.1:5", "token": "t", "pid": 7, "port": 5, "protocol": PROTOCOL}
    hello = read_handshake(json.dumps(line))
    assert (hello.url, hello.token, hello.pid, hello.port) == ("http://127.0.0.1:5", "t", 7, 5)
    with pytest.raises(EngineError, match="same version"):
        read_handshake(json.dumps({**line, "protocol": PROTOCOL + 1}))
    for wrong in (b"", b"Traceback", b"{}", b"[]", b"null"):
        with pytest.raises(EngineError, match="did not say"):
            read_handshake(wrong)


def test_an_engine_that_cannot_start_says_why():
    engine = EngineProcess(serve_command(options=["--token-file", "nowhere.txt"]))
    with pytest.raises(EngineError, match=r"nowhere\.txt cannot be read"):
        engine.start()
    engine.stop()
    with pytest.raises(EngineError, match="cannot be started"):
        EngineProcess(["no-such-program"]).start()


def test_a_child_finds_this_library_from_any_folder(tmp_path):
    code = "import SAMSpineLib, sys; sys.stdout.write(SAMSpineLib.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=serve_environment(), capture_output=True, text=True, check=True
    )
    assert Path(done.stdout).parents[1] == ROOT


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "0.0.0.0"], "--token-file"),
        (["--token-file", "short"], "at least 16"),
        (["--tls-cert", "short"], "both a certificate and its key"),
        (["--tls-cert", "short", "--tls-key", "short"], "cannot be used"),
        (["--host", "not an address"], "Cannot listen"),
    ],
)
def test_what_serve_cannot_do_is_one_line_and_exit_code_2(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("short").write_text("short", encoding="utf-8")
    Path("long").write_text("a" * 32, encoding="utf-8")
    words = [*words, "--token-file", "long"] if "address" in words[-1] else words
    assert run(["serve", "--with-parent", *words]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_a_port_that_is_taken_is_said():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(EngineError, match="choose another"):
        bound(Address(port=taken.getsockname()[1]))


def test_tokens_are_new_each_time_or_come_from_a_file(tmp_path):
    assert token_of(Address()) != token_of(Address())
    path = tmp_path / "token"
    path.write_text("a-secret-of-the-department\n", encoding="utf-8")
    assert token_of(Address("0.0.0.0", token_file=path)) == "a-secret-of-the-department"
    assert [is_loopback(one) for one in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "box", "192.168.0.4")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip


BLOCKER = """
import importlib.abc, sys
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Blocker())
"""
BLOCKED = {"torch", "fastapi", "uvicorn", "starlette", "pydantic", "SimpleITK", "scipy", "requests", "monai", "typer"}


def without(code: str) -> subprocess.CompletedProcess[str]:
    code = BLOCKER.format(blocked=BLOCKED) + code
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_clients_side_needs_numpy_alone():
    names = ("mirror", "client", "child", "call", "upload", "protocol")
    done = without("\n".join(f"import SAMSpineLib.engine.service.{name}" for name in names))
    assert done.returncode == 0, done.stderr
    done = without("from SAMSpineLib.engine.service.client import RemoteSession as R\nR.at('http://x', 'y')")
    assert "samspine[server]" in done.stderr
    done = without("import SAMSpineLib.engine.service.listening")
    assert "samspine[server]" in done.stderr


def test_shared_memory_leaves_nothing_behind_when_its_maker_is_killed():
    code = (
        "import os, signal, sys\nfrom SAMSpineLib.engine.service.shared import offered\n"
        "with offered(1000) as (name, _):\n"
        "    sys.stdout.write(name); sys.stdout.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    with offered(1) as (other, _):
        assert other != done.stdout
    end = time.monotonic() + 5
    while Path("/dev/shm", done.stdout).exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert done.stdout
    assert not Path("/dev/shm", done.stdout).exists()


def test_a_department_is_served_over_tls(fake, serve, tmp_path):
    openssl = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "key", "-out",
         tmp_path / "cert", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
        capture_output=True, check=False,
    )  # fmt: skip
    if openssl.returncode:
        pytest.skip("needs openssl")
    with serve(fake(), certificate=tmp_path / "cert", key=tmp_path / "key") as engine:
        url = engine.url.replace("http:", "https:")
        assert requests.get(f"{url}/health", verify=str(tmp_path / "cert"), timeout=5).ok
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(f"{url}/health", timeout=5)


def test_building_a_server_needs_no_network(fake):
    from SAMSpineLib.engine.networks import Networks
    from SAMSpineLib.engine.service.hosting import Hosting

    networks = Networks(lambda _: pytest.fail("built too early"), lambda _: pytest.fail("built too early"))
    build_server(Hosting(networks), Address(), "x" * 16)
    assert not networks.ready
