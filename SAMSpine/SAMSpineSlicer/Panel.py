"""What happens between the widgets of the .ui file, the parameter node, the scene and the engine."""

from collections.abc import Callable, Sequence
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from SAMSpineLib.errors import SAMSpineError
from SAMSpineLib.mrml.desk import Desk
from SAMSpineLib.mrml.finding import segment_at
from SAMSpineLib.mrml.marker import Marker
from SAMSpineLib.mrml.review_list import ReviewRow
from SAMSpineLib.mrml.segments import create_segmentation, segmentation_for
from SAMSpineLib.mrml.workbench import Workbench
from SAMSpineSlicer.AdvancedSection import AdvancedSection
from SAMSpineSlicer.AutonomousSection import AutonomousSection
from SAMSpineSlicer.Connection import Connection
from SAMSpineSlicer.Display import Display
from SAMSpineSlicer.Installer import Installer
from SAMSpineSlicer.ModelsSection import ModelsSection
from SAMSpineSlicer.ParameterNode import ParameterNode
from SAMSpineSlicer.SceneWatcher import SceneWatcher
from SAMSpineSlicer.SegmentsSection import SegmentsSection
from SAMSpineSlicer.Shortcuts import Shortcuts
from SAMSpineSlicer.SliceClicks import SliceClicks
from SAMSpineSlicer.SlicesSection import SlicesSection
from SAMSpineSlicer.TeachSection import TeachSection
from SAMSpineSlicer.UndoStack import UndoStack

TOOLS = {
    "positivePoint": "positivePointButton",
    "negativePoint": "negativePointButton",
    "box": "boxButton",
    "scribble": "scribbleButton",
    "lasso": "lassoButton",
}
MILLISECONDS_OF_STATUS = 5000


class Panel:
    """The behaviour of the panel. Its lifetime is that of the widget: enter, exit any number of times, cleanup once."""

    def __init__(self, ui: Any) -> None:
        """Take the widgets of SAMSpine.ui by name."""
        self.ui = ui
        self.parameterNode: ParameterNode | None = None
        self._guiTag: Any = None
        self._nodeTag: Any = None
        self._isDirty, self._isGone = False, False
        self._refreshTimer = qt.QTimer(ui.statusLabel)  # Slicer keeps each timer of QTimer.singleShot until it ends
        self._refreshTimer.setSingleShot(True)
        self._refreshTimer.connect("timeout()", self._refresh)
        self._wish = ""  # name of the segment that was selected last, should it be removed
        self._laid: tuple[Any, ...] = ()
        self._layouts: Any = None  # whose changes we follow while we are in view
        self.connection: Connection | None = None
        self.desk = Desk(self._post, tell=self.tell, changed=self.refreshSoon, new_mirror=self._newMirror)
        self.clicks = SliceClicks(self._onDrawn, self._onMarker, self._onPicked)
        self.shortcuts = Shortcuts(ui)
        self.watcher = SceneWatcher(self._onRemoved, self.refreshSoon, self._onEdited)
        self.undoStack = UndoStack()
        self.display = Display(ui)
        self.segments = SegmentsSection(self)
        self.autonomous = AutonomousSection(self)
        self.slices = SlicesSection(self)
        self.teaching = TeachSection(self)
        self.installer = Installer(ui, self.tell)
        self.advanced = AdvancedSection(self)
        self.models = ModelsSection(self)
        self._connections = [(getattr(ui, name), "toggled(bool)", self._onTool(tool)) for tool, name in TOOLS.items()]
        self._connections += [
            (ui.undoButton, "clicked()", self._attempt(self.desk.undo)),
            (ui.redoButton, "clicked()", self._attempt(self.desk.redo)),
            (ui.clearPromptsButton, "clicked()", self._attempt(lambda: self.desk.clear(self.selected()))),
            (ui.nextVertebraButton, "clicked()", self._attempt(lambda: self.segments.step(1))),
            (ui.previousVertebraButton, "clicked()", self._attempt(lambda: self.segments.step(-1))),
            (ui.volumeSelector, "nodeActivated(vtkMRMLNode*)", self._onChosen("inputVolume")),
            (ui.segmentationSelector, "nodeActivated(vtkMRMLNode*)", self._onChosen("segmentation")),
        ]
        for widget, signal, slot in self._connections:
            widget.connect(signal, slot)

    # Life.

    def setParameterNode(self, parameterNode: ParameterNode | None) -> None:
        """Show another state, or none while the scene is being closed."""
        if self.parameterNode is not None:
            if self._guiTag is not None:
                self.parameterNode.disconnectGui(self._guiTag)
            self.parameterNode.parameterNode.RemoveObserver(self._nodeTag)
        self._guiTag = self._nodeTag = None
        self._leaveNodes()
        self.parameterNode = parameterNode
        if parameterNode is not None:
            self._guiTag = parameterNode.connectGui(self.ui)
            node = parameterNode.parameterNode
            self._nodeTag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onParameters)
            self._onParameters()

    def enter(self) -> None:
        """Come into view: keys and clicks are ours from here on."""
        self.clicks.install()
        self.shortcuts.install()
        if self._layouts is None and slicer.app.layoutManager() is not None:
            self._layouts = slicer.app.layoutManager()
            self._layouts.connect("layoutChanged(int)", self._onLayout)
        self.attempt(self.models.offer)
        self._onParameters()

    def exit(self) -> None:
        """Go out of view: give keys and clicks back."""
        self.shortcuts.remove()
        self.clicks.remove()
        if self._layouts is not None:
            self._layouts.disconnect("layoutChanged(int)", self._onLayout)
            self._layouts = None

    def cleanup(self) -> None:
        """Stop timers, processes and observers for good."""
        self._isGone = True
        self._refreshTimer.stop()
        self._refreshTimer.disconnect("timeout()", self._refresh)
        self.setParameterNode(None)
        self.exit()
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        for widget, signal, slot in self._connections:
            widget.disconnect(signal, slot)
        sections = (self.segments, self.autonomous, self.slices, self.teaching, self.installer, self.advanced)
        for section in (*sections, self.models, self.display):
            section.release()

    # What the rest asks.

    def selected(self) -> str:
        """Return the segment that prompts go to; one that was removed is made again.

        Raises:
            SAMSpineError: if there is none, or no volume.
        """
        self.bench()
        segmentId = self.desk.recall(self.parameterNode.selectedSegmentId, self._wish)
        self.select(segmentId)
        return segmentId

    def select(self, segmentId: str) -> None:
        """Let prompts go to a segment from now on."""
        bench = self.desk.bench
        if bench is not None and segmentId in bench.labels:
            self._wish = bench.label_of(segmentId).name
        if self.parameterNode.selectedSegmentId != segmentId:
            self.parameterNode.selectedSegmentId = segmentId
        self.refreshSoon()

    def bench(self) -> Workbench:
        """Return the volume and the segmentation on the desk; a missing segmentation is made.

        Raises:
            SAMSpineError: if there is no volume, or it cannot be used.
        """
        if self.desk.bench is None:
            self._lay(create=True)
        return self.desk.bench

    def tell(self, text: str) -> None:
        """Show one line in the panel and in the status bar."""
        self.ui.statusLabel.text = text
        if slicer.util.mainWindow() is not None:
            slicer.util.showStatusMessage(text, MILLISECONDS_OF_STATUS)

    def attempt(self, action: Callable[[], None]) -> None:
        """Do something for the user; what he can mend becomes a line in the panel."""
        try:
            self.tell("")
            action()
        except SAMSpineError as error:
            self.tell(str(error))

    def refreshSoon(self, *_event: Any) -> None:
        """Show what has changed when Qt has time, once for all changes until then."""
        if not self._isDirty and not self._isGone:
            self._isDirty = True
            self._refreshTimer.start(0)

    # The nodes.

    def _lay(self, *, create: bool = False) -> None:
        """Put the chosen volume and its segmentation on the desk."""
        state, scene = self.parameterNode, slicer.mrmlScene
        volume = state.inputVolume if state is not None else None
        if volume is None:
            self._leaveNodes()
            if create:
                raise SAMSpineError(_("Choose a volume first"))
            return
        segmentation = segmentation_for(scene, volume, state.segmentation)
        if segmentation is None and create:
            segmentation = create_segmentation(scene, volume, _("{name} spine").format(name=volume.GetName()))
        self._laid = (volume, segmentation)
        if state.segmentation is not segmentation:
            state.segmentation = segmentation
        if segmentation is None:
            self._leaveNodes()
            self._laid = (volume, None)
            self.watcher.watch(volume, None)
            return
        if not segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole()):
            segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        self._leaveNodes()
        self._laid = (volume, segmentation)
        self.watcher.watch(volume, segmentation)
        self.undoStack.watch(segmentation)
        self.desk.lay(Workbench(volume, segmentation, save_state=self.undoStack.save), state.promptLog)
        self.refreshSoon()

    def _leaveNodes(self) -> None:
        """Forget the nodes; answers that are still to come are dropped, the scene stays as it is."""
        self.watcher.release()
        self.undoStack.watch(None)
        self.desk.drop()
        if self.connection is not None:
            self.connection.forget()
        self.autonomous.reset()
        self.slices.reset()
        self.teaching.reset()
        self._laid = ()
        self.clicks.show(())
        self.refreshSoon()

    def _onRemoved(self, node: Any) -> None:
        """Let go of a node that leaves; the segmentation of a volume that is gone is left alone from then on."""
        self._leaveNodes()
        if node is self.parameterNode.inputVolume:
            self.parameterNode.inputVolume = None
            self.parameterNode.segmentation = None

    def _onEdited(self) -> None:
        bench = self.desk.bench
        if bench is not None and not bench.is_writing:
            bench.forget_counts()
            self.refreshSoon()

    def _onParameters(self, *_event: Any) -> None:
        """Follow the parameter node, whoever has changed it."""
        state = self.parameterNode
        if state is None or self._isGone:
            return
        if self._laid != (state.inputVolume, state.segmentation):
            self._attempt(self._lay)()
        if self.connection is not None and self.connection.settings != Connection.key(state):
            self.connection.close()
            self.connection = None
        self.clicks.tool = state.mode
        for tool, name in TOOLS.items():
            button = getattr(self.ui, name)
            if button.checked != (tool == state.mode):
                button.checked = tool == state.mode
        self.refreshSoon()

    # The engine.

    def _post(self, *call: Any) -> None:
        if self.connection is None:
            self.connection = Connection(self.parameterNode, self.tell, self.advanced.log)
        self.connection.post(*call)

    def _newMirror(self) -> Any:
        if self.connection is None:
            self.connection = Connection(self.parameterNode, self.tell, self.advanced.log)
        return self.connection.newMirror()

    # What the user does.

    def _attempt(self, action: Callable[[], None]) -> Callable[..., None]:
        return lambda *_arguments: self.attempt(action)

    def _onChosen(self, parameter: str) -> Callable[[Any], None]:
        """Follow a list of nodes that says nothing of a change from one node to another of the same name."""

        def chosen(node: Any) -> None:
            if self.parameterNode is not None:
                setattr(self.parameterNode, parameter, node)

        return chosen

    def _onTool(self, tool: str) -> Callable[[bool], None]:
        def toggled(checked: bool) -> None:
            state = self.parameterNode
            if state is not None and checked != (state.mode == tool):
                state.mode = tool if checked else "none"
            if checked:
                self._attempt(self._warmUp)()

        return toggled

    def _warmUp(self) -> None:
        """Bring the volume to the engine before the first click, so that it need not wait."""
        if self.parameterNode.inputVolume is not None and self.installer.isReady(self.parameterNode):
            self.bench()
            self.desk.open()

    def _onDrawn(self, kind: str, places: Sequence[Any], positive: bool, normal: Any) -> None:
        def draw() -> None:
            self.installer.check(self.parameterNode)
            self.bench()
            self.desk.click(self.selected(), kind, places, positive=positive, normal=normal)

        self.attempt(draw)

    def _onMarker(self, marker: Marker) -> None:
        self.attempt(lambda: self.desk.remove(marker))

    def _onPicked(self, place: tuple[float, float, float]) -> None:
        segmentId = segment_at(self.desk.bench, place) if self.desk.bench is not None else None
        if segmentId is not None:
            self.select(segmentId)

    def _onLayout(self, *_event: Any) -> None:
        self.clicks.reinstall()

    def jump(self, row: ReviewRow) -> None:
        """Show a level in all slice views and select it."""
        self.select(row.segment_id)
        slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *self.desk.bench.to_world(row.place))

    # What is shown.

    def _refresh(self) -> None:
        self._isDirty = False
        state = self.parameterNode
        if self._isGone or state is None:
            return
        log = self.desk.log(state.promptLog)
        if log != state.promptLog:
            state.promptLog = log
        self.clicks.show(self.desk.markers())
        self.segments.refresh()
        self.autonomous.refresh()
        self.slices.refresh()
        self.teaching.refresh()
        self.models.refresh()
        self.ui.undoButton.enabled = self.desk.can_undo
        self.ui.redoButton.enabled = self.desk.can_redo
        title = self.connection.queue.title if self.connection is not None else ""
        alive = self.connection is not None and self.connection.engine.is_alive
        self.ui.readinessLabel.text = title or (_("Ready") if alive else _("Not started"))
        self.ui.deviceLabel.text = f"{state.serverAddress or state.device}:"
