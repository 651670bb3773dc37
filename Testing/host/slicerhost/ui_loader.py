"""Reads .ui files that name widgets of Slicer and CTK."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from PySide6 import QtCore, QtUiTools, QtWidgets


class UiLoader(QtUiTools.QUiLoader):
    """QUiLoader with the stand-in widgets, and with connections between signals that carry a scene."""

    STAND_INS: dict[str, type[QtWidgets.QWidget]] = {}

    def createWidget(self, name: str, parent: Any = None, object_name: str = "") -> Any:
        """Make a widget; Qt calls this for each one."""
        if name not in self.STAND_INS:
            return super().createWidget(name, parent, object_name)
        widget = self.STAND_INS[name](parent)
        widget.setObjectName(object_name)
        return widget

    def load(self, file: Any, parent: Any = None) -> Any:
        """Read an open file and return its widget.

        Raises:
            ValueError: if a connection of the file names a signal or a slot that is not there.
        """
        root = ElementTree.fromstring(bytes(file.readAll().data()))
        connections = root.find("connections")
        wanted = []
        for connection in [] if connections is None else list(connections):
            if "(vtkMRML" in connection.findtext("signal", ""):
                wanted.append([connection.findtext(part, "") for part in ("sender", "signal", "receiver", "slot")])
                connections.remove(connection)  # type: ignore[union-attr]
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(root))
        widget = super().load(buffer, parent)
        for sender, signal, receiver, slot in wanted:
            _named(widget, sender).connect(signal, getattr(_named(widget, receiver), slot.partition("(")[0]))
        return widget


def _named(root: Any, name: str) -> Any:
    found = root if root.objectName == name else root.findChild(QtCore.QObject, name)
    if found is None:
        msg = f"The .ui file connects '{name}', which it does not contain"
        raise ValueError(msg)
    return found
