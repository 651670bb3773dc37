"""Teach: from the labelled slices of a segment to a model that finds it by itself."""

from typing import Any

from slicer.i18n import tr as _

from SAMSpineLib.engine.autonomous.result import TAUGHT
from SAMSpineLib.engine.shelves import model_name_for
from SAMSpineSlicer.NextList import NextList
from SAMSpineSlicer.RunButton import RunButton


class TeachSection:
    """The section "Teach" of the panel: one button that becomes "Cancel", a bar, and what came of it."""

    def __init__(self, panel: Any) -> None:
        """Take the panel: its widgets, its desk, its connection."""
        self._panel, self.ui = panel, panel.ui
        self.run = RunButton(panel, self.ui.teachButton, self.ui.teachProgress)
        self.next = NextList(panel)
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
        self.next.release()

    def reset(self) -> None:
        """Take note that nothing runs any more."""
        self.run.show(running=False)

    def refresh(self) -> None:
        """Show whether the button may be pressed, and which segment it is about."""
        panel = self._panel
        bench, segmentId = panel.desk.bench, panel.parameterNode.selectedSegmentId
        name = bench.label_of(segmentId).name if bench is not None and segmentId in bench.labels else ""
        self.ui.teachSegmentLabel.text = name or _("none")
        self.ui.teachButton.enabled = self.run.isRunning or bool(name)

    def _onName(self, _text: str) -> None:
        self._panel.refreshSoon()

    def _onButton(self) -> None:
        panel = self._panel
        if self.run.end(_("Ending; the best so far is kept")):
            return

        def start() -> None:
            panel.installer.check(panel.parameterNode)
            segmentId = panel.selected()
            name = self.ui.teachNameEdit.text.strip() or model_name_for(panel.bench().label_of(segmentId).name)
            complete = self.ui.teachCompleteCheckBox.checked
            volumes = panel.desk.teach(name, [segmentId], self.run.tell, self._onFinished, complete=complete)
            panel.tell(_("Teaching by {volumes}").format(volumes=", ".join(volumes)))
            self.run.show(running=True)

        panel.attempt(start)

    def _onFinished(self, result: Any) -> None:
        self.run.show(running=False)
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
