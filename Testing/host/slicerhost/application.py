"""slicer.app, its managers and its main window."""

from __future__ import annotations

import tempfile
from typing import Any

import slicer
from PySide6 import QtCore, QtWidgets

from slicerhost.slice_view import SliceWidget

VIEWS = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}


class ModuleManager(QtCore.QObject):
    """qSlicerModuleManager: knows the modules that were opened."""

    moduleAboutToBeUnloaded = QtCore.Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.modules: dict[str, Any] = {}

    def module(self, name: str) -> Any:
        return self.modules.get(name)


class LayoutManager(QtCore.QObject):
    """qSlicerLayoutManager: three slice views, no 3D view."""

    layoutChanged = QtCore.Signal(int)

    def __init__(self, application_logic: Any, parent: QtWidgets.QWidget) -> None:
        super().__init__(parent)
        self._widgets = {name: SliceWidget(name, turn, application_logic, parent) for name, turn in VIEWS.items()}
        self.threeDViewCount = 0

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(self._widgets)

    def sliceWidget(self, name: str) -> SliceWidget | None:
        return self._widgets.get(name)

    def threeDWidget(self, _index: int) -> None:
        return None


class MainWindow(QtWidgets.QMainWindow):
    """qSlicerMainWindow: a panel on the left, the views on the right, a status bar below."""

    def __init__(self, application_logic: Any) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        centre = QtWidgets.QWidget(self)
        self.panel_layout = QtWidgets.QHBoxLayout(centre)
        self.layout_manager = LayoutManager(application_logic, centre)
        for name in self.layout_manager.sliceViewNames():
            self.panel_layout.addWidget(self.layout_manager.sliceWidget(name))
        self.setCentralWidget(centre)
        self.statusBar()

    def moduleSelector(self) -> Any:
        return self

    def selectModule(self, name: str) -> None:
        slicer.app.moduleManager().module(name).widgetRepresentation().enter()


class Application(QtWidgets.QApplication):
    """qSlicerApplication, as far as the panel needs it; one for the whole process, with a new scene for each host."""

    startupCompleted = QtCore.Signal()

    def __init__(self) -> None:
        super().__init__(["SAMSpine test host"])
        self._modules = ModuleManager()
        self._logic: Any = None
        self._window: MainWindow | None = None
        self._folder = tempfile.TemporaryDirectory()
        self.paused = 0
        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.Format.IniFormat)
        QtCore.QSettings.setPath(QtCore.QSettings.Format.IniFormat, QtCore.QSettings.Scope.UserScope, self._folder.name)
        QtCore.QCoreApplication.setOrganizationName("host")
        QtCore.QCoreApplication.setApplicationName("host")

    def begin(self, application_logic: Any, *, main_window: bool) -> None:
        """Take on a new scene."""
        self._logic = application_logic
        self._window = MainWindow(application_logic) if main_window else None

    def end(self) -> None:
        """Forget the scene and close the window."""
        if self._window is not None:
            self._window.close()
            self._window.deleteLater()
            self.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete)
        self._logic = self._window = None

    def applicationLogic(self) -> Any:
        return self._logic

    def mrmlScene(self) -> Any:
        return self._logic.GetMRMLScene()

    def layoutManager(self) -> LayoutManager | None:
        return self._window.layout_manager if self._window else None

    def moduleManager(self) -> ModuleManager:
        return self._modules

    def mainWindow(self) -> MainWindow | None:
        return self._window

    def settings(self) -> QtCore.QSettings:
        return QtCore.QSettings()

    userSettings = settings

    def testingEnabled(self) -> bool:
        return True

    def pauseRender(self) -> None:
        self.paused += 1

    def resumeRender(self) -> None:
        self.paused -= 1

    @property
    def temporaryPath(self) -> str:
        return self._folder.name

    @property
    def slicerUserSettingsFilePath(self) -> str:
        return f"{self._folder.name}/Slicer.ini"

    majorVersion, minorVersion = 5, 13
    applicationVersion = "5.13.0"
