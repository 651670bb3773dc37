"""Teach: from the labelled slices of a segment to a model that finds it by itself."""

from collections.abc import Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from SAMSpineLib.engine.autonomous.methods import TAUGHT
from SAMSpineLib.engine.shelves import model_name_for, sam_to_teach, teaching_folder
from SAMSpineSlicer.CommandButton import CommandButton
from SAMSpineSlicer.NextList import NextList
from SAMSpineSlicer.RunButton import RunButton


class TeachSection:
    """The section "Teach" of the panel: one button that becomes "Cancel", a bar, and what came of it."""

    def __init__(self, panel: Any) -> None:
        """Take the panel: its widgets, its desk, its connection."""
        self._panel, self.ui = panel, panel.ui
        self.run = RunButton(panel, self.ui.teachButton, self.ui.teachProgress)
        self.next = NextList(panel)
        self.byFolder = CommandButton(panel, self.ui.teachFolderButton, self._words, self._onTaught)
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
        self.byFolder.release()

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
        self.ui.teachFolderButton.enabled = self.byFolder.command.isRunning or bool(name)

    def _onName(self, _text: str) -> None:
        self._panel.refreshSoon()

    def _onButton(self) -> None:
        panel = self._panel
        if self.run.end(_("Ending; the best so far is kept")):
            return

        def start() -> None:
            panel.installer.check(panel.parameterNode)
            segmentId, bench = panel.selected(), panel.bench()
            isAll = self.ui.teachAllCheckBox.checked
            name = self._nameFor(bench.node.GetName() if isAll else bench.label_of(segmentId).name)
            segmentIds = list(bench.labels) if isAll else [segmentId]
            complete = self.ui.teachCompleteCheckBox.checked
            volumes = panel.desk.teach(name, segmentIds, self.run.tell, self._onFinished, complete=complete)
            panel.tell(_("Teaching by {volumes}").format(volumes=", ".join(volumes)))
            self.run.show(running=True)

        panel.attempt(start)

    def _nameFor(self, taught: str) -> str:
        """Return the name of the model that is to come of it: what the user typed, or what is taught."""
        return str(self.ui.teachNameEdit.text).strip() or model_name_for(taught)

    def _words(self) -> Sequence[str]:
        """Return the command that teaches the selected segment's structure by a folder, or nothing."""
        panel = self._panel
        structure = panel.bench().label_of(panel.selected()).name
        folder = qt.QFileDialog.getExistingDirectory(self.ui.teachFolderButton, _("Labelled images"))
        if not folder:
            return ()
        panel.tell(_("Teaching by {folder}").format(folder=folder))
        name = self._nameFor(structure)
        chosen = ("--name", name, "--model", sam_to_teach(panel.parameterNode.modelName))
        return ("teach", "--data", folder, "--structure", structure, "--out", str(teaching_folder(name)), *chosen)

    def _onTaught(self, result: dict[str, Any]) -> None:
        self._use(result["name"], result["steps"])

    def _onFinished(self, result: Any) -> None:
        self.run.show(running=False)
        if result is None:
            return
        self._use(result.name, result.steps)

    def _use(self, name: str, steps: int) -> None:
        """Make what was taught the model in use, and say so."""
        panel = self._panel
        panel.models.offer()
        if self.ui.modelSelector.findText(name) >= 0:  # an engine elsewhere keeps it there
            panel.parameterNode.modelName = name
            panel.parameterNode.method = TAUGHT
        said = _(
            "'{name}' was taught in {steps} steps and is the model now; Autonomous finds it with the method sam2rad"
        )
        panel.tell(said.format(name=name, steps=steps))
