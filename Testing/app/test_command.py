"""What `samspine app` says before it serves anything."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("trame_slicer", reason="needs the extra `app`")

from SAMSpineLib.app.graphics import PROBE, check_graphics
from SAMSpineLib.app.launch import free_port
from SAMSpineLib.cli import run
from SAMSpineLib.errors import OutputError


def test_an_image_that_is_not_there_is_named_at_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["app", str(tmp_path / "nothing.nii.gz"), "--no-browser"]) == 2
    said = capfd.readouterr()
    assert said.out == ""
    assert "nothing.nii.gz does not exist" in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_a_port_that_is_taken_is_an_error_that_says_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OutputError, match="--port"):
            free_port("127.0.0.1", port)
    assert free_port("127.0.0.1", 0) > 0


ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is not EGL that draws")
def test_without_opengl_one_line_says_what_to_install() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    environment["__EGL_VENDOR_LIBRARY_DIRS"] = environment["__EGL_VENDOR_LIBRARY_FILENAMES"] = "/nowhere"
    command = [sys.executable, "-m", "SAMSpineLib", "app", "--no-browser"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "libegl1" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_where_one_frame_can_be_drawn_there_is_no_complaint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    monkeypatch.delenv("DISPLAY", raising=False)
    check_graphics()


def test_a_process_that_draws_may_import_what_brings_triton() -> None:
    pytest.importorskip("torchvision")
    prepare = "from SAMSpineLib.app import graphics\ngraphics.choose_window()\ngraphics.keep_triton_out()\n"
    code = f"{prepare}{PROBE}\nimport torchvision.ops\nwindow.Render()\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
