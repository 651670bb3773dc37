"""The host: opens a scripted module in a scene of its own, and does to it what a user does."""

from __future__ import annotations

import gc
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

from slicerhost import pythonqt

qt = pythonqt.install()

import slicer  # noqa: E402
from PySide6 import QtCore, QtGui, QtTest, QtWidgets  # noqa: E402
from vtkmodules.vtkCommonCore import vtkCollection  # noqa: E402

from slicerhost import application, node_combo_box, parameter_node, scripted_module, ui_loader, widgets  # noqa: E402
from slicerhost.waiting import Waiting  # noqa: E402

_Qt = QtCore.Qt


def _install_modules() -> None:
    """Put the stand-ins where `import` and `slicer.` find them."""
    ctk = types.ModuleType("ctk")
    ctk.ctkCollapsibleButton = widgets.CollapsibleButton  # type: ignore[attr-defined]
    sys.modules["ctk"] = ctk
    i18n = types.ModuleType("slicer.i18n")
    i18n.tr = lambda text: text  # type: ignore[attr-defined]
    i18n.translate = lambda _context, text: text  # type: ignore[attr-defined]
    for name, source in (
        ("ScriptedLoadableModule", vars(scripted_module.EXPORTS)),
        ("parameterNodeWrapper", vars(parameter_node)),
        ("i18n", vars(i18n)),
    ):
        module = types.ModuleType(f"slicer.{name}")
        vars(module).update({key: value for key, value in source.items() if not key.startswith("_")})
        module.__all__ = [key for key in vars(module) if not key.startswith("_")]  # type: ignore[attr-defined]
        sys.modules[f"slicer.{name}"] = module
        setattr(slicer, name, module)
    slicer.qMRMLWidget = widgets.MRMLWidget
    slicer.qMRMLNodeComboBox = node_combo_box.NodeComboBox
    slicer.qSlicerScriptedLoadableModule = scripted_module.Module
    slicer.qSlicerScriptedLoadableModuleWidget = scripted_module.WidgetRepresentation
    ui_loader.UiLoader.STAND_INS.update(
        qMRMLWidget=widgets.MRMLWidget,
        qMRMLNodeComboBox=node_combo_box.NodeComboBox,
        ctkCollapsibleButton=widgets.CollapsibleButton,
    )


class Host(Waiting):
    """One scene with one module; `close` ends it as Slicer's exit does."""

    def __init__(self, module: Path, *, main_window: bool = True) -> None:
        _install_modules()
        self.path = module
        self.errors: list[BaseException] = []
        self._hook, sys.excepthook = sys.excepthook, self._note
        self.app = QtWidgets.QApplication.instance() or application.Application()
        slicer.app = self.app
        slicer.modules = types.SimpleNamespace()
        self._begin_scene(main_window)
        self._load()

    def _note(self, kind: type[BaseException], error: BaseException, trace: Any) -> None:
        """Keep what a slot or an observer raised; Qt and VTK would only print it."""
        self.errors.append(error)
        self._hook(kind, error, trace)

    def _begin_scene(self, main_window: bool) -> None:
        from SAMSpineLib.mrml.scene import headless_scene

        self.scene = slicer.mrmlScene = headless_scene()
        logic, segmentations, markups = self.scene.samspine_logics
        slicer.modules.segmentations = types.SimpleNamespace(logic=lambda: segmentations)
        slicer.modules.markups = types.SimpleNamespace(logic=lambda: markups)
        terminologies = slicer.vtkSlicerTerminologiesModuleLogic()
        slicer.modules.terminologies = types.SimpleNamespace(logic=lambda: terminologies)
        logic.SetSliceLogics(vtkCollection())
        self.scene.AddNode(slicer.vtkMRMLCrosshairNode())
        self.app.begin(logic, main_window=main_window)
        if main_window:
            window = self.app.mainWindow()
            window.show()
            window.activateWindow()
            self.process()

    def _load(self) -> None:
        """Find the module as Slicer does: its folder on the path, its file under its own name."""
        name, folder = self.path.stem, str(self.path.parent)
        if folder not in sys.path:
            sys.path.insert(0, folder)
        spec = importlib.util.spec_from_file_location(name, self.path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
        self.module = scripted_module.Module(self.path)
        self.app.moduleManager().modules[name] = self.module
        setattr(slicer.modules, name.lower(), self.module)
        setattr(slicer.modules, f"{name}Instance", getattr(sys.modules[name], name)(self.module))
        self.app.startupCompleted.emit()

    def open(self) -> Any:
        """Show the panel and enter it; return the Python widget (SAMSpineWidget)."""
        representation = self.module.widgetRepresentation()
        window = self.app.mainWindow()
        if window is not None:
            window.panel_layout.insertWidget(0, representation)
        representation.show()
        if not representation.isEntered:
            representation.enter()
        self.process()
        return self.widget

    @property
    def widget(self) -> Any:
        """The Python widget as it is now; another one after a reload."""
        return self.module.widgetRepresentation().self()

    @property
    def ui(self) -> Any:
        """The widgets of the .ui file by name."""
        return self.widget.ui

    def leave(self) -> None:
        """Go to another module."""
        self.module.widgetRepresentation().exit()

    def close(self) -> None:
        """Unload the module and drop the scene."""
        self.module.unload()
        self.app.processEvents()
        self.app.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete)
        for observer in self._startup_observers():
            self.app.startupCompleted.disconnect(observer)
        self.app.end()
        sys.excepthook = self._hook
        for name in [one for one in sys.modules if one == self.path.stem or one.startswith(f"{self.path.stem}Slicer")]:
            del sys.modules[name]
        self.scene = slicer.mrmlScene = None
        gc.collect()

    def _startup_observers(self) -> list[Any]:
        instance = getattr(slicer.modules, f"{self.path.stem}Instance")
        return [instance.onStartupCompleted] if hasattr(instance, "onStartupCompleted") else []

    # ---- what a user does

    def view(self, name: str = "Red") -> application.SliceWidget:
        """Return a slice widget: Red (axial), Yellow (sagittal) or Green (coronal)."""
        return self.app.layoutManager().sliceWidget(name)

    def show(self, volume: Any, segmentation: Any = None) -> None:
        """Put a volume behind all slice views and fit them to it."""
        del segmentation
        for name in self.app.layoutManager().sliceViewNames():
            logic = self.view(name).sliceLogic()
            logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
            logic.FitSliceToAll()

    def _at(self, view: str, ras: Any) -> tuple[QtWidgets.QWidget, QtCore.QPoint]:
        widget = self.view(view)
        widget.mrmlSliceNode().JumpSliceByOffsetting(*[float(value) for value in ras])
        return widget.sliceView().VTKWidget(), widget.pixel_of(ras)

    def click(self, view: str, ras: Any, *, button: str = "Left", modifiers: tuple[str, ...] = ()) -> None:
        """Scroll a view to a place (RAS mm) and click there with a real mouse event."""
        target, place = self._at(view, ras)
        QtTest.QTest.mouseMove(target, place)
        QtTest.QTest.mouseClick(target, _button(button), _modifiers(modifiers), place)

    def second_click(self, view: str, ras: Any) -> None:
        """Click at a place (RAS mm) so soon after another click that Qt takes both for a double click."""
        target, place = self._at(view, ras)
        there, seen, left = QtCore.QPointF(place), QtCore.QPointF(target.mapToGlobal(place)), _button("Left")
        kind = QtCore.QEvent.Type.MouseButtonDblClick
        self.app.sendEvent(target, QtGui.QMouseEvent(kind, there, seen, left, left, _modifiers(())))
        QtTest.QTest.mouseRelease(target, left, _modifiers(()), place)

    def drag(self, view: str, places: list[Any], *, button: str = "Left", modifiers: tuple[str, ...] = ()) -> None:
        """Press at the first place (RAS mm), move over the others, release at the last; all lie in one slice."""
        target, start = self._at(view, places[0])
        QtTest.QTest.mousePress(target, _button(button), _modifiers(modifiers), start)
        for ras in places[1:]:
            self._move(target, self.view(view).pixel_of(ras), _button(button), _modifiers(modifiers))
        end = self.view(view).pixel_of(places[-1])
        QtTest.QTest.mouseRelease(target, _button(button), _modifiers(modifiers), end)

    def move(self, view: str, ras: Any) -> None:
        """Move the mouse to a place (RAS mm) of a view."""
        target, place = self._at(view, ras)
        self._move(target, place, _Qt.MouseButton.NoButton, _Qt.KeyboardModifier.NoModifier)

    def _move(self, target: QtWidgets.QWidget, place: QtCore.QPoint, buttons: Any, modifiers: Any) -> None:
        there = QtCore.QPointF(place)
        kind = QtCore.QEvent.Type.MouseMove
        seen = QtCore.QPointF(target.mapToGlobal(place))
        self.app.sendEvent(target, QtGui.QMouseEvent(kind, there, seen, _Qt.MouseButton.NoButton, buttons, modifiers))

    def wheel(self, view: str, steps: int = 1) -> None:
        """Turn the wheel over a view; positive is away from the user."""
        target = self.view(view).sliceView().VTKWidget()
        middle = QtCore.QPointF(target.rect.center())
        none = (_Qt.MouseButton.NoButton, _Qt.KeyboardModifier.NoModifier, _Qt.ScrollPhase.NoScrollPhase)
        seen = QtCore.QPointF(target.mapToGlobal(target.rect.center()))
        turn = QtGui.QWheelEvent(middle, seen, QtCore.QPoint(), QtCore.QPoint(0, 120 * steps), *none, False)
        self.app.sendEvent(target, turn)

    def key(self, sequence: str, view: str = "Red") -> None:
        """Press a key or a combination ("N", "Ctrl+Z", "Esc") while a view has the focus."""
        target = self.view(view).sliceView().VTKWidget()
        target.setFocus()
        QtTest.QTest.keySequence(target, QtGui.QKeySequence(sequence))

    def press(self, widget: QtWidgets.QWidget) -> None:
        """Click on a widget of the panel; it must be shown and enabled."""
        assert widget.isVisible(), f"{widget.objectName} is not visible"
        assert widget.isEnabled(), f"{widget.objectName} is not enabled"
        QtTest.QTest.mouseClick(widget, _Qt.MouseButton.LeftButton)

    def choose(self, selector: Any, node: Any) -> None:
        """Pick a node from a list of nodes."""
        selector.choose(node)

    def press_cell(self, table: QtWidgets.QTableWidget, row: int, column: int) -> None:
        """Click on a cell of a table of the panel."""
        item = table.item(row, column)
        table.scrollToItem(item)
        place = table.visualItemRect(item).center()
        QtTest.QTest.mouseClick(table.viewport(), _Qt.MouseButton.LeftButton, _modifiers(()), place)

    def process(self) -> None:
        """Let Qt handle what is waiting."""
        self.app.processEvents()

    def run_for(self, seconds: float) -> None:
        """Run the event loop for a while; asleep when nothing happens."""
        loop = QtCore.QEventLoop()
        QtCore.QTimer.singleShot(round(1000 * seconds), loop.quit)
        loop.exec()

    def status(self) -> str:
        """Return what the status bar says."""
        return str(self.app.mainWindow().statusBar().currentMessage())

    # ---- what a scene goes through

    def save_scene(self, folder: Path) -> Path:
        """Write the scene and the data of its nodes into a folder; return the .mrml file."""
        for index in range(self.scene.GetNumberOfNodes()):
            node = self.scene.GetNthNode(index)
            if node.IsA("vtkMRMLStorableNode") and node.GetSaveWithScene() and _has_data(node):
                node.AddDefaultStorageNode()
                extension = node.GetStorageNode().GetDefaultWriteFileExtension()
                node.GetStorageNode().SetFileName(str(folder / f"{node.GetID()}.{extension}"))
                assert node.GetStorageNode().WriteData(node), f"{node.GetName()} could not be written"
        self.scene.SetRootDirectory(str(folder))
        self.scene.SetURL(str(folder / "scene.mrml"))
        assert self.scene.Commit()
        return folder / "scene.mrml"

    def open_scene(self, file: Path) -> None:
        """Close the scene and read another from a .mrml file."""
        self.scene.Clear(False)
        self.process()
        self.scene.SetRootDirectory(str(file.parent))
        self.scene.SetURL(str(file))
        assert self.scene.Import()
        self.process()


def _has_data(node: Any) -> bool:
    return node.IsA("vtkMRMLVolumeNode") or node.IsA("vtkMRMLSegmentationNode") or node.IsA("vtkMRMLTransformNode")


def _button(name: str) -> Any:
    return getattr(_Qt.MouseButton, f"{name}Button")


def _modifiers(names: tuple[str, ...]) -> Any:
    result = _Qt.KeyboardModifier.NoModifier
    for name in names:
        result |= getattr(_Qt.KeyboardModifier, f"{name}Modifier")
    return result
