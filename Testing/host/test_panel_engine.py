"""The engine process: killed at any time, what the user did is there, and the next click works."""

from __future__ import annotations

import os
import signal
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def alone(spine_alone: Any) -> Any:
    """Give a user whose engine is a child of the panel, and who has clicked on L3."""
    spine_alone.choose("L3")
    spine_alone.click("L3")
    spine_alone.settle()
    assert spine_alone.dice("L3") > 0.7
    return spine_alone


def kill(user: Any) -> None:
    os.kill(user.panel.connection.engine.handshake.pid, signal.SIGKILL)


def heard(user: Any) -> list[str]:
    """Collect what the panel tells from here on."""
    lines: list[str] = []
    tell = user.panel.tell

    def listening(text: str) -> None:
        lines.append(text)
        tell(text)

    user.panel.connection._tell = user.panel.connection.queue._notify = listening
    return lines


def test_killed_between_click_and_answer(alone: Any) -> None:
    lines = heard(alone)
    alone.choose("L4")
    alone.click("L4")
    kill(alone)
    alone.settle()
    assert alone.dice("L4") > 0.7
    assert alone.dice("L3") > 0.7
    assert len([line for line in lines if line]) <= 2
    assert alone.panel.connection.queue.is_idle


def test_killed_while_nothing_happens(alone: Any) -> None:
    before = alone.voxels("L3")
    kill(alone)
    alone.host.wait_until(lambda: not alone.panel.connection.engine.is_alive)
    assert np.array_equal(alone.voxels("L3"), before)
    alone.click("L2", key="N")
    alone.settle()
    assert len(alone.panel.desk.markers()) == 2
    alone.host.key("Ctrl+Z")
    alone.settle()
    assert np.array_equal(alone.voxels("L3"), before)


def test_killed_during_the_upload(spine_alone: Any) -> None:
    user = spine_alone
    user.choose("L3")
    user.tool("P")
    engine = user.panel.connection.engine
    user.host.wait_until(lambda: engine.is_alive, 60)
    user.host.click("Red", user.place("L3"))
    kill(user)
    user.settle()
    assert user.dice("L3") > 0.7


def test_killed_during_an_autonomous_run(alone: Any) -> None:
    alone.host.press(alone.host.ui.autonomousButton)
    alone.host.wait_until(lambda: alone.host.ui.autonomousProgress.value > 0, 60)
    kill(alone)
    alone.settle()
    assert not alone.panel.autonomous.run.isRunning
    assert alone.dice("L3") > 0.7
    alone.choose("L4")
    alone.click("L4")
    alone.settle()
    assert alone.dice("L4") > 0.7


def test_the_engine_ends_with_the_panel(alone: Any) -> None:
    pid = alone.panel.connection.engine.handshake.pid
    alone.host.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_reload_ends_the_engine_and_the_next_click_starts_another(alone: Any) -> None:
    pid, before = alone.panel.connection.engine.handshake.pid, alone.voxels("L3")
    alone.choose("L4")
    alone.click("L4")
    alone.host.widget.onReload()
    alone.host.process()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    alone.choose("L4")
    alone.click("L4")
    alone.settle()
    assert alone.dice("L4") > 0.7
    assert np.array_equal(alone.voxels("L3"), before)


def test_an_engine_that_cannot_start_is_said_in_one_line(spine_alone: Any) -> None:
    spine_alone.state.modelName = "no-such-model"
    spine_alone.choose("L3")
    spine_alone.click("L3")
    spine_alone.settle()
    assert "no-such-model" in spine_alone.host.ui.statusLabel.text
    spine_alone.state.modelName = "ct-sam3d-small"
    spine_alone.click("L3")
    spine_alone.settle()
    assert spine_alone.dice("L3") > 0.7


def test_a_server_that_is_not_there_is_said_in_one_line(spine_alone: Any) -> None:
    spine_alone.state.serverAddress = "http://127.0.0.1:9"
    spine_alone.choose("L3")
    spine_alone.click("L3")
    spine_alone.settle()
    assert "does not answer" in spine_alone.host.ui.statusLabel.text
    assert spine_alone.panel.desk.markers() == ()
