"""A slice view is turned about a place, and that place stays where it is seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer")

import slicer

from SAMSpineLib.mrml.geometry import matrix_from_vtk
from SAMSpineLib.mrml.reformat import turn
from SAMSpineLib.mrml.slice_plane import SlicePlane

PLACE = (12.0, -30.5, 41.25)


@pytest.fixture
def a_slice_node() -> Any:
    scene = slicer.vtkMRMLScene()
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)
    node = scene.AddNewNodeByClass("vtkMRMLSliceNode", "Red")
    node.SetDimensions(300, 200, 1)
    node.SetFieldOfView(150, 100, 2)
    node.SetOrientation("Axial")
    node.SetSliceOffset(41.25)
    return node


def axes(node: Any) -> np.ndarray:
    return matrix_from_vtk(node.GetSliceToRAS())[:3, :3]


@pytest.mark.parametrize("degrees", [(20.0, 0.0, 0.0), (0.0, -35.0, 0.0), (10.0, 25.0, -60.0), (90.0, 0.0, 0.0)])
def test_the_place_stays_where_it_is_seen_and_every_pixel_is_exact(
    a_slice_node: Any, degrees: tuple[float, ...]
) -> None:
    seen = SlicePlane(a_slice_node).to_pixels([PLACE])
    turn(a_slice_node, "Axial", degrees, PLACE)
    plane = SlicePlane(a_slice_node)
    assert np.allclose(plane.to_pixels([PLACE]), seen)
    assert np.allclose(plane.to_ras(*seen[0]), PLACE, atol=1e-6)
    assert np.allclose(axes(a_slice_node) @ axes(a_slice_node).T, np.eye(3))
    assert np.isclose(np.linalg.norm(np.subtract(plane.to_ras(10, 20), plane.to_ras(11, 20))), 0.5)


def test_a_tilt_about_the_horizontal_line_leaves_that_line(a_slice_node: Any) -> None:
    before = axes(a_slice_node)
    turn(a_slice_node, "Axial", (30.0, 0.0, 0.0), PLACE)
    after = axes(a_slice_node)
    assert np.allclose(after[:, 0], before[:, 0])
    assert np.isclose(np.degrees(np.arccos(after[:, 1] @ before[:, 1])), 30.0)


def test_angles_do_not_add_up_and_zeros_lead_back_exactly(a_slice_node: Any) -> None:
    before = matrix_from_vtk(a_slice_node.GetSliceToRAS())
    turn(a_slice_node, "Axial", (20.0, 10.0, 5.0), PLACE)
    once = axes(a_slice_node)
    turn(a_slice_node, "Axial", (20.0, 10.0, 5.0), PLACE)
    assert np.allclose(axes(a_slice_node), once)
    assert a_slice_node.GetOrientation() == "Reformat"
    turn(a_slice_node, "Axial", (0.0, 0.0, 0.0), PLACE)
    assert np.array_equal(axes(a_slice_node), before[:3, :3])
    assert np.allclose(matrix_from_vtk(a_slice_node.GetSliceToRAS()), before)
    assert a_slice_node.GetOrientation() == "Axial"


def test_a_plane_that_does_not_hold_the_place_goes_through_it_then(a_slice_node: Any) -> None:
    a_slice_node.SetSliceOffset(-7.0)
    turn(a_slice_node, "Axial", (15.0, 0.0, 0.0), PLACE)
    plane = SlicePlane(a_slice_node)
    assert np.allclose(plane.to_ras(*plane.to_pixels([PLACE])[0]), PLACE, atol=1e-6)
