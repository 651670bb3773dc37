"""What to label next: the scans of a folder, those first of which the taught model in use is least sure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from SAMSpineSlicer.CommandButton import CommandButton


class NextList:
    """A button that has a folder ranked, and the table of its scans; a click on a line opens the scan."""

    def __init__(self, panel: Any) -> None:
        """Take the panel."""
        self._panel, self.ui = panel, panel.ui
        self._folder = Path()
        self._names: list[str] = []
        self._button = CommandButton(panel, self.ui.rankButton, self._words, self._onRanked)
        self.ui.nextTable.connect("cellClicked(int,int)", self._onCell)

    def release(self) -> None:
        """Listen no more, and end what runs."""
        self.ui.nextTable.disconnect("cellClicked(int,int)", self._onCell)
        self._button.release()

    def _words(self) -> Sequence[str]:
        folder = qt.QFileDialog.getExistingDirectory(self.ui.rankButton, _("Scans to choose from"))
        if not folder:
            return ()
        self._folder = Path(folder)
        self._panel.tell(_("Looking at the scans of {folder}").format(folder=folder))
        return ("rank", folder, "--model", self.ui.modelSelector.currentText)

    def _onRanked(self, result: dict[str, Any]) -> None:
        scans, table = result["scans"], self.ui.nextTable
        self._names = [one["name"] for one in scans]
        table.setRowCount(len(scans))
        for row, one in enumerate(scans):
            table.setItem(row, 0, qt.QTableWidgetItem(one["name"]))
            table.setItem(row, 1, qt.QTableWidgetItem(f"{one['gain']:.2f}"))
        table.visible = True
        self._panel.tell(_("Label {name} next").format(name=self._names[0]))

    def _onCell(self, row: int, _column: int) -> None:
        self._panel.attempt(lambda: self._open(self._folder / self._names[row]))

    def _open(self, path: Path) -> None:
        """Load a scan, of a folder of DICOM files by its first one, and choose it as the volume."""
        first = min(path.iterdir()) if path.is_dir() else path
        with slicer.util.WaitCursor():
            node = slicer.util.loadVolume(str(first))
        self._panel.parameterNode.inputVolume = node
