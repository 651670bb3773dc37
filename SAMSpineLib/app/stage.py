"""The nodes on show: one volume, one segmentation, and how the views display them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
from trame_slicer.core import SlicerApp

from SAMSpineLib.errors import PromptError, VolumeError
from SAMSpineLib.mrml.finding import centre_of
from SAMSpineLib.mrml.segments import create_segmentation
from SAMSpineLib.mrml.volumes import node_from_volume
from SAMSpineLib.mrml.workbench import Workbench
from SAMSpineLib.prompts import Ras
from SAMSpineLib.volume import Volume

# Window and level (HU), as Slicer's own presets have them.
WINDOWS: dict[str, tuple[float, float] | None] = {
    "Bone": (1000.0, 400.0),
    "Soft tissue": (350.0, 40.0),
    "Lung": (1400.0, -500.0),
    "Whole range": None,
}
SURFACE = "Closed surface"


class Stage:
    """What the views show; it knows nothing of an engine."""

    def __init__(self, slicer_app: SlicerApp) -> None:
        """Begin with an empty scene."""
        self.app = slicer_app
        self.volume_node: Any = None
        self.node: Any = None

    @property
    def scene(self) -> Any:
        """The vtkMRMLScene."""
        return self.app.scene

    def show(self, volume: Volume, name: str) -> Workbench:
        """Replace what is on show by a volume with an empty segmentation, and return a workbench for both."""
        self._remove()
        self.volume_node = node_from_volume(self.scene, volume)
        self.volume_node.SetName(name)
        self.node = create_segmentation(self.scene, self.volume_node, f"{name} spine")
        views = self.app.view_manager
        for view in views.get_slice_views():
            view.set_background_volume_id(self.volume_node.GetID())
        bench = Workbench(self.volume_node, self.node)
        self.reset_views()
        r, a, s = bench.grid.corners().mean(axis=0).tolist()
        self.jump((r, a, s))
        return bench

    def read_segments(self, path: Path) -> Workbench:
        """Replace the segments on show by those of a `.seg.nrrd`, and return a workbench for them.

        Raises:
            VolumeError: if they cannot be read, or lie on another lattice than the volume; there are none then.
        """
        storage = slicer.vtkMRMLSegmentationStorageNode()
        storage.SetFileName(str(path))
        try:
            if not storage.ReadData(self.node):
                msg = f"{path.name} is damaged or no segmentation: save it again"
                raise VolumeError(msg)
            self.node.SetReferenceImageGeometryParameterFromVolumeNode(self.volume_node)
            return Workbench(self.volume_node, self.node)
        except VolumeError:
            self.node.GetSegmentation().RemoveAllSegments()
            raise

    def _remove(self) -> None:
        for node in (self.node, self.volume_node):
            if node is not None:
                self.scene.RemoveNode(node)
        self.node = self.volume_node = None

    def reset_views(self) -> None:
        """Let every view show the whole volume."""
        for view in self.app.view_manager.get_slice_views():
            view.reset_view()
        self.aim_at_segments()

    def aim_at_segments(self) -> None:
        """Let the 3D views show all surfaces, from the front."""
        for view in self.app.view_manager.get_threed_views():
            view.fit_view_to_content()
            view.schedule_render()

    # How it looks.

    def set_window(self, name: str) -> None:
        """Show the volume with a window and level of `WINDOWS`."""
        display = self.volume_node.GetDisplayNode() if self.volume_node is not None else None
        if display is None or name not in WINDOWS:
            return
        wanted = WINDOWS[name]
        low, high = self.volume_node.GetImageData().GetScalarRange()
        window, level = wanted or (max(high - low, 1.0), (high + low) / 2)
        display.AutoWindowLevelOff()
        display.SetWindowLevel(window, level)

    def set_look(self, *, opacity: float, outline: bool) -> None:
        """Show segments in slices with an opacity (0..1), as outlines alone or filled."""
        display = self._display
        if display is not None:
            display.SetOpacity2DFill(0.0 if outline else opacity)
            display.SetOpacity2DOutline(1.0)
            display.SetVisibility2DOutline(True)
            display.SetVisibility2DFill(not outline)

    def set_surfaces(self, *, wanted: bool) -> None:
        """Show segments in 3D or not; making their surfaces takes time with each step.

        An empty segmentation has none to make: ask again once there are voxels.
        """
        if self.node is None or wanted == self.node.GetSegmentation().ContainsRepresentation(SURFACE):
            return
        if wanted:
            self.node.CreateClosedSurfaceRepresentation()
        else:
            self.node.RemoveClosedSurfaceRepresentation()

    def set_visible(self, segment_id: str, *, visible: bool) -> None:
        """Show or hide a segment in all views."""
        if self._display is not None:
            self._display.SetSegmentVisibility(segment_id, visible)

    def set_crosshair(self, *, wanted: bool) -> None:
        """Show where the views cross each other."""
        crosshair = self.scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        if crosshair is not None:
            crosshair.SetCrosshairMode(crosshair.ShowBasic if wanted else crosshair.NoCrosshair)

    def set_orientation(self, view: str, orientation: str) -> None:
        """Turn a slice view to Axial, Coronal or Sagittal, and let it show the whole slice."""
        found = self.app.view_manager.get_view(view)
        if found is not None and found.get_orientation() != orientation:
            found.set_orientation(orientation)
            found.fit_view_to_content()

    @property
    def _display(self) -> Any:
        return self.node.GetDisplayNode() if self.node is not None else None

    # Where to look.

    def jump(self, place: Ras) -> None:
        """Let all slice views go through a place (RAS mm)."""
        slicer.vtkMRMLSliceNode.JumpAllSlices(self.scene, *place, slicer.vtkMRMLSliceNode.OffsetJumpSlice)
        crosshair = self.scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        if crosshair is not None:
            crosshair.SetCrosshairRAS(*place)

    def crosshair(self) -> Ras:
        """Return the place (RAS mm) of the crosshair."""
        r, a, s = self.scene.GetFirstNodeByClass("vtkMRMLCrosshairNode").GetCrosshairRAS()
        return (r, a, s)

    def jump_to(self, bench: Workbench, segment_id: str) -> None:
        """Let all slice views go through the middle of a segment, if it has voxels."""
        place = centre_of(bench, segment_id)
        if place is not None:
            self.jump(place)

    def slice_node(self, view: str) -> Any:
        """Return the vtkMRMLSliceNode of a view.

        Raises:
            PromptError: if there is no such view.
        """
        found = self.app.view_manager.get_view(view)
        if found is None or view not in SLICES:
            msg = f"There is no slice view '{view}'"
            raise PromptError(msg)
        return found.get_view_node()


SLICES = ("Red", "Green", "Yellow")
