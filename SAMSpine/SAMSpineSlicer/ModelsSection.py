"""The user's models: choose, download, add, verify, clear."""

from functools import partial
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from SAMSpineLib.engine.shelves import (
    accept_terms,
    clear_models,
    downloadable,
    model_folder,
    model_names,
    own_models,
    verify_models,
)
from SAMSpineSlicer.SpineCommand import SpineCommand


class ModelsSection:
    """The choice of a model, and the rows "Models" of the section "Advanced"."""

    def __init__(self, panel: Any) -> None:
        """Take the panel."""
        self._panel, self.ui = panel, panel.ui
        self._titles = {False: self.ui.downloadModelButton.text, True: _("Cancel")}
        self.command = SpineCommand(panel.tell, self._onDone)
        self.menu: Any = None
        self.ui.modelFolderLabel.text = str(model_folder())
        panel.attempt(self.offer)
        self._connections = [
            (self.ui.modelSelector, "currentIndexChanged(int)", self._onModel),
            (self.ui.openModelFolderButton, "clicked()", self._onOpen),
            (self.ui.verifyModelsButton, "clicked()", self._onVerify),
            (self.ui.clearModelsButton, "clicked()", self._onClear),
            (self.ui.downloadModelButton, "clicked()", self._onDownload),
            (self.ui.addModelButton, "clicked()", self._onAdd),
        ]
        for widget, signal, slot in self._connections:
            widget.connect(signal, slot)

    def release(self) -> None:
        """Listen no more, and end what runs."""
        for widget, signal, slot in self._connections:
            widget.disconnect(signal, slot)
        self.command.stop()

    def refresh(self) -> None:
        """Show the model that the parameter node names."""
        name = self._panel.parameterNode.modelName
        if self.ui.modelSelector.currentText != name and self.ui.modelSelector.findText(name) >= 0:
            self.ui.modelSelector.setCurrentText(name)

    def offer(self) -> None:
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

    def _onModel(self, _index: int) -> None:
        state = self._panel.parameterNode
        if state is not None:
            state.modelName = self.ui.modelSelector.currentText

    def _onOpen(self) -> None:
        def show() -> None:
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(model_folder(make=True))))

        self._panel.attempt(show)

    def _onVerify(self) -> None:
        def verify() -> None:
            with slicer.util.WaitCursor():
                count = verify_models()
            self._panel.tell(_("{count} models are as they were released or added").format(count=count))

        self._panel.attempt(verify)

    def _onClear(self) -> None:
        def clear() -> None:
            question = _("Remove {count} models of your own from this computer? The bundled ones stay.")
            if slicer.util.confirmOkCancelDisplay(question.format(count=len(own_models()))):
                removed = clear_models()
                self.offer()
                self._panel.tell(_("Removed: {names}").format(names=", ".join(removed) or _("nothing")))

        self._panel.attempt(clear)

    def _onDownload(self) -> None:
        if self.command.isRunning:
            self.command.stop()
            self._show(running=False)
            self._panel.tell(_("Cancelled; what has arrived is kept for the next time"))
            return
        self._panel.attempt(self._showMenu)

    def _showMenu(self) -> None:
        """Let the user choose among all that is not here yet."""
        self.menu = qt.QMenu(self.ui.downloadModelButton)
        for release in downloadable():
            action = self.menu.addAction(f"{release.name} ({release.bytes / 1e6:.0f} MB)")
            action.toolTip = release.summary
            action.connect("triggered()", partial(self._download, release))
        self.menu.toolTipsVisible = True
        self.menu.popup(self.ui.downloadModelButton.mapToGlobal(qt.QPoint(0, self.ui.downloadModelButton.height)))

    def _download(self, release: Any, *_checked: bool) -> None:
        """Show the terms, and begin when they are accepted."""

        def begin() -> None:
            text = _("{summary}\n\n{size:.0f} MB from {address}\n\nLicence: {licence}\n{terms}\n\nCite: {citation}")
            shown = text.format(
                summary=release.summary, size=release.bytes / 1e6, address=release.address,
                licence=release.licence, terms=release.terms, citation=release.citation,
            )  # fmt: skip
            if slicer.util.confirmOkCancelDisplay(shown + "\n\n" + _("Do you accept these terms?")):
                accept_terms(release.name)
                self._run("download", release.name)

        self._panel.attempt(begin)

    def _onAdd(self) -> None:
        found = qt.QFileDialog.getOpenFileName(
            self.ui.addModelButton, _("Checkpoint"), "", _("Checkpoints (*.pt *.pth *.safetensors)")
        )
        found = found[0] if isinstance(found, tuple) else found
        if found and not self.command.isRunning:
            self._run("add", found)

    def _run(self, *words: str) -> None:
        self._show(running=True)
        self._panel.tell(_("Working on {name}").format(name=words[-1]))
        self.command.start("models", *words)

    def _onDone(self, result: dict[str, Any]) -> None:
        self._show(running=False)
        if "error" in result:
            self._panel.tell(result["error"])
            return
        model = result["model"]
        self._panel.attempt(self.offer)
        self._panel.tell(_("{name} is here: {network}").format(name=model["name"], network=model["architecture"]))

    def _show(self, *, running: bool) -> None:
        self.ui.downloadModelButton.text = self._titles[running]
        self.ui.addModelButton.enabled = not running
        self.ui.clearModelsButton.enabled = not running
