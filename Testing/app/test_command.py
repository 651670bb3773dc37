"""What `samspine app` says before it serves anything."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

pytest.importorskip("trame_slicer", reason="needs the extra `app`")

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
