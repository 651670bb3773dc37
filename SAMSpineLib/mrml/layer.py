"""The images behind segments: where in them a segment's voxels are, and crops of them.

Extents are inclusive (i0, i1, j0, j1, k0, k1) in the indices of the layer; arrays and slices are (K, J, I).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import slicer
from vtkmodules.util import numpy_support
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from SAMSpineLib.errors import GeometryError, LabelError
from SAMSpineLib.mrml.geometry import matrix_from_vtk, node_to_world, vtk_from_matrix
from SAMSpineLib.volume import Extent, Grid, Matrix

Mask = npt.NDArray[np.bool_]
Index = tuple[int, int, int]
Box = tuple[slice, slice, slice]

LABELMAP = "Binary labelmap"
_TOLERANCE = 1e-2  # mm; VTK keeps spacing and directions apart, so that matrices come back rounded


@dataclass(frozen=True, eq=False)
class Layer:
    """The image that holds a segment, as it is now; other segments may share it.

    `image` is the vtkOrientedImageData, `voxels` a view (K, J, I) of its memory, `start` the index (I, J, K) of the
    first of them, `value` what marks the segment, `matrix` (4, 4) leads from the layer's indices to the segmentation
    node's own coordinates (mm).
    """

    image: Any
    value: int
    voxels: npt.NDArray[np.integer[Any]]
    start: Index
    matrix: Matrix

    @classmethod
    def of(cls, node: Any, segment_id: str, lattice: Matrix) -> Layer:
        """Look at the layer of a segment; one without memory takes on a lattice, the matrix of the volume in the node.

        Raises:
            LabelError: if there is no such segment, or it has no binary labelmap.
        """
        segment, image = _labelmap_of(node, segment_id)
        i0, i1, j0, j1, k0, k1 = image.GetExtent()
        shape = (max(k1 - k0 + 1, 0), max(j1 - j0 + 1, 0), max(i1 - i0 + 1, 0))
        scalars = image.GetPointData().GetScalars()
        if scalars is None or 0 in shape:
            return cls(image, segment.GetLabelValue(), np.zeros((0, 0, 0), np.uint8), (0, 0, 0), lattice)
        matrix = vtkMatrix4x4()
        image.GetImageToWorldMatrix(matrix)
        voxels = numpy_support.vtk_to_numpy(scalars).reshape(shape)
        return cls(image, segment.GetLabelValue(), voxels, (i0, j0, k0), matrix_from_vtk(matrix))

    @property
    def extent(self) -> Extent:
        """How far the layer's memory reaches."""
        k, j, i = self.voxels.shape
        return shifted((self.start[0], 0, self.start[1], 0, self.start[2], 0), (slice(0, k), slice(0, j), slice(0, i)))

    def offset(self, lattice: Matrix, extent: Extent) -> Index | None:
        """Return by how many voxels (I, J, K) the layer's indices are ahead of those of a lattice.

        None if the two are not one lattice over an extent.
        """
        steps = np.linalg.solve(self.matrix, lattice)[:3, 3].round().astype(int)
        moved = np.eye(4)
        moved[:3, 3] = steps
        corners = np.array([[i, j, k, 1] for i in extent[:2] for j in extent[2:4] for k in extent[4:]], dtype=float)
        apart = corners @ (self.matrix @ moved - lattice).T
        return None if np.abs(apart[:, :3]).max() > _TOLERANCE else (int(steps[0]), int(steps[1]), int(steps[2]))

    def overlap(self, extent: Extent) -> tuple[Box, Box]:
        """Return what an extent and the layer have in common, as slices of the layer and slices of the crop."""
        here, there = [], []
        for axis, size in zip((2, 1, 0), self.voxels.shape, strict=True):
            low = max(extent[2 * axis], self.start[axis])
            high = max(min(extent[2 * axis + 1] + 1, self.start[axis] + size), low)
            here.append(slice(low - self.start[axis], high - self.start[axis]))
            there.append(slice(low - extent[2 * axis], high - extent[2 * axis]))
        return (here[0], here[1], here[2]), (there[0], there[1], there[2])

    def holds(self, extent: Extent) -> bool:
        """Tell whether the layer's memory reaches over a whole extent."""
        here, _ = self.overlap(extent)
        return tuple(part.stop - part.start for part in here) == shape_of(extent)

    def mask(self, extent: Extent) -> Mask:
        """Return the segment's voxels in an extent; False where the layer does not reach."""
        here, there = self.overlap(extent)
        result = np.zeros(shape_of(extent), bool)
        result[there] = self.voxels[here] == self.value
        return result

    def has_any(self, extent: Extent, where: Mask) -> bool:
        """Tell whether any segment at all has a voxel where a crop is True."""
        here, there = self.overlap(extent)
        return bool(np.logical_and(self.voxels[here], where[there]).any())

    def put(self, extent: Extent, where: Mask, value: int) -> None:
        """Write a value straight into memory where a crop is True. Nobody is told."""
        here, there = self.overlap(extent)
        np.copyto(self.voxels[here], value, where=where[there], casting="unsafe")

    def can_grow(self) -> bool:
        """Tell whether the memory can be enlarged: there is some, and its type can hold the segment's value."""
        return self.voxels.size > 0 and self.value <= np.iinfo(self.voxels.dtype).max

    def grown(self, extent: Extent) -> Layer:
        """Return this layer with memory that reaches over an extent, too; `publish` brings it into the image."""
        low = np.minimum(extent[::2], self.extent[::2]).tolist()
        high = np.maximum(extent[1::2], self.extent[1::2]).tolist()
        union = (low[0], high[0], low[1], high[1], low[2], high[2])
        voxels = np.zeros(shape_of(union), self.voxels.dtype)
        larger = replace(self, voxels=voxels, start=(low[0], low[1], low[2]))
        voxels[larger.overlap(self.extent)[0]] = self.voxels
        return larger

    def publish(self) -> None:
        """Tell everyone that the image has changed; derived representations of all its segments are dropped by that."""
        if tuple(self.image.GetExtent()) == self.extent:
            self.image.Modified()
            return
        # In this order observers never see an extent without its voxels: only the second call is an event.
        self.image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(self.voxels.ravel(), deep=True))
        self.image.SetExtent(*self.extent)

    def crop(self, extent: Extent, array: npt.NDArray[Any]) -> Any:
        """Build a vtkOrientedImageData of 0 and 1 on this lattice."""
        return oriented_image(array, extent, self.matrix)


def _labelmap_of(node: Any, segment_id: str) -> tuple[Any, Any]:
    segment = node.GetSegmentation().GetSegment(segment_id)
    if segment is None:
        known = ", ".join(node.GetSegmentation().GetSegmentIDs())
        msg = f"The segmentation '{node.GetName()}' has no segment '{segment_id}'; it has: {known or 'none'}"
        raise LabelError(msg)
    image = segment.GetRepresentation(LABELMAP)
    if image is None:
        msg = f"Segment '{segment_id}' of '{node.GetName()}' is no binary labelmap: make that its source representation"
        raise LabelError(msg)
    return segment, image


def lattice_in_node(node: Any, grid: Grid) -> Matrix:
    """Return the matrix from a world grid's indices to a segmentation node's own coordinates.

    Raises:
        GeometryError: if the node is under a non-linear transform.
    """
    return np.asarray(np.linalg.inv(node_to_world(node)) @ grid.ijk_to_ras)


def extent_in_layer(node: Any, layer: Layer, lattice: Matrix, extent: Extent) -> Extent:
    """Translate an extent of a lattice into the indices of a layer.

    Both must be one lattice, though index 0 may be another voxel of it (a segmentation made on a cropped volume).

    Raises:
        GeometryError: if they are not.
    """
    offset = layer.offset(lattice, extent)
    if offset is None:
        msg = (
            f"The segmentation '{node.GetName()}' lies on another lattice than the volume, its voxels would have to be "
            "resampled: make a new segmentation for this volume"
        )
        raise GeometryError(msg)
    i, j, k = offset
    return (extent[0] + i, extent[1] + i, extent[2] + j, extent[3] + j, extent[4] + k, extent[5] + k)


def oriented_image(array: npt.NDArray[Any], extent: Extent, matrix: Matrix, dtype: Any = np.uint8) -> Any:
    """Build a vtkOrientedImageData from voxels (K, J, I) at an extent of a lattice; the voxels are copied."""
    image = slicer.vtkOrientedImageData()
    image.SetExtent(*extent)
    image.SetImageToWorldMatrix(vtk_from_matrix(matrix))
    flat = np.ascontiguousarray(array, dtype=dtype).ravel()
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(flat, deep=True))
    return image


def shape_of(extent: Extent) -> Index:
    """Return the shape (K, J, I) of an extent."""
    i0, i1, j0, j1, k0, k1 = extent
    return (k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1)


def first_voxel(mask: Mask) -> Box:
    """Return the slices of the first voxel of a mask that has one."""
    k, j, i = (int(n) for n in np.unravel_index(int(mask.argmax()), mask.shape))
    return slice(k, k + 1), slice(j, j + 1), slice(i, i + 1)


def box_of(mask: Mask) -> Box:
    """Return the slices of the smallest box around the voxels of a mask that has some."""
    plane: Mask = np.any(mask, axis=0)
    lines = (np.any(mask, axis=(1, 2)), np.any(plane, axis=1), np.any(plane, axis=0))
    k, j, i = (np.flatnonzero(line) for line in lines)
    return slice(int(k[0]), int(k[-1]) + 1), slice(int(j[0]), int(j[-1]) + 1), slice(int(i[0]), int(i[-1]) + 1)


def extent_of(box: Box) -> Extent:
    """Return the extent of slices (K, J, I)."""
    k, j, i = box
    return (i.start, i.stop - 1, j.start, j.stop - 1, k.start, k.stop - 1)


def shifted(extent: Extent, box: Box) -> Extent:
    """Return the extent of a part of a crop that starts at an extent's lower corner."""
    i0, _, j0, _, k0, _ = extent
    k, j, i = box
    return (i0 + i.start, i0 + i.stop - 1, j0 + j.start, j0 + j.stop - 1, k0 + k.start, k0 + k.stop - 1)
