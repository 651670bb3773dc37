"""Matrices of MRML nodes as numpy, the parent transforms of a node included."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from SAMSpineLib.errors import GeometryError
from SAMSpineLib.volume import Matrix


def matrix_from_vtk(matrix: vtkMatrix4x4) -> Matrix:
    """Copy a VTK matrix into an array (4, 4)."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)], dtype=np.float64)


def vtk_from_matrix(matrix: npt.ArrayLike) -> vtkMatrix4x4:
    """Copy an array (4, 4) into a VTK matrix."""
    result = vtkMatrix4x4()
    result.DeepCopy(np.asarray(matrix, dtype=np.float64).ravel().tolist())
    return result


def node_to_world(node: Any) -> Matrix:
    """Return the matrix (4, 4) from a node's own coordinates to the world (both RAS mm), identity without a parent.

    Raises:
        GeometryError: if a parent transform is not linear, for then no lattice describes where the voxels are.
    """
    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    if not parent.IsTransformToWorldLinear():
        msg = (
            f"'{node.GetName()}' is under the non-linear transform '{parent.GetName()}'; only linear transforms can be "
            "followed: harden the transform on the node (Transforms module), or take the node out of it"
        )
        raise GeometryError(msg)
    matrix = vtkMatrix4x4()
    parent.GetMatrixTransformToWorld(matrix)
    return matrix_from_vtk(matrix)
