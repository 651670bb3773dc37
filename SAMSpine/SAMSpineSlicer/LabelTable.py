"""The table of segments: shown, selected, hidden, renamed."""

from collections.abc import Callable, Sequence
from typing import Any

import qt

from SAMSpineLib.mrml.review_list import SegmentRow

VISIBLE, COLOUR, NAME, MILLILITRES, STATUS = range(5)
WIDTHS = {VISIBLE: 48, COLOUR: 48, NAME: 62, MILLILITRES: 86}  # what Slicer's panel has room for beside the status


class LabelTable:
    """Fills a QTableWidget and tells what the user does with it."""

    def __init__(
        self,
        table: Any,
        selected: Callable[[str], None],
        renamed: Callable[[str, str], None],
        shown: Callable[[str, bool], None],
    ) -> None:
        """Take the table and whom to tell; segments go by their ids."""
        self._table = table
        self._selected, self._renamed, self._shown = selected, renamed, shown
        self._rows: list[SegmentRow] = []
        self._withSource = False
        for column, width in WIDTHS.items():
            table.setColumnWidth(column, width)
        table.connect("itemSelectionChanged()", self._onSelection)
        table.connect("itemChanged(QTableWidgetItem*)", self._onItem)

    def release(self) -> None:
        """Listen to the table no more."""
        self._table.disconnect("itemSelectionChanged()", self._onSelection)
        self._table.disconnect("itemChanged(QTableWidgetItem*)", self._onItem)

    def show(self, rows: Sequence[SegmentRow], selectedId: str, *, withSource: bool) -> None:
        """Show these segments, if they are others than before, and the selection."""
        before = self._table.blockSignals(True)
        if list(rows) != self._rows or withSource != self._withSource:
            self._rows, self._withSource = list(rows), withSource
            self._table.setRowCount(len(rows))
            for index, row in enumerate(rows):
                self._fill(index, row)
        ids = [row.segment_id for row in self._rows]
        if selectedId in ids:
            self._table.selectRow(ids.index(selectedId))
        else:
            self._table.clearSelection()
        self._table.blockSignals(before)

    def _fill(self, index: int, row: SegmentRow) -> None:
        status = f"{row.status} ({row.source.lower()})" if self._withSource else row.status
        texts = {COLOUR: "", NAME: row.name, MILLILITRES: f"{row.millilitres:.1f}", STATUS: status}
        shown = qt.QTableWidgetItem("")
        shown.setFlags(qt.Qt.ItemIsUserCheckable | qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
        shown.setCheckState(qt.Qt.Checked if row.visible else qt.Qt.Unchecked)
        self._table.setItem(index, VISIBLE, shown)
        for column, text in texts.items():
            item = qt.QTableWidgetItem(text)
            if column != NAME:
                item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
            if column == COLOUR:
                # Not the background: the selection would cover it.
                item.setData(qt.Qt.DecorationRole, qt.QColor(*(round(255 * part) for part in row.colour)))
            self._table.setItem(index, column, item)

    def _onSelection(self) -> None:
        index = self._table.currentRow()
        if 0 <= index < len(self._rows) and self._table.selectedItems():
            self._selected(self._rows[index].segment_id)

    def _onItem(self, item: Any) -> None:
        row = self._rows[item.row()]
        if item.column() == NAME and item.text() != row.name:
            self._renamed(row.segment_id, item.text())
        elif item.column() == VISIBLE:
            self._shown(row.segment_id, item.checkState() == qt.Qt.Checked)
