"""Server and log."""

from collections import deque
from typing import Any

import qt
from slicer.i18n import tr as _

LINES_OF_LOG = 2000


class AdvancedSection:
    """The section "Advanced" of the panel, but for its models."""

    def __init__(self, panel: Any) -> None:
        """Take the panel."""
        self._panel, self.ui = panel, panel.ui
        self._lines: deque[str] = deque(maxlen=LINES_OF_LOG)
        self._window: Any = None
        self._connections = [
            (self.ui.tokenFileButton, "clicked()", self._onTokenFile),
            (self.ui.showLogButton, "clicked()", self._onLog),
        ]
        for widget, signal, slot in self._connections:
            widget.connect(signal, slot)

    def release(self) -> None:
        """Listen no more."""
        for widget, signal, slot in self._connections:
            widget.disconnect(signal, slot)
        if self._window is not None:
            self._window.close()
            self._window.deleteLater()
            self._window = None

    def log(self, line: str) -> None:
        """Keep a line that the engine has written."""
        self._lines.append(line)
        if self._window is not None:
            self._window.appendPlainText(line)

    def _onTokenFile(self) -> None:
        found = qt.QFileDialog.getOpenFileName(self.ui.tokenFileButton, _("Token file"))
        found = found[0] if isinstance(found, tuple) else found
        if found and self._panel.parameterNode is not None:
            self._panel.parameterNode.tokenFile = found

    def _onLog(self) -> None:
        if self._window is None:
            self._window = qt.QPlainTextEdit()
            self._window.setReadOnly(True)
            self._window.setWindowTitle(_("Log of the SAMSpine engine"))
            self._window.resize(900, 400)
        self._window.setPlainText("\n".join(self._lines) or _("Nothing yet"))
        self._window.show()
