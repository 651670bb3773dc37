"""Registrations as transform nodes.

A registration maps points of the fixed image to points of the moving one (both RAS mm): that is what resampling asks
for. Put on the moving node (the atlas), a transform node carries that node to the fixed image when its transform *from*
parent is this mapping; Slicer works out the way back (to parent) itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import slicer
from vtkmodules.util import numpy_support
from vtkmodules.vtkCommonDataModel import vtkImageData

from SAMSpineLib.errors import GeometryError
from SAMSpineLib.mrml.geometry import vtk_from_matrix
from SAMSpineLib.volume import Grid


def write_transform(scene: Any, fixed_to_moving: npt.ArrayLike, name: str, grid: Grid | None = None) -> Any:
    """Add a transform node to a scene that lands a moving node on the fixed one, and return it.

    Args:
        scene: a vtkMRMLScene.
        fixed_to_moving: without a grid, a matrix (4, 4) from fixed to moving points (RAS mm): a
            vtkMRMLLinearTransformNode. With one, displacements (K, J, I, 3) in mm along R, A, S, to be added to a fixed
            point at the voxel centres of the grid: a vtkMRMLGridTransformNode, linear in between, and beyond the grid
            constant as at its border.
        name: of the node.
        grid: the lattice of the displacements in the fixed space; may be oblique, anisotropic and left-handed.

    Raises:
        GeometryError: if the matrix is not an invertible affine one, or the displacements do not fit the grid.
    """
    values = np.asarray(fixed_to_moving)
    if grid is None:
        _check_affine(values)
        node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
        node.SetMatrixTransformFromParent(vtk_from_matrix(values))
        return node
    _check_displacement(values, grid)
    node = scene.AddNewNodeByClass("vtkMRMLGridTransformNode", name)
    node.SetAndObserveTransformFromParent(_grid_transform(values, grid))
    return node


def _grid_transform(displacement: npt.NDArray[Any], grid: Grid) -> Any:
    """Build a vtkOrientedGridTransform; VTK keeps origin, spacing and directions apart."""
    image = vtkImageData()
    image.SetDimensions(*grid.shape[::-1])
    image.SetOrigin(*grid.ijk_to_ras[:3, 3])
    image.SetSpacing(*grid.spacing)
    vectors = np.ascontiguousarray(displacement, dtype=np.float32).reshape(-1, 3)
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(vectors, deep=True))
    directions = np.eye(4)
    directions[:3, :3] = grid.ijk_to_ras[:3, :3] / grid.spacing
    transform = slicer.vtkOrientedGridTransform()
    transform.SetGridDirectionMatrix(vtk_from_matrix(directions))
    transform.SetDisplacementGridData(image)
    return transform


def _check_affine(matrix: npt.NDArray[Any]) -> None:
    if matrix.shape != (4, 4):
        msg = f"A linear transform is a matrix of shape (4, 4), got {matrix.shape}; a displacement field needs its grid"
        raise GeometryError(msg)
    affine = np.isfinite(matrix).all() and np.array_equal(matrix[3], (0, 0, 0, 1))
    if not affine or abs(np.linalg.det(matrix)) < 1e-12:
        msg = f"A linear transform must be finite, invertible and end in the row 0 0 0 1, got {matrix.tolist()}"
        raise GeometryError(msg)


def _check_displacement(displacement: npt.NDArray[Any], grid: Grid) -> None:
    if displacement.shape != (*grid.shape, 3):
        msg = f"A displacement field on a grid of shape {grid.shape} has one vector (R, A, S) per voxel, that is shape "
        msg += f"{(*grid.shape, 3)}, got {displacement.shape}"
        raise GeometryError(msg)
    if not np.isfinite(displacement).all():
        msg = "A displacement field must be finite in every voxel, got NaN or infinity: fill these with 0 or neighbours"
        raise GeometryError(msg)
