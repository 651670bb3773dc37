"""The panel's keys: they exist only while the panel is in view."""

from typing import Any

import qt
import slicer

from SAMSpineSlicer.Keys import KEYS


class Shortcuts:
    """Each key presses its button, if that may be pressed."""

    def __init__(self, ui: Any) -> None:
        """Take the widgets by name."""
        self._ui = ui
        self._shortcuts: list[Any] = []

    def install(self) -> None:
        """Listen to the keys; without a main window there is nobody to press them."""
        window = slicer.util.mainWindow()
        if window is None or self._shortcuts:
            return
        for key in KEYS:
            shortcut = qt.QShortcut(qt.QKeySequence(key.sequence), window)
            press = getattr(self._ui, key.button).click
            shortcut.connect("activated()", press)
            shortcut.connect("activatedAmbiguously()", press)  # another module has the key as well
            self._shortcuts.append(shortcut)

    def remove(self) -> None:
        """Give the keys back."""
        for shortcut in self._shortcuts:
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._shortcuts.clear()
