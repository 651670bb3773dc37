"""Teach: from the labelled slices of a segment to a model that finds it by itself."""

from typing import Any

from slicer.i18n import tr as _

from SAMSpineLib.engine.autonomous.result import TAUGHT


class TeachSection:
    """The section "Teach" of the panel: one button that becomes "Cancel", a bar, and what came of it."""

    def __init__(self, panel: Any) -> None:
        """Take the panel: its widgets, its desk, its connection."""
        self._panel, self.ui = panel, panel.ui
        self.isRunning = False
        self._titles = {False: self.ui.teachButton.text, True: _("Cancel")}
        self._connections = [
            (self.ui.teachButton, "clicked()", self._onButton),
            (self.ui.teachNameEdit, "textChanged(QString)", self._onName),
        ]
        for widget, signal, slot in self._connections:
            widget.connect(signal, slot)

    def release(self) -> None:
        """Listen no more."""
        for widget, signal, slot in self._connections:
            widget.disconnect(signal, slot)

    def reset(self) -> None:
        """Take note that nothing runs any more."""
        self._show(running=False)

    def refresh(self) -> None:
        """Show whether the button may be pressed, and which segment it is about."""
        panel = self._panel
        bench, segmentId = panel.desk.bench, panel.parameterNode.selectedSegmentId
        name = bench.label_of(segmentId).name if bench is not None and segmentId in bench.labels else ""
        self.ui.teachSegmentLabel.text = name or _("none")
        self.ui.teachButton.enabled = self.isRunning or bool(name)

    def _onName(self, _text: str) -> None:
        self._panel.refreshSoon()

    def _onButton(self) -> None:
        panel = self._panel
        if self.isRunning:
            panel.tell(_("Ending; the best so far is kept"))
            panel.connection.queue.post_beside(panel.desk.mirror.cancel())
            return

        def start() -> None:
            panel.installer.check(panel.parameterNode)
            segmentId = panel.selected()
            name = self.ui.teachNameEdit.text.strip() or modelNameFor(panel.bench().label_of(segmentId).name)
            complete = self.ui.teachCompleteCheckBox.checked
            panel.desk.teach(name, [segmentId], self._onProgress, self._onFinished, complete=complete)
            self._show(running=True)

        panel.attempt(start)

    def _onProgress(self, said: str, share: float) -> None:
        self.ui.teachProgress.value = round(100 * share)
        self.ui.teachProgress.format = f"{said} %p%"

    def _onFinished(self, result: Any) -> None:
        self._show(running=False)
        if result is None:
            return
        panel = self._panel
        panel.models.offer()
        if self.ui.modelSelector.findText(result.name) >= 0:  # an engine elsewhere keeps it there
            panel.parameterNode.modelName = result.name
            panel.parameterNode.method = TAUGHT
        said = _(
            "'{name}' was taught in {steps} steps and is the model now; Autonomous finds it with the method sam2rad"
        )
        panel.tell(said.format(name=result.name, steps=result.steps))

    def _show(self, *, running: bool) -> None:
        self.isRunning = running
        self.ui.teachButton.text = self._titles[running]
        self.ui.teachProgress.visible = running
        self.ui.teachProgress.value = 0


def modelNameFor(structure: str) -> str:
    """Return a model's name for a structure: letters, digits and dashes."""
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in structure.strip().lower())
    return "-".join(part for part in kept.split("-") if part)[:60] or "taught"
