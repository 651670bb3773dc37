"""The list of levels that autonomous mode found, least certain first."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import qt

from SAMSpineLib.mrml.review_list import ReviewRow


class ReviewList:
    """Fills a QTableWidget and tells which line was clicked on."""

    def __init__(self, table: Any, chosen: Callable[[ReviewRow], None]) -> None:
        """Take the table and whom to tell."""
        self._table, self._chosen = table, chosen
        self._rows: list[ReviewRow] = []
        self._names: dict[str, str] = {}
        table.connect("cellClicked(int,int)", self._onCell)

    def release(self) -> None:
        """Listen to the table no more."""
        self._table.disconnect("cellClicked(int,int)", self._onCell)

    def show(self, rows: Sequence[ReviewRow], names: Mapping[str, str]) -> None:
        """Show these levels under the names (by segment id) that they have now."""
        kept = [row for row in rows if row.segment_id in names]
        if kept == self._rows and dict(names) == self._names:
            return
        self._rows, self._names = kept, dict(names)
        self._table.setRowCount(len(kept))
        for index, row in enumerate(kept):
            for column, text in enumerate(
                (names[row.segment_id], f"{100 * row.confidence:.0f} %", "; ".join(row.flags))
            ):
                self._table.setItem(index, column, qt.QTableWidgetItem(text))

    def _onCell(self, index: int, _column: int) -> None:
        self._chosen(self._rows[index])
