"""Masks into segments of a segmentation node, and back. What moves are crops; neighbours never lose a voxel by it.

Slicer keeps binary segments in layers, images that several segments may share. A step is written straight into the
memory of the segment's layer, and the layer then reports itself modified. That report makes Slicer drop the closed
surfaces of *all* segments, so where there are surfaces one voxel is kept back for `SetBinaryLabelmapToSegment`: it
tells every view, too, but rebuilds the surface of this one segment only, in a time that grows with what it is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import slicer
from vtkmodules.util import numpy_support
from vtkmodules.vtkCommonCore import reference, vtkMultiThreader, vtkStringArray

from SAMSpineLib.errors import GeometryError, LabelError
from SAMSpineLib.labels import Label
from SAMSpineLib.mask_update import MaskUpdate
from SAMSpineLib.mrml.layer import (
    Box,
    Layer,
    Mask,
    box_of,
    extent_in_layer,
    first_voxel,
    lattice_in_node,
    oriented_image,
    shape_of,
    shifted,
)
from SAMSpineLib.volume import Extent, Grid, Matrix

_SURFACE = "Closed surface"


def create_segmentation(scene: Any, volume_node: Any, name: str) -> Any:
    """Add an empty vtkMRMLSegmentationNode on the lattice of a volume node, under the same parent transform."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    # The transform comes first: the geometry is kept in the segmentation's own coordinates, and saving follows it.
    node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
    return node


def segmentation_for(scene: Any, volume_node: Any, current: Any | None) -> Any | None:
    """Return the segmentation that belongs to a volume: the current one if it does, else the scene's first that does.

    None if there is none. One without reference geometry belongs to no volume yet, and may be the current one.
    """
    if current is not None and volume_of(current) in (None, volume_node):
        return current
    return next((one for one in segmentations(scene) if volume_of(one) is volume_node), None)


def volume_of(node: Any) -> Any | None:
    """Return the volume node that a segmentation belongs to; None where it has no reference geometry yet."""
    return node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())


def segmentations(scene: Any) -> list[Any]:
    """Return the segmentation nodes of a scene."""
    count: int = scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    return [scene.GetNthNodeByClass(n, "vtkMRMLSegmentationNode") for n in range(count)]


def ensure_segment(node: Any, label: Label) -> str:
    """Return the id of a label's segment; a missing one is added with the label's name, colour and terminology.

    An existing segment is recognised by its name, or else by its terminology (the user may have renamed it), and is
    left as it is.
    """
    segmentation = node.GetSegmentation()
    ids: list[str] = list(segmentation.GetSegmentIDs())
    for segment_id in ids:
        if segmentation.GetSegment(segment_id).GetName() == label.name:
            return segment_id
    for segment_id in ids:
        if label.terminology and _terminology_of(segmentation.GetSegment(segment_id)) == label.terminology:
            return segment_id
    return _add_segment(node, label)


def _add_segment(node: Any, label: Label) -> str:
    segmentation = node.GetSegmentation()
    colour = [part / 255 for part in label.colour]
    wanted_id = segmentation.GenerateUniqueSegmentID(label.name.replace(" ", "_"))
    segment_id: str = segmentation.AddEmptySegment(wanted_id, label.name, colour)
    segment = segmentation.GetSegment(segment_id)
    segment.SetColor(*colour)
    if label.terminology:
        segment.SetTag(segment.GetTerminologyEntryTagName(), label.terminology)
    _prefer_label_value(node, segment_id, label.value)
    return segment_id


def _prefer_label_value(node: Any, segment_id: str, value: int) -> None:
    """Give an empty segment the value of the label table, so that saved files carry it, unless it is taken."""
    segmentation = node.GetSegmentation()
    others = _sharing(node, segment_id)
    if all(segmentation.GetSegment(other).GetLabelValue() != value for other in others):
        segmentation.GetSegment(segment_id).SetLabelValue(value)


def _terminology_of(segment: Any) -> str:
    value = reference("")
    found: bool = segment.GetTag(segment.GetTerminologyEntryTagName(), value)
    return str(value) if found else ""


def _sharing(node: Any, segment_id: str) -> list[str]:
    """Return the ids of the other segments on the same layer."""
    ids: list[str] = []
    node.GetSegmentation().GetSegmentIDsSharingBinaryLabelmapRepresentation(segment_id, ids, False)
    return ids


def write(node: Any, segment_id: str, update: MaskUpdate, volume_grid: Grid, overwrite_ids: Sequence[str] = ()) -> None:
    """Make a segment equal to an update's mask inside the update's extent, and leave it alone outside.

    Voxels are set and erased. Segments in `overwrite_ids` lose the voxels that the segment takes; all others keep
    theirs (if need be the segment moves to a layer of its own, where it may overlap them). Closed surfaces of segments
    that did not change stay as they are. `volume_grid` is the volume's lattice in world coordinates.

    Raises:
        GeometryError: if the segmentation lies on another lattice than the volume.
        LabelError: if there is no such segment.
    """
    if update.is_empty:
        return
    lattice = lattice_in_node(node, volume_grid)
    wanted = np.asarray(update.mask) != 0
    for other in overwrite_ids:
        if other != segment_id:
            layer = Layer.of(node, other, lattice)
            kept = layer.mask(extent_in_layer(node, layer, lattice, update.extent)) & ~wanted
            _change(node, other, lattice, update.extent, kept)
    _change(node, segment_id, lattice, update.extent, wanted)


def _change(node: Any, segment_id: str, lattice: Matrix, volume_extent: Extent, wanted: Mask) -> None:
    """Make a segment's voxels in an extent of the lattice equal to `wanted`, with a single notification."""
    layer = Layer.of(node, segment_id, lattice)
    extent = extent_in_layer(node, layer, lattice, volume_extent)
    old = layer.mask(extent)
    added, removed = wanted & ~old, old & ~wanted
    if added.any() and _sharing(node, segment_id) and layer.has_any(extent, added):
        node.GetSegmentation().SeparateSegmentLabelmap(segment_id)
        layer = Layer.of(node, segment_id, lattice)
        extent = extent_in_layer(node, layer, lattice, volume_extent)
    if _has_derived(node) or not layer.can_grow():
        _change_and_convert(node, segment_id, layer, extent, (added, removed))
    elif added.any() or removed.any():
        if added.any() and not layer.holds(shifted(extent, box_of(added))):
            layer = layer.grown(extent)
        layer.put(extent, removed, 0)
        layer.put(extent, added, layer.value)
        layer.publish()


def _has_derived(node: Any) -> bool:
    """Tell whether the node has surfaces or other representations made from its labelmaps."""
    names: list[str] = []
    node.GetSegmentation().GetContainedRepresentationNames(names)
    return len(names) > 1


def _change_and_convert(node: Any, segment_id: str, layer: Layer, extent: Extent, change: tuple[Mask, Mask]) -> None:
    """Add and remove voxels so that this segment's surface is rebuilt, once, and no other one is lost."""
    added, removed = change
    if added.any():
        layer.put(extent, removed, 0)
        box = box_of(added)
        if layer.holds(shifted(extent, box)):
            box = first_voxel(added)
            layer.put(extent, _without(added, box), layer.value)
        _tell(node, segment_id, layer.crop(shifted(extent, box), added[box]), erase=False)
    elif removed.any() and 1 in layer.voxels.shape and (layer.voxels == layer.value).sum() == removed.sum():
        # VTK makes no surface of an empty image that is one voxel thin, and complains.
        layer = layer.grown(_thick(layer.extent))
        layer.put(extent, removed, 0)
        layer.publish()
        node.CreateClosedSurfaceRepresentation()
    elif removed.any():
        box = first_voxel(removed)
        layer.put(extent, _without(removed, box), 0)
        _tell(node, segment_id, layer.crop(shifted(extent, box), ~removed[box]), erase=True)


def _thick(extent: Extent) -> Extent:
    """Return an extent of two voxels at least along each axis."""
    i0, i1, j0, j1, k0, k1 = extent
    return (i0, max(i1, i0 + 1), j0, max(j1, j0 + 1), k0, max(k1, k0 + 1))


def _without(mask: Mask, box: Box) -> Mask:
    rest = mask.copy()
    rest[box] = False
    return rest


def _tell(node: Any, segment_id: str, image: Any, *, erase: bool) -> None:
    """Set (or erase, where the image is 0) the voxels of a small image; views and this segment's surface follow."""
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    mode = logic.MODE_MERGE_MIN if erase else logic.MODE_MERGE_MASK
    # The caller has seen to it that no voxel of another segment lies under the image; saying that all of them may be
    # overwritten spares the search for them.
    with _one_thread():
        sharing = _sharing(node, segment_id)
        logic.SetBinaryLabelmapToSegment(image, node, segment_id, mode, image.GetExtent(), False, sharing)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep VTK's image filters from starting a thread per core, which takes longer than a crop does."""
    before = vtkMultiThreader.GetGlobalMaximumNumberOfThreads()
    vtkMultiThreader.SetGlobalMaximumNumberOfThreads(1)
    try:
        yield
    finally:
        vtkMultiThreader.SetGlobalMaximumNumberOfThreads(before)


def read_segment(node: Any, segment_id: str, grid: Grid) -> npt.NDArray[np.uint8]:
    """Return a segment as uint8 (K, J, I), 1 inside, on a world grid; another lattice is sampled at nearest voxels.

    Raises:
        GeometryError: if the segmentation is under a non-linear transform.
        LabelError: if there is no such segment.
    """
    lattice = lattice_in_node(node, grid)
    layer = Layer.of(node, segment_id, lattice)
    k, j, i = grid.shape
    extent = (0, i - 1, 0, j - 1, 0, k - 1)
    offset = layer.offset(lattice, extent)
    if offset is None:
        return _resampled(layer, extent, lattice)
    return layer.mask(extent_in_layer(node, layer, lattice, extent)).astype(np.uint8)


def _resampled(layer: Layer, extent: Extent, lattice: Matrix) -> npt.NDArray[np.uint8]:
    """Sample a segment at the voxel centres of another lattice."""
    shape, result = shape_of(extent), slicer.vtkOrientedImageData()
    source = layer.crop(layer.extent, layer.voxels == layer.value)
    target = oriented_image(np.zeros(shape), extent, lattice)
    resample = slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage
    resample(source, target, result, False, False)
    return np.array(numpy_support.vtk_to_numpy(result.GetPointData().GetScalars()), np.uint8).reshape(shape)


def write_labelmap(node: Any, labels: Iterable[Label], array: npt.NDArray[np.integer[Any]], grid: Grid) -> list[str]:
    """Write a whole label map (K, J, I) in one step: every label that occurs replaces its segment, others stay.

    Returns the ids of the written segments in the order of `labels`. Surfaces, if the node shows any, are rebuilt.

    Raises:
        LabelError: if the array has a value that no label has.
        GeometryError: if array and grid differ in shape, or the segmentation is under a non-linear transform.
    """
    if array.shape != grid.shape:
        msg = f"A label map of shape {array.shape} does not fit its grid of shape {grid.shape}"
        raise GeometryError(msg)
    values = np.unique(array)
    values = values[values != 0]
    written = [label for label in labels if label.value in values]
    if unknown := sorted(set(values.tolist()) - {label.value for label in written}):
        msg = f"The label map has values that no label has: {unknown}; add a line to the label table, or remove them"
        raise LabelError(msg)
    if not written:
        return []
    ids = [ensure_segment(node, label) for label in written]
    _import(node, ids, *_compact(array, [label.value for label in written]), lattice_in_node(node, grid))
    return ids


def _compact(array: npt.NDArray[np.integer[Any]], values: Sequence[int]) -> tuple[npt.NDArray[np.int16], Extent]:
    """Crop a label map to what is not 0 and number the given values 1, 2, ... in their order."""
    k, j, i = box = box_of(array != 0)
    order = np.argsort(values)
    crop = array[box]
    numbers = order[np.searchsorted(np.asarray(values)[order], crop).clip(max=len(values) - 1)] + 1
    numbers[crop == 0] = 0
    return numbers.astype(np.int16), (i.start, i.stop - 1, j.start, j.stop - 1, k.start, k.stop - 1)


def _import(node: Any, ids: Sequence[str], numbers: npt.NDArray[np.int16], extent: Extent, matrix: Matrix) -> None:
    """Hand a numbered label map to Slicer: number n goes to the nth id."""
    names = vtkStringArray()
    for segment_id in ids:
        names.InsertNextValue(segment_id)
    shows_surfaces = node.GetSegmentation().ContainsRepresentation(_SURFACE)
    image = oriented_image(numbers, extent, matrix, np.int16)
    slicer.vtkSlicerSegmentationsModuleLogic.ImportLabelmapToSegmentationNode(image, node, names)
    if shows_surfaces:
        node.CreateClosedSurfaceRepresentation()
