"""Slice views off the axes of the patient: turned about a place, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from SAMSpineLib.mrml.geometry import matrix_from_vtk, vtk_from_matrix
from SAMSpineLib.prompts import Ras


def turn(slice_node: Any, orientation: str, degrees: tuple[float, float, float], about: Ras) -> None:
    """Show the plane of an orientation turned about a place, which stays where it is in the view.

    Args:
        slice_node: a vtkMRMLSliceNode.
        orientation: one of its presets, such as "Axial".
        degrees: about the view's horizontal line, then its vertical line, then within the plane. Three zeros are the
            orientation itself.
        about: a place (RAS mm) that the plane goes through.
    """
    before = matrix_from_vtk(slice_node.GetSliceToRAS())
    was = slice_node.StartModify()
    try:
        slice_node.SetOrientation(orientation)
        turned = matrix_from_vtk(slice_node.GetSliceToRAS())
        if any(degrees):
            turned[:3, :3] = turned[:3, :3] @ Rotation.from_euler("XYZ", degrees, degrees=True).as_matrix()
        x, y, _ = np.linalg.solve(before[:3, :3], np.asarray(about, float) - before[:3, 3])
        turned[:3, 3] = np.asarray(about, float) - turned[:3, :3] @ [x, y, 0.0]
        slice_node.GetSliceToRAS().DeepCopy(vtk_from_matrix(turned))
        slice_node.UpdateMatrices()
    finally:
        slice_node.EndModify(was)
