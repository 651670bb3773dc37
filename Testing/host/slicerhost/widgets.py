"""The plain widgets of Slicer and CTK that the panel uses."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

SCENE_CHANGED = "mrmlSceneChanged(vtkMRMLScene*)"


class MRMLWidget(QtWidgets.QFrame):
    """qMRMLWidget: the root of a panel, which tells its scene to those inside."""

    mrmlSceneChanged = QtCore.Signal(object)
    SLICER_SIGNALS = {SCENE_CHANGED: "mrmlSceneChanged"}

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self) -> Any:
        return self._scene


class CollapsibleButton(QtWidgets.QAbstractButton):
    """ctkCollapsibleButton: a title that hides what is inside when clicked."""

    contentsCollapsed = QtCore.Signal(bool)

    def __init__(self, title: Any = None, parent: Any = None) -> None:
        super().__init__(parent if isinstance(title, str) else title)
        self._hidden: list[QtWidgets.QWidget] = []
        self.setText(title if isinstance(title, str) else "")
        self.setCheckable(True)
        self.setChecked(True)
        self.setContentsMargins(0, self._title_height(), 0, 0)
        self.toggled.connect(self._show_contents)

    def _title_height(self) -> int:
        return self.fontMetrics().height() + 8

    def _is_collapsed(self) -> bool:
        return not self.isChecked()

    def _collapse(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = QtCore.Property(bool, _is_collapsed, _collapse, notify=contentsCollapsed)

    def _show_contents(self, shown: bool) -> None:
        if shown:
            for widget in self._hidden:
                widget.setVisible(True)
            self._hidden.clear()
        else:
            for widget in self.findChildren(
                QtWidgets.QWidget, options=QtCore.Qt.FindChildOption.FindDirectChildrenOnly
            ):
                self._hide(widget)
        self.contentsCollapsed.emit(not shown)

    def _hide(self, widget: QtWidgets.QWidget) -> None:
        on_purpose = widget.testAttribute(QtCore.Qt.WidgetAttribute.WA_WState_ExplicitShowHide) and widget.isHidden()
        if not on_purpose:
            self._hidden.append(widget)
            widget.setVisible(False)

    def childEvent(self, event: QtCore.QChildEvent) -> None:
        """Hide what a .ui file puts into a closed section."""
        super().childEvent(event)
        if event.polished() and self._is_collapsed() and isinstance(event.child(), QtWidgets.QWidget):
            self._hide(event.child())

    def paintEvent(self, _event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        mark = "\u25b8" if self._is_collapsed() else "\u25be"
        painter.drawText(QtCore.QRect(4, 0, self.rect.width(), self._title_height()), 0x80, f"{mark} {self.text}")

    def hitButton(self, position: QtCore.QPoint) -> bool:
        return position.y() < self._title_height()
