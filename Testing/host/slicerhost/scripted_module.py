"""slicer.ScriptedLoadableModule, and the C++ halves of a module and of its widget."""

from __future__ import annotations

import sys
import unittest
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import slicer
from PySide6 import QtWidgets

from slicerhost.widgets import MRMLWidget


class ScriptedLoadableModule:
    """The base of a module's description."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__

    def resourcePath(self, name: str) -> str:
        return str(Path(self.parent.path).parent / "Resources" / name)

    def getDefaultModuleDocumentationLink(self, _page: str | None = None) -> str:
        return ""


class ScriptedLoadableModuleWidget:
    """The base of a panel. It lives in a parent, as in Slicer, and cleans up when its module is unloaded."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = False
        self.parent = parent
        self.layout = parent.layout()
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def resourcePath(self, name: str) -> str:
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / name)

    def setup(self) -> None:
        """Build the panel."""

    def cleanup(self) -> None:
        """Undo what setup did."""

    def _onModuleAboutToBeUnloaded(self, name: str) -> None:
        if name == self.moduleName:
            self.cleanup()
            unloaded = "moduleAboutToBeUnloaded(QString)"
            slicer.app.moduleManager().disconnect(unloaded, self._onModuleAboutToBeUnloaded)

    def onReload(self) -> None:
        slicer.util.reloadScriptedModule(self.moduleName)


class ScriptedLoadableModuleLogic:
    """The base of a logic: finds or makes the module's parameter node."""

    def __init__(self, parent: Any = None) -> None:
        self.moduleName = type(self).__name__.removesuffix("Logic")

    def getParameterNode(self) -> Any:
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = slicer.vtkMRMLScriptedModuleNode()
            node.SetSingletonTag(self.moduleName)
            node.SetName(self.moduleName)
            node.SetModuleName(self.moduleName)
            node = slicer.mrmlScene.AddNode(node)
        if node.GetAttribute("ModuleName") != self.moduleName:
            node.SetAttribute("ModuleName", self.moduleName)
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """The base of a module's self-test."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*(args or ("runTest",)))
        self.messageDelay = 0

    def delayDisplay(self, _message: str, **_options: Any) -> None:
        slicer.app.processEvents()

    def runTest(self) -> None:
        for name in unittest.TestLoader().getTestCaseNames(type(self)):
            getattr(self, name)()


class WidgetRepresentation(MRMLWidget):
    """qSlicerScriptedLoadableModuleWidget: the Qt side of a panel, which calls the Python side."""

    def __init__(self, module: Module, parent: Any = None) -> None:
        super().__init__(parent)
        QtWidgets.QVBoxLayout(self)
        self.setMRMLScene(slicer.mrmlScene)
        self.module, self.isEntered = module, False
        self._make()

    def _make(self) -> None:
        name = self.module.name
        self._python = getattr(sys.modules[name], f"{name}Widget")(self)
        setattr(slicer.modules, f"{name}Widget", self._python)
        self._python.setup()

    def self(self) -> Any:
        return self._python

    def enter(self) -> None:
        self.isEntered = True
        self._python.enter()

    def exit(self) -> None:
        self.isEntered = False
        self._python.exit()

    def reload(self) -> None:
        """Replace the Python side by what was loaded anew; it is not told that it is in view."""
        self._make()

    def forget(self) -> None:
        """Let go of the Python side."""
        delattr(slicer.modules, f"{self.module.name}Widget")
        self._python = None


class Module:
    """qSlicerScriptedLoadableModule: what a module says of itself, and its one panel."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = str(path), path.stem
        self.title, self.helpText, self.acknowledgementText = "", "", ""
        self.categories: list[str] = []
        self.dependencies: list[str] = []
        self.contributors: list[str] = []
        self._widget: WidgetRepresentation | None = None

    def widgetRepresentation(self) -> WidgetRepresentation:
        if self._widget is None:
            self._widget = WidgetRepresentation(self)
        return self._widget

    def unload(self) -> None:
        """Do what Slicer does on its way out."""
        if self._widget is not None:
            if self._widget.isEntered:
                self._widget.exit()
            slicer.app.moduleManager().moduleAboutToBeUnloaded.emit(self.name)
            self._widget.forget()
            self._widget.deleteLater()
            self._widget = None


EXPORTS = SimpleNamespace(
    ScriptedLoadableModule=ScriptedLoadableModule,
    ScriptedLoadableModuleWidget=ScriptedLoadableModuleWidget,
    ScriptedLoadableModuleLogic=ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest=ScriptedLoadableModuleTest,
)
