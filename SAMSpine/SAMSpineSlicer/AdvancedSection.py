"""Server, model folder and log."""

from collections import deque
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from SAMSpineLib.engine.shelves import clear_models, model_folder, model_names, own_models, verify_models

LINES_OF_LOG = 2000


class AdvancedSection:
    """The section "Advanced" of the panel, and the choice of a model."""

    def __init__(self, panel: Any) -> None:
        """Take the panel."""
        self._panel, self.ui = panel, panel.ui
        self._lines: deque[str] = deque(maxlen=LINES_OF_LOG)
        self._window: Any = None
        self.ui.modelFolderLabel.text = str(model_folder())
        self._panel.attempt(self.offerModels)
        self._connections = [
            (self.ui.modelSelector, "currentIndexChanged(int)", self._onModel),
            (self.ui.tokenFileButton, "clicked()", self._onTokenFile),
            (self.ui.openModelFolderButton, "clicked()", self._onOpen),
            (self.ui.verifyModelsButton, "clicked()", self._onVerify),
            (self.ui.clearModelsButton, "clicked()", self._onClear),
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

    def refresh(self) -> None:
        """Show the model that the parameter node names."""
        name = self._panel.parameterNode.modelName
        if self.ui.modelSelector.currentText != name and self.ui.modelSelector.findText(name) >= 0:
            self.ui.modelSelector.setCurrentText(name)

    def offerModels(self) -> None:
        """Offer the models that are on this computer now; the chosen one stays chosen while it is among them."""
        selector, names = self.ui.modelSelector, list(model_names())
        chosen = selector.currentText
        wasBlocked = selector.blockSignals(True)
        selector.clear()
        selector.addItems(names)
        if chosen in names:
            selector.setCurrentText(chosen)
        selector.blockSignals(wasBlocked)
        if chosen and chosen not in names:
            self._onModel(selector.currentIndex)

    def log(self, line: str) -> None:
        """Keep a line that the engine has written."""
        self._lines.append(line)
        if self._window is not None:
            self._window.appendPlainText(line)

    def _onModel(self, _index: int) -> None:
        state = self._panel.parameterNode
        if state is not None:
            state.modelName = self.ui.modelSelector.currentText

    def _onTokenFile(self) -> None:
        found = qt.QFileDialog.getOpenFileName(self.ui.tokenFileButton, _("Token file"))
        found = found[0] if isinstance(found, tuple) else found
        if found and self._panel.parameterNode is not None:
            self._panel.parameterNode.tokenFile = found

    def _onOpen(self) -> None:
        def show() -> None:
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(model_folder(make=True))))

        self._panel.attempt(show)

    def _onVerify(self) -> None:
        def verify() -> None:
            with slicer.util.WaitCursor():
                count = verify_models()
            self._panel.tell(_("{count} models are as they were released").format(count=count))

        self._panel.attempt(verify)

    def _onClear(self) -> None:
        def clear() -> None:
            names = own_models()
            question = _("Remove {count} models of your own from this computer? The bundled ones stay.")
            if slicer.util.confirmOkCancelDisplay(question.format(count=len(names))):
                removed = clear_models()
                self.offerModels()
                self._panel.tell(_("Removed: {names}").format(names=", ".join(removed) or _("nothing")))

        self._panel.attempt(clear)

    def _onLog(self) -> None:
        if self._window is None:
            self._window = qt.QPlainTextEdit()
            self._window.setReadOnly(True)
            self._window.setWindowTitle(_("Log of the SAMSpine engine"))
            self._window.resize(900, 400)
        self._window.setPlainText("\n".join(self._lines) or _("Nothing yet"))
        self._window.show()
