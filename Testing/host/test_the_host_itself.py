"""What the panel's tests rely on: events arrive where they would in Slicer, and mistakes are not swallowed."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

PLACE = (12.0, -20.0, 31.0)
FIRST = 1.0  # Slicer's own handlers are at 0, and keep some events from those who come later


@pytest.fixture
def a_volume(host: Any) -> Any:
    from SAMSpineLib.mrml.volumes import node_from_volume
    from SAMSpineLib.volume import Volume

    matrix = np.diag([-0.8, -0.8, 2.0, 1.0])
    matrix[:3, 3] = (40, 30, -10)
    node = node_from_volume(host.scene, Volume.from_array(np.zeros((40, 100, 100), np.int16), matrix, name="ct"))
    host.show(node)
    return node


def ras_under(view: Any) -> list[float]:
    x, y = view.sliceView().interactor().GetEventPosition()
    return list(view.mrmlSliceNode().GetXYToRAS().MultiplyPoint([x, y, 0, 1]))[:3]


@pytest.mark.parametrize("name", ["Red", "Yellow", "Green"])
def test_a_click_arrives_at_its_place(host: Any, a_volume: Any, name: str) -> None:
    view, seen = host.view(name), []
    view.sliceView().interactor().AddObserver("LeftButtonPressEvent", lambda *_: seen.append(ras_under(view)))
    host.click(name, PLACE)
    assert len(seen) == 1
    pixel = view.mrmlSliceNode().GetFieldOfView()[0] / 400
    assert np.abs(np.subtract(seen[0], PLACE)).max() < pixel


def test_a_drag_is_a_press_moves_and_a_release(host: Any, a_volume: Any) -> None:
    seen: list[str] = []
    for event in ("LeftButtonPressEvent", "MouseMoveEvent", "LeftButtonReleaseEvent"):
        host.view().sliceView().interactor().AddObserver(event, lambda _caller, name: seen.append(name), FIRST)
    host.drag("Red", [(0, 0, 5), (5, 0, 5), (5, 5, 5)])
    assert seen[:3] == ["LeftButtonPressEvent", "MouseMoveEvent", "MouseMoveEvent"]
    assert seen[-1] == "LeftButtonReleaseEvent"
    assert set(seen[3:-1]) <= {"MouseMoveEvent"}  # a real Slicer may say twice where the mouse is


def test_modifiers_and_the_right_button_arrive(host: Any, a_volume: Any) -> None:
    interactor, seen = host.view().sliceView().interactor(), []
    for event in ("LeftButtonPressEvent", "RightButtonPressEvent"):
        interactor.AddObserver(
            event, lambda caller, name: seen.append((name, caller.GetShiftKey(), caller.GetControlKey())), FIRST
        )
    host.click("Red", PLACE, modifiers=("Shift",))
    host.click("Red", PLACE, button="Right", modifiers=("Control",))
    assert seen == [("LeftButtonPressEvent", 1, 0), ("RightButtonPressEvent", 0, 1)]


def test_the_wheel_scrolls(host: Any, a_volume: Any) -> None:
    node = host.view().mrmlSliceNode()
    before = node.GetSliceOffset()
    host.wheel("Red", 1)
    assert abs(node.GetSliceOffset() - before) == pytest.approx(2.0)


def test_who_takes_a_click_keeps_it_from_slicer(host: Any, a_volume: Any) -> None:
    interactor, seen = host.view().sliceView().interactor(), []

    def take(caller: Any, _event: str) -> None:
        caller.GetCommand(tag).SetAbortFlag(1)

    tag = interactor.AddObserver("MouseWheelForwardEvent", take, 1.0)
    interactor.AddObserver("MouseWheelForwardEvent", lambda *_: seen.append(1), 0.5)
    before = host.view().mrmlSliceNode().GetSliceOffset()
    host.wheel("Red", 1)
    assert seen == []
    assert host.view().mrmlSliceNode().GetSliceOffset() == before


def test_a_shortcut_of_the_main_window_is_pressed(host: Any) -> None:
    import qt
    import slicer

    host.leave()  # the panel has this key, too
    pressed: list[int] = []
    shortcut = qt.QShortcut(qt.QKeySequence("Ctrl+Z"), slicer.util.mainWindow())
    shortcut.connect("activated()", lambda: pressed.append(1))
    host.key("Ctrl+Z")
    assert pressed == [1]


def test_other_keys_go_to_the_view(host: Any) -> None:
    host.leave()  # the panel takes the first of these keys
    interactor, seen = host.view().sliceView().interactor(), []
    interactor.AddObserver("KeyPressEvent", lambda caller, _event: seen.append(caller.GetKeySym()))
    host.key("P")
    host.key("Esc")
    assert seen == ["p", "Escape"]


def test_a_scene_is_written_and_read(host: Any, a_volume: Any, tmp_path: Any) -> None:
    file = host.save_scene(tmp_path)
    host.open_scene(file)
    again = host.scene.GetFirstNodeByName("ct")
    assert again is not None
    assert again.GetImageData().GetDimensions() == (100, 100, 40)


def test_what_a_slot_raises_is_kept(make_host: Any) -> None:
    import slicer

    host = make_host()
    host.open()
    host.ui.undoButton.enabled = True
    host.ui.undoButton.connect("clicked()", lambda: 1 / 0)
    host.press(host.ui.undoButton)
    assert [type(error) for error in host.errors] == [ZeroDivisionError]
    host.errors.clear()
    scene = slicer.mrmlScene
    tag = scene.AddObserver(scene.StartCloseEvent, lambda *_: {}["missing"])
    scene.Clear()
    scene.RemoveObserver(tag)
    assert [type(error) for error in host.errors] == [KeyError]
    host.errors.clear()


@pytest.mark.usefixtures("host")
def test_qt_speaks_as_pythonqt() -> None:
    import qt

    button = qt.QPushButton("go")
    button.checkable = button.checked = True
    assert (button.text, button.checked, button.isChecked()) == ("go", True, True)
    with pytest.raises(AttributeError, match="chekced"):
        button.chekced = False


@pytest.mark.skipif("PythonQt" in sys.modules, reason="PythonQt itself only prints this")
@pytest.mark.usefixtures("host")
def test_an_unknown_signal_is_an_error() -> None:
    import qt

    with pytest.raises(ValueError, match="no signal"):
        qt.QPushButton("go").connect("klicked()", print)


@pytest.mark.skipif("PythonQt" in sys.modules, reason="PythonQt itself gives a box without buttons")
@pytest.mark.usefixtures("host")
def test_buttons_are_not_given_to_the_constructor_of_their_box() -> None:
    import qt

    with pytest.raises(TypeError, match="setStandardButtons"):
        qt.QDialogButtonBox(qt.QDialogButtonBox.Ok | qt.QDialogButtonBox.Cancel)
    box = qt.QDialogButtonBox()
    box.setStandardButtons(qt.QDialogButtonBox.Ok | qt.QDialogButtonBox.Cancel)
    assert len(box.buttons()) == 2


def test_qt_reaches_a_server_without_waiting(host: Any) -> None:
    import http.server
    import threading

    import qt

    class Hello(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Hello)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    answers: list[bytes] = []
    manager = qt.QNetworkAccessManager()
    manager.connect("finished(QNetworkReply*)", lambda reply: answers.append(reply.readAll().data()))
    manager.get(qt.QNetworkRequest(qt.QUrl(f"http://127.0.0.1:{server.server_port}/")))
    host.wait_until(lambda: answers)
    server.shutdown()
    assert answers == [b"hello"]


def test_a_process_ends_and_says_so(host: Any) -> None:
    import sys

    import qt

    ended: list[int] = []
    process = qt.QProcess()
    process.connect("finished(int,QProcess::ExitStatus)", lambda code, _status: ended.append(code))
    process.start(sys.executable, ["-c", "print('up'); raise SystemExit(3)"])
    host.wait_until(lambda: ended)
    assert ended == [3]
    assert process.readAllStandardOutput().data() == b"up\n"


def test_a_timer_ticks(host: Any) -> None:
    import qt

    ticks: list[int] = []
    timer = qt.QTimer()
    timer.setSingleShot(True)
    timer.connect("timeout()", lambda: ticks.append(1))
    timer.start(1)
    host.wait_until(lambda: ticks)
    assert not timer.active


def test_a_view_may_be_turned_obliquely(host: Any, a_volume: Any) -> None:
    view, seen = host.view("Red"), []
    view.mrmlSliceNode().SetSliceToRASByNTP(0.3, 0.2, 0.93, 1, 0, 0, 0, 0, 0, 0)
    interactor = view.sliceView().interactor()
    interactor.AddObserver("LeftButtonPressEvent", lambda *_: seen.append(ras_under(view)), FIRST)
    host.click("Red", PLACE)
    pixel = view.mrmlSliceNode().GetFieldOfView()[0] / 400
    assert np.abs(np.subtract(seen[0], PLACE)).max() < pixel


def test_waiting_costs_no_processor(host: Any) -> None:
    import time

    before = time.process_time()
    with pytest.raises(TimeoutError):
        host.wait_until(lambda: False, seconds=0.5)
    assert time.process_time() - before < 0.25
