"""Slice views: a Qt widget that hands mouse and keys to a VTK interactor, over a real slice node and slice logic."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from PySide6 import QtCore, QtGui, QtWidgets
from vtkmodules.vtkInteractionStyle import vtkInteractorStyleUser
from vtkmodules.vtkRenderingCore import vtkRenderer
from vtkmodules.vtkRenderingOpenGL2 import vtkGenericOpenGLRenderWindow
from vtkmodules.vtkRenderingUI import vtkGenericRenderWindowInteractor

SIZE = 400
_BUTTONS = {
    QtCore.Qt.MouseButton.LeftButton: "LeftButton",
    QtCore.Qt.MouseButton.RightButton: "RightButton",
    QtCore.Qt.MouseButton.MiddleButton: "MiddleButton",
}
_KEYS = {
    QtCore.Qt.Key.Key_Escape: "Escape",
    QtCore.Qt.Key.Key_Delete: "Delete",
    QtCore.Qt.Key.Key_Backspace: "BackSpace",
    QtCore.Qt.Key.Key_Return: "Return",
    QtCore.Qt.Key.Key_Space: "space",
}


class VTKWidget(QtWidgets.QWidget):
    """Where the mouse is: turns Qt's events into VTK's, y upwards, as the widget inside Slicer's views does."""

    def __init__(self, interactor: Any, parent: QtWidgets.QWidget) -> None:
        super().__init__(parent)
        self.interactor = interactor
        self.setMouseTracking(True)
        self.setFocusPolicy(QtCore.Qt.FocusPolicy.StrongFocus)

    def _inform(self, event: Any, key: str = "", repeat: int = 0) -> None:
        modifiers = event.modifiers()
        control = bool(modifiers & QtCore.Qt.KeyboardModifier.ControlModifier)
        shift = bool(modifiers & QtCore.Qt.KeyboardModifier.ShiftModifier)
        x, y = self.interactor.GetEventPosition()
        if isinstance(event, QtGui.QSinglePointEvent):
            place = event.position()
            x, y = round(place.x()), self.rect.height() - 1 - round(place.y())
        self.interactor.SetEventInformation(x, y, control, shift, key[:1] or "\0", repeat, key or None)

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        self._inform(event)
        getattr(self.interactor, f"{_BUTTONS[event.button()]}PressEvent")()

    def mouseReleaseEvent(self, event: QtGui.QMouseEvent) -> None:
        self._inform(event)
        getattr(self.interactor, f"{_BUTTONS[event.button()]}ReleaseEvent")()

    def mouseDoubleClickEvent(self, event: QtGui.QMouseEvent) -> None:
        """Send what newer VTK sends: no press for the second click."""
        self._inform(event, repeat=1)
        self.interactor.InvokeEvent(f"{_BUTTONS[event.button()]}DoubleClickEvent")

    def mouseMoveEvent(self, event: QtGui.QMouseEvent) -> None:
        self._inform(event)
        self.interactor.MouseMoveEvent()

    def wheelEvent(self, event: QtGui.QWheelEvent) -> None:
        self._inform(event)
        up = event.angleDelta().y() > 0
        (self.interactor.MouseWheelForwardEvent if up else self.interactor.MouseWheelBackwardEvent)()

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        self._inform(event, _KEYS.get(event.key(), event.text()))
        self.interactor.KeyPressEvent()
        self.interactor.CharEvent()

    def keyReleaseEvent(self, event: QtGui.QKeyEvent) -> None:
        self._inform(event, _KEYS.get(event.key(), event.text()))
        self.interactor.KeyReleaseEvent()

    def enterEvent(self, _event: Any) -> None:
        self.interactor.EnterEvent()

    def leaveEvent(self, _event: Any) -> None:
        self.interactor.LeaveEvent()


class SliceView(QtWidgets.QWidget):
    """qMRMLSliceView. It has a renderer for actors, and never renders: `renders` counts what was asked for."""

    def __init__(self, node: Any, parent: QtWidgets.QWidget) -> None:
        super().__init__(parent)
        self._node, self.renders = node, 0
        self._window, self._renderer = vtkGenericOpenGLRenderWindow(), vtkRenderer()
        self._window.AddRenderer(self._renderer)
        self._window.SetSize(SIZE, SIZE)
        self._interactor = vtkGenericRenderWindowInteractor()
        self._interactor.SetRenderWindow(self._window)
        self._interactor.SetSize(SIZE, SIZE)
        self._interactor.SetInteractorStyle(vtkInteractorStyleUser())
        self._interactor.EnableRenderOff()
        self._interactor.Initialize()
        self._widget = VTKWidget(self._interactor, self)
        self._widget.setFixedSize(SIZE, SIZE)

    def take_style(self, logic: Any, application_logic: Any) -> None:
        """Let Slicer's own classes answer what nobody takes: wheel, zoom and pan, crosshair."""
        self._crosshair = slicer.vtkMRMLCrosshairDisplayableManager()
        self._crosshair.SetMRMLApplicationLogic(application_logic)
        self._group = slicer.vtkMRMLDisplayableManagerGroup()
        self._group.SetRenderer(self._renderer)
        self._group.AddDisplayableManager(self._crosshair)
        self._group.SetMRMLDisplayableNode(self._node)
        self._style = slicer.vtkMRMLSliceViewInteractorStyle()
        self._style.SetInteractor(self._interactor)
        self._style.SetSliceLogic(logic)
        self._style.SetDisplayableManagers(self._group)

    def interactorStyle(self) -> Any:
        return self._style

    def interactor(self) -> Any:
        return self._interactor

    def renderWindow(self) -> Any:
        return self._window

    def VTKWidget(self) -> QtWidgets.QWidget:
        return self._widget

    def mrmlSliceNode(self) -> Any:
        return self._node

    def scheduleRender(self) -> None:
        self.renders += 1

    forceRender = scheduleRender


class SliceWidget(QtWidgets.QWidget):
    """qMRMLSliceWidget: a view, its node and its logic."""

    def __init__(self, name: str, orientation: str, application_logic: Any, parent: QtWidgets.QWidget) -> None:
        super().__init__(parent)
        scene = application_logic.GetMRMLScene()
        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLApplicationLogic(application_logic)
        self._logic.SetMRMLScene(scene)
        self._node = self._logic.AddSliceNode(name)
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)
        self._view = SliceView(self._node, self)
        self.setFixedSize(SIZE, SIZE)
        self._logic.ResizeSliceNode(SIZE, SIZE)
        self._node.SetOrientation(orientation)
        application_logic.GetSliceLogics().AddItem(self._logic)
        self._view.take_style(self._logic, application_logic)

    def sliceView(self) -> SliceView:
        return self._view

    def sliceLogic(self) -> Any:
        return self._logic

    def mrmlSliceNode(self) -> Any:
        return self._node

    def pixel_of(self, ras: Any) -> QtCore.QPoint:
        """Return where in the view (Qt pixels, y down) a place (RAS mm) is."""
        matrix = self._node.GetXYToRAS()
        xy_to_ras = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
        x, y = np.linalg.solve(xy_to_ras, [*ras, 1])[:2]
        return QtCore.QPoint(round(x), SIZE - 1 - round(y))
