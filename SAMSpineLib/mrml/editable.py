"""What the Segment Editor's masking settings allow: where a segment may change, and whom it may take voxels from."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from SAMSpineLib.mrml.layer import Layer, Mask, extent_in_layer, lattice_in_node, shape_of
from SAMSpineLib.volume import Extent, Grid, Volume, slices_of

EDITOR_TAG = "SegmentEditor"


def editor_of(scene: Any) -> Any | None:
    """Return the node with the Segment Editor's settings, None if the Segment Editor was never opened."""
    return scene.GetSingletonNode(EDITOR_TAG, "vtkMRMLSegmentEditorNode")


def editable_area(editor: Any, node: Any, extent: Extent, grid: Grid, volume: Volume) -> Mask | None:
    """Return the voxels (K, J, I) of an extent that may change under the Segment Editor's settings; None: all.

    Args:
        editor: a vtkMRMLSegmentEditorNode.
        node: the segmentation.
        extent: of the volume.
        grid: the volume's lattice in the world.
        volume: whose voxels the intensity range is about.
    """
    mode, modes = editor.GetMaskMode(), slicer.vtkMRMLSegmentationNode
    segmentation = node.GetSegmentation()
    ids = list(segmentation.GetSegmentIDs())
    visible = [one for one in ids if is_visible(node, one)]
    area: Mask | None = None
    if mode in (modes.EditAllowedInsideAllSegments, modes.EditAllowedInsideVisibleSegments):
        area = _inside(node, visible if mode == modes.EditAllowedInsideVisibleSegments else ids, extent, grid)
    elif mode in (modes.EditAllowedOutsideAllSegments, modes.EditAllowedOutsideVisibleSegments):
        area = ~_inside(node, visible if mode == modes.EditAllowedOutsideVisibleSegments else ids, extent, grid)
    elif mode == modes.EditAllowedInsideSingleSegment and editor.GetMaskSegmentID() in ids:
        area = _inside(node, [editor.GetMaskSegmentID()], extent, grid)
    if editor.GetSourceVolumeIntensityMask():
        low, high = editor.GetSourceVolumeIntensityMaskRange()
        crop = volume.array[slices_of(extent)]
        bright = np.asarray((crop >= low) & (crop <= high))
        area = bright if area is None else area & bright
    return area


def may_be_overwritten(editor: Any, node: Any, segment_id: str) -> bool:
    """Tell whether a segment may lose voxels to another one under the Segment Editor's overwrite mode."""
    mode = editor.GetOverwriteMode()
    if mode == editor.OverwriteVisibleSegments:
        return is_visible(node, segment_id)
    return bool(mode == editor.OverwriteAllSegments)


def is_visible(node: Any, segment_id: str) -> bool:
    """Tell whether a segment is shown."""
    display = node.GetDisplayNode()
    return display is None or bool(display.GetVisibility() and display.GetSegmentVisibility(segment_id))


def _inside(node: Any, ids: list[str], extent: Extent, grid: Grid) -> Mask:
    """Return where in an extent of the volume any of some segments is."""
    lattice = lattice_in_node(node, grid)
    result = np.zeros(shape_of(extent), bool)
    for segment_id in ids:
        layer = Layer.of(node, segment_id, lattice)
        result |= layer.mask(extent_in_layer(node, layer, lattice, extent))
    return result
