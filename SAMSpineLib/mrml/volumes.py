"""A volume node as a `Volume`, and the other way round."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from vtkmodules.util import numpy_support
from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from SAMSpineLib.errors import VolumeError
from SAMSpineLib.mrml.geometry import matrix_from_vtk, node_to_world, vtk_from_matrix
from SAMSpineLib.volume import Grid, Volume, guessed_modality


def grid_of_node(node: Any) -> Grid:
    """Return the lattice of a volume node in the world (RAS mm), its linear parent transforms included.

    Raises:
        VolumeError: if the node has no voxels.
        GeometryError: if a parent transform is not linear.
    """
    own = own_grid_of_node(node)
    return Grid(own.shape, node_to_world(node) @ own.ijk_to_ras)


def own_grid_of_node(node: Any) -> Grid:
    """Return the lattice of a volume node in its own coordinates (RAS mm), whatever its parent transforms are.

    Raises:
        VolumeError: if the node has no voxels.
    """
    image = node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None or min(image.GetDimensions()) < 1:
        msg = f"The volume node '{node.GetName()}' has no voxels: load an image into it first"
        raise VolumeError(msg)
    matrix = vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    i0, _, j0, _, k0, _ = image.GetExtent()
    start = np.eye(4)
    start[:3, 3] = (i0, j0, k0)
    i, j, k = image.GetDimensions()
    return Grid((k, j, i), matrix_from_vtk(matrix) @ start)


def volume_from_node(node: Any, *, modality: str | None = None, own: bool = False) -> Volume:
    """Return a scalar volume node as a `Volume` in world coordinates, or in its `own`, without its parent transforms.

    The array (K, J, I) is a read-only view of the node's voxels: nothing is copied, and nobody can write into the
    user's image through it. It stays valid as long as it is held, even after the node is removed. A
    modality that is not given is guessed from the values.

    Raises:
        VolumeError: if the node has no voxels, or several components (colour).
        GeometryError: if a parent transform is not linear.
    """
    grid = own_grid_of_node(node) if own else grid_of_node(node)
    scalars = node.GetImageData().GetPointData().GetScalars()
    if scalars.GetNumberOfComponents() != 1:
        msg = (
            f"The volume node '{node.GetName()}' has {scalars.GetNumberOfComponents()} values per voxel, one was "
            "expected: convert it to a scalar volume (Vector to Scalar Volume module)"
        )
        raise VolumeError(msg)
    array = numpy_support.vtk_to_numpy(scalars).reshape(grid.shape)
    array.flags.writeable = False
    return Volume(array, grid, node.GetName() or "volume", modality or guessed_modality(array))


def node_from_volume(scene: Any, volume: Volume) -> Any:
    """Add a vtkMRMLScalarVolumeNode with a copy of the volume's voxels to a scene and return it."""
    image = vtkImageData()
    image.SetDimensions(*volume.shape[::-1])
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(_scalars(volume), deep=True))
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", volume.name)
    node.SetIJKToRASMatrix(vtk_from_matrix(volume.ijk_to_ras))
    node.SetAndObserveImageData(image)
    node.CreateDefaultDisplayNodes()
    return node


def _scalars(volume: Volume) -> npt.NDArray[Any]:
    """Flatten the voxels into a type that VTK knows, in the byte order of this machine."""
    array: npt.NDArray[Any] = volume.array
    replaced: dict[str, npt.DTypeLike] = {"?": np.uint8, "e": np.float32, "g": np.float64}
    return np.ascontiguousarray(array, dtype=replaced.get(array.dtype.char, array.dtype.newbyteorder("="))).ravel()
