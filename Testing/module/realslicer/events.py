"""Mouse and keys as Qt and the window system deliver them."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Any

import pytest
import qt
import slicer

MILLISECONDS_OF_A_MENU = 200
# Qt's names of keys and the window system's.
_KEYSYMS = {".": "period", ",": "comma", "Esc": "Escape", "Ctrl": "ctrl", "Shift": "shift", "Alt": "alt"}


def button_named(name: str) -> Any:
    """Return Qt's button: "Left", "Right", "Middle", "No"."""
    return getattr(qt.Qt, f"{name}Button")


def modifiers_named(names: tuple[str, ...]) -> Any:
    """Return Qt's keyboard modifiers: "Shift", "Control", "Alt"."""
    result = qt.Qt.NoModifier
    for name in names:
        result = result | getattr(qt.Qt, f"{name}Modifier")
    return result


def mouse(widget: Any, kind: str, place: Any, *, button: str = "No", held: str = "No", modifiers: Any = ()) -> None:
    """Send a mouse event: `kind` as Qt calls it, `place` in the widget's pixels (QPoint)."""
    there, seen = qt.QPointF(place), qt.QPointF(widget.mapToGlobal(place))
    buttons = (button_named(button), button_named(held))
    event = qt.QMouseEvent(getattr(qt.QEvent, kind), there, seen, *buttons, modifiers_named(tuple(modifiers)))
    slicer.app.sendEvent(widget, event)


def press(widget: Any, place: Any, *, button: str = "Left", modifiers: Any = ()) -> None:
    """Press a button."""
    mouse(widget, "MouseButtonPress", place, button=button, held=button, modifiers=modifiers)


def release(widget: Any, place: Any, *, button: str = "Left", modifiers: Any = ()) -> None:
    """Release a button."""
    mouse(widget, "MouseButtonRelease", place, button=button, modifiers=modifiers)


def click(widget: Any, place: Any, *, button: str = "Left", modifiers: Any = ()) -> None:
    """Press and release a button; the menu that may come up is closed again."""
    if button == "Right":
        qt.QTimer.singleShot(MILLISECONDS_OF_A_MENU, _close_menu)
    press(widget, place, button=button, modifiers=modifiers)
    release(widget, place, button=button, modifiers=modifiers)


def press_key(widget: Any, name: str) -> None:
    """Press a key that is for one widget, by Qt's name of it ("Return")."""
    for kind in (qt.QEvent.KeyPress, qt.QEvent.KeyRelease):
        slicer.app.sendEvent(widget, qt.QKeyEvent(kind, getattr(qt.Qt, f"Key_{name}"), qt.Qt.NoModifier))


def _close_menu() -> None:
    menu = slicer.app.activePopupWidget()
    if menu is not None:
        menu.close()


def turn_wheel(widget: Any, steps: int) -> None:
    """Turn the wheel over the middle of a widget; positive is away from the user."""
    place = qt.QPoint(widget.width // 2, widget.height // 2)
    there, seen = qt.QPointF(place), qt.QPointF(widget.mapToGlobal(place))
    turn = (qt.QPoint(0, 0), qt.QPoint(0, 120 * steps), qt.Qt.NoButton, qt.Qt.NoModifier, qt.Qt.NoScrollPhase, False)
    slicer.app.sendEvent(widget, qt.QWheelEvent(there, seen, *turn))


def type_key(sequence: str) -> None:
    """Press a key or a combination at the keyboard itself, as shortcuts need it; Qt's own events do not reach them."""
    program = shutil.which("xdotool")
    if program is None or not os.environ.get("DISPLAY"):
        pytest.skip("needs xdotool and an X display to press keys")
    keys = [_KEYSYMS.get(part, part.lower()) for part in sequence.split("+")]
    environment = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    subprocess.run([program, "key", "+".join(keys)], check=True, env=environment)  # noqa: S603
