"""What `slicerhost.host.Host` offers, in the 3D Slicer that runs this: the tests are the same."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qt
import slicer
from slicerhost.waiting import Waiting

from realslicer import events

ELSEWHERE = "Data"
SIZE = (1500, 950)
# What the window system needs to bring a key to Slicer.
SECONDS_OF_A_KEY = 0.15


class Host(Waiting):
    """Slicer's one scene and one main window; `close` leaves both empty for the next."""

    def __init__(self, module: Path, *, main_window: bool = True) -> None:
        if not main_window:
            pytest.skip("needs a Slicer without main window")
        self.path, self.app, self.scene = module, slicer.app, slicer.mrmlScene
        self.module = getattr(slicer.modules, module.stem.lower())
        assert Path(self.module.path).resolve() == module.resolve(), f"Slicer has another one: {self.module.path}"
        self.errors: list[BaseException] = []
        self._hook, sys.excepthook = sys.excepthook, self._note
        self.isClosed = False
        slicer.util.selectModule(module.stem)
        self._begin_anew()
        slicer.util.mainWindow().resize(*SIZE)
        self.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        self.process()

    def _note(self, kind: type[BaseException], error: BaseException, trace: Any) -> None:
        """Keep what a slot or an observer raised."""
        self.errors.append(error)
        self._hook(kind, error, trace)

    def open(self) -> Any:
        """Show the panel; return the Python widget (SAMSpineWidget)."""
        slicer.util.selectModule(self.path.stem)
        slicer.util.mainWindow().activateWindow()
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
        slicer.util.selectModule(ELSEWHERE)
        self.process()

    def close(self) -> None:
        """Empty the scene, and take the panel anew."""
        if self.isClosed:
            return
        self.isClosed = True
        self._begin_anew()
        sys.excepthook = self._hook

    def _begin_anew(self) -> None:
        """Leave the panel and the scene, and take the panel's code anew."""
        self.leave()
        self.scene.Clear(False)
        self.process()
        for name in [one for one in sys.modules if one.startswith(f"{self.path.stem}Slicer")]:
            del sys.modules[name]
        slicer.util.reloadScriptedModule(self.path.stem)
        self.process()

    # ---- what a user does

    def view(self, name: str = "Red") -> Any:
        """Return a slice widget: Red (axial), Yellow (sagittal) or Green (coronal)."""
        return self.app.layoutManager().sliceWidget(name)

    def show(self, volume: Any, segmentation: Any = None) -> None:
        """Put a volume behind all slice views and fit them to it."""
        del segmentation
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
        self.process()

    def pixel_of(self, view: str, ras: Any) -> Any:
        """Return where in a view (Qt pixels, y down) a place (RAS mm) is."""
        widget = self.view(view).sliceView().VTKWidget()
        xy_to_ras = slicer.util.arrayFromVTKMatrix(self.view(view).mrmlSliceNode().GetXYToRAS())
        x, y = np.linalg.solve(xy_to_ras, [*ras, 1])[:2] / widget.devicePixelRatioF()
        return qt.QPoint(round(x), widget.height - 1 - round(y))

    def _at(self, view: str, ras: Any) -> tuple[Any, Any]:
        self.view(view).mrmlSliceNode().JumpSliceByOffsetting(*[float(value) for value in ras])
        self.process()
        return self.view(view).sliceView().VTKWidget(), self.pixel_of(view, ras)

    def click(self, view: str, ras: Any, *, button: str = "Left", modifiers: tuple[str, ...] = ()) -> None:
        """Scroll a view to a place (RAS mm) and click there."""
        target, place = self._at(view, ras)
        events.mouse(target, "MouseMove", place)
        events.click(target, place, button=button, modifiers=modifiers)

    def second_click(self, view: str, ras: Any) -> None:
        """Click at a place (RAS mm) so soon after another click that Qt takes both for a double click."""
        target, place = self._at(view, ras)
        events.mouse(target, "MouseButtonDblClick", place, button="Left", held="Left")
        events.release(target, place)

    def drag(self, view: str, places: list[Any], *, button: str = "Left", modifiers: tuple[str, ...] = ()) -> None:
        """Press at the first place (RAS mm), move over the others, release at the last; all lie in one slice."""
        target, start = self._at(view, places[0])
        events.press(target, start, button=button, modifiers=modifiers)
        for ras in places[1:]:
            events.mouse(target, "MouseMove", self.pixel_of(view, ras), held=button, modifiers=modifiers)
        events.release(target, self.pixel_of(view, places[-1]), button=button, modifiers=modifiers)

    def move(self, view: str, ras: Any) -> None:
        """Move the mouse to a place (RAS mm) of a view."""
        target, place = self._at(view, ras)
        events.mouse(target, "MouseMove", place)

    def wheel(self, view: str, steps: int = 1) -> None:
        """Turn the wheel over a view; positive is away from the user."""
        events.turn_wheel(self.view(view).sliceView().VTKWidget(), steps)

    def key(self, sequence: str, view: str = "Red") -> None:
        """Press a key or a combination ("N", "Ctrl+Z", "Esc") while a view has the focus."""
        window = slicer.util.mainWindow()
        window.activateWindow()
        self.wait_until(lambda: window.isActiveWindow)
        self.view(view).sliceView().VTKWidget().setFocus()
        self.process()
        events.type_key(sequence)
        self.run_for(SECONDS_OF_A_KEY)

    def press(self, widget: Any) -> None:
        """Click on a widget of the panel; it must be shown and enabled."""
        assert widget.isVisible(), f"{widget.objectName} is not visible"
        assert widget.isEnabled(), f"{widget.objectName} is not enabled"
        events.click(widget, qt.QPoint(widget.width // 2, widget.height // 2))

    def choose(self, selector: Any, node: Any) -> None:
        """Pick a node from a list of nodes."""
        box = next(one for one in selector.children() if one.inherits("QComboBox"))
        rows = [selector.nodeFromIndex(row) for row in range(selector.nodeCount())]
        row = rows.index(node) + int(selector.noneEnabled)
        box.showPopup()
        self.process()
        box.view().setCurrentIndex(box.model().index(row, box.modelColumn, box.rootModelIndex()))
        events.press_key(box.view(), "Return")
        self.process()

    def press_cell(self, table: Any, row: int, column: int) -> None:
        """Click on a cell of a table of the panel."""
        table.scrollToItem(table.item(row, column))
        events.click(table.viewport(), table.visualItemRect(table.item(row, column)).center())

    def process(self) -> None:
        """Let Qt handle what is waiting."""
        self.app.processEvents()

    def run_for(self, seconds: float) -> None:
        """Run the event loop for a while; asleep when nothing happens."""
        loop, timer = qt.QEventLoop(), qt.QTimer()
        timer.setSingleShot(True)
        timer.connect("timeout()", loop.quit)
        timer.start(round(1000 * seconds))
        loop.exec_()

    def status(self) -> str:
        """Return what the status bar says."""
        return str(slicer.util.mainWindow().statusBar().currentMessage())

    # ---- what a scene goes through

    def save_scene(self, folder: Path) -> Path:
        """Write the scene as Slicer does, into one file."""
        file = folder / "scene.mrb"
        assert slicer.util.saveScene(str(file))
        return file

    def open_scene(self, file: Path) -> None:
        """Close the scene and read another."""
        self.scene.Clear(False)
        self.process()
        assert slicer.util.loadScene(str(file))
        self.process()
