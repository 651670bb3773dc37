"""Segments: the table, new ones, the next and the previous level, other names."""

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from SAMSpineLib.labels import Label, spine_labels
from SAMSpineLib.mrml.finding import centre_of
from SAMSpineLib.mrml.review_list import segment_rows
from SAMSpineLib.mrml.segment_labels import add_segment, rename
from SAMSpineSlicer.LabelTable import LabelTable

SIZE_OF_BROWSER = (480, 640)


class SegmentsSection:
    """The sections "Manual" and "Segments" of the panel."""

    def __init__(self, panel: Any) -> None:
        """Take the panel: its widgets, its desk, its selection."""
        self._panel, self.ui = panel, panel.ui
        self._terminology = ""
        self.table = LabelTable(self.ui.segmentsTable, self._onSelected, self._onRenamed, self._onShown)
        self._completer = qt.QCompleter(list(spine_labels().names))
        self.ui.newSegmentNameEdit.setCompleter(self._completer)
        self._connections = [
            (self.ui.newSegmentNameEdit, "textChanged(QString)", self._onName),
            (self.ui.newSegmentNameEdit, "returnPressed()", self._onAdd),
            (self.ui.addSegmentButton, "clicked()", self._onAdd),
            (self.ui.terminologyButton, "clicked()", self._onTerminology),
            (self.ui.renumberButton, "clicked()", self._onRenumber),
        ]
        for widget, signal, slot in self._connections:
            widget.connect(signal, slot)

    def release(self) -> None:
        """Listen no more."""
        self.table.release()
        for widget, signal, slot in self._connections:
            widget.disconnect(signal, slot)

    def step(self, step: int) -> None:
        """Go to the next level towards the feet (1) or the head (-1); the one left is completed."""
        panel = self._panel
        bench, before = panel.bench(), panel.selected()
        panel.select(bench.next_segment(before, step))
        bench.complete(before)

    def refresh(self) -> None:
        """Show the segments as they are."""
        panel, state = self._panel, self._panel.parameterNode
        bench = panel.desk.bench
        rows = segment_rows(bench) if bench is not None else []
        self.table.show(rows, state.selectedSegmentId, withSource=state.showSource)
        chosen = next((row for row in rows if row.segment_id == state.selectedSegmentId), None)
        self.ui.selectedSegmentLabel.text = chosen.name if chosen is not None else _("none")
        self.ui.clearPromptsButton.enabled = chosen is not None
        self.ui.renumberButton.enabled = chosen is not None
        for button in (self.ui.nextVertebraButton, self.ui.previousVertebraButton):
            button.enabled = chosen is not None
        panel.display.show(bench.node if bench is not None else None, state.show3D, state.smoothing)

    def _onSelected(self, segmentId: str) -> None:
        panel = self._panel
        panel.select(segmentId)
        place = centre_of(panel.desk.bench, segmentId)
        if place is not None:
            slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *place)

    def _onRenamed(self, segmentId: str, name: str) -> None:
        self._panel.attempt(lambda: rename(self._panel.bench().node, segmentId, name))
        self._panel.refreshSoon()

    def _onShown(self, segmentId: str, shown: bool) -> None:
        display = self._panel.desk.bench.node.GetDisplayNode()
        if display is not None:
            display.SetSegmentVisibility(segmentId, shown)

    def _onName(self, text: str) -> None:
        self.ui.addSegmentButton.enabled = bool(text.strip())

    def _onAdd(self) -> None:
        def add() -> None:
            bench = self._panel.bench()
            name, self._terminology, code = self.ui.newSegmentNameEdit.text, "", self._terminology
            self._panel.select(add_segment(bench.node, name, bench.table, code))
            self.ui.newSegmentNameEdit.text = ""

        self._panel.attempt(add)

    def _onTerminology(self) -> None:
        """Ask for a name and a code in Slicer's own terminology browser."""
        browser = getattr(slicer, "qSlicerTerminologyNavigatorWidget", None)
        if browser is None:
            self._panel.tell(_("This Slicer has no terminology browser; type a name"))
            return
        logic, entry = slicer.modules.terminologies.logic(), slicer.vtkSlicerTerminologyEntry()
        widget = browser()
        widget.overrideSectionVisible = False  # name and colour are set elsewhere
        # Without an entry to begin with, the browser shows no terms.
        logic.DeserializeTerminologyEntry(_labelNamed(self.ui.newSegmentNameEdit.text).terminology, entry)
        widget.setTerminologyEntry(entry)
        if self._confirmed(widget) and widget.terminologyEntry(entry):
            self._terminology = logic.SerializeTerminologyEntry(entry)
            self.ui.newSegmentNameEdit.text = entry.GetTypeObject().GetCodeMeaning()

    def _confirmed(self, widget: Any) -> bool:
        """Show the browser until it is closed; Slicer's own dialog around it cannot be called from Python."""
        dialog, buttons = qt.QDialog(self.ui.terminologyButton), qt.QDialogButtonBox()
        dialog.setWindowTitle(_("Choose a term"))
        buttons.setStandardButtons(qt.QDialogButtonBox.Ok | qt.QDialogButtonBox.Cancel)
        layout = qt.QVBoxLayout(dialog)
        layout.addWidget(widget)
        layout.addWidget(buttons)
        buttons.connect("accepted()", dialog.accept)
        buttons.connect("rejected()", dialog.reject)
        dialog.resize(*SIZE_OF_BROWSER)
        return bool(dialog.exec_())

    def _onRenumber(self) -> None:
        """Ask which level the selected segment is, and let the chain follow."""
        panel = self._panel

        def renumber() -> None:
            segmentId = panel.selected()
            names = [label.name for label in spine_labels() if label.group not in {"disc", "canal", "column"}]
            here = panel.desk.bench.label_of(segmentId).name
            index = names.index(here) if here in names else 0
            title, text = _("Renumber from here"), _("{name} is really:").format(name=here)
            name = qt.QInputDialog.getItem(self.ui.renumberButton, title, text, names, index, False)
            name = name[0] if isinstance(name, tuple) and name[1] else name
            if isinstance(name, str) and name and name != here:
                panel.desk.renumber(segmentId, name)
                panel.select(segmentId)

        panel.attempt(renumber)


def _labelNamed(name: str) -> Label:
    """Return the label of a name, the first vertebra that most images show where the name is none of ours."""
    names = spine_labels().names
    return spine_labels().by_name(name if name in names else "L1")
