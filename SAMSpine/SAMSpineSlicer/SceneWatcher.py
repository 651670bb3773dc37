"""What happens in the scene without us: nodes removed, segments edited, volumes moved."""

from collections.abc import Callable
from typing import Any

import slicer
import vtk


class SceneWatcher:
    """Observes one volume and one segmentation, and tells when either goes or changes."""

    def __init__(self, removed: Callable[[Any], None], changed: Callable[[], None], edited: Callable[[], None]) -> None:
        """Take whom to tell.

        Args:
            removed: the volume or the segmentation that leaves the scene.
            changed: one of them was moved, renamed or shown otherwise, or its list of segments has changed.
            edited: voxels have changed.
        """
        self._removed, self._changed, self._edited = removed, changed, edited
        self._tags: list[tuple[Any, int]] = []
        self._nodes: tuple[Any, ...] = ()

    def watch(self, volume: Any, segmentation: Any) -> None:
        """Observe these two from now on, and no others; either may be None."""
        self.release()
        self._nodes = tuple(node for node in (volume, segmentation) if node is not None)
        if not self._nodes:
            return
        scene = slicer.mrmlScene
        self._observe(scene, scene.NodeAboutToBeRemovedEvent, self._onNode)
        for node in self._nodes:
            self._observe(node, slicer.vtkMRMLTransformableNode.TransformModifiedEvent, lambda *_: self._changed())
        if volume is not None:
            self._observe(volume, slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent, lambda *_: self._edited())
        if segmentation is not None:
            self._watchSegments(segmentation.GetSegmentation())

    def release(self) -> None:
        """Observe nothing."""
        for source, tag in self._tags:
            source.RemoveObserver(tag)
        self._tags.clear()
        self._nodes = ()

    def _watchSegments(self, segmentation: Any) -> None:
        kinds = slicer.vtkSegmentation
        for event in (kinds.SegmentAdded, kinds.SegmentRemoved, kinds.SegmentModified):
            self._observe(segmentation, event, lambda *_: self._changed())
        self._observe(segmentation, kinds.SourceRepresentationModified, lambda *_: self._edited())

    def _observe(self, source: Any, event: int, callback: Any) -> None:
        self._tags.append((source, source.AddObserver(event, callback)))

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNode(self, _scene: Any, _event: str, node: Any) -> None:
        if any(node is one for one in self._nodes):
            self._removed(node)
