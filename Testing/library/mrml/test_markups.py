"""Markups as prompts: defined points only, in world coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer")

from scipy.spatial.transform import Rotation

from SAMSpineLib.errors import PromptError
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.mask_update import MaskUpdate
from SAMSpineLib.mrml.geometry import vtk_from_matrix
from SAMSpineLib.mrml.markups import (
    box_from_roi,
    lasso_from_curve,
    mask_from_segment,
    points_from_fiducials,
    scribble_from_curve,
)
from SAMSpineLib.mrml.segments import create_segmentation, ensure_segment, write
from SAMSpineLib.prompts import Point
from SAMSpineLib.volume import Volume

PLACES = ((1.0, 2.0, 3.0), (-4.0, 5.5, 6.0), (7.0, -8.0, 9.25))
MOVE = np.eye(4)
MOVE[:3, :3] = Rotation.from_euler("z", 90, degrees=True).as_matrix()
MOVE[:3, 3] = (10, 20, 30)


def _markups(scene: Any, kind: str, places: tuple[tuple[float, float, float], ...] = PLACES) -> Any:
    node = scene.AddNewNodeByClass(f"vtkMRMLMarkups{kind}Node", kind)
    for place in places:
        node.AddControlPoint(list(place))
    return node


def _moved(scene: Any, node: Any) -> Any:
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    transform.SetMatrixTransformToParent(vtk_from_matrix(MOVE))
    node.SetAndObserveTransformNodeID(transform.GetID())
    return node


@pytest.mark.parametrize("positive", [True, False])
def test_one_node_per_sign(scene: Any, positive: bool) -> None:
    points = points_from_fiducials(_markups(scene, "Fiducial"), positive=positive)
    assert points == tuple(Point(place, positive) for place in PLACES)


def test_without_a_sign_the_selected_points_are_the_positive_ones(scene: Any) -> None:
    node = _markups(scene, "Fiducial")
    node.SetNthControlPointSelected(1, False)
    assert [point.positive for point in points_from_fiducials(node)] == [True, False, True]


def test_a_point_that_is_still_being_placed_is_no_prompt(scene: Any) -> None:
    node = _markups(scene, "Fiducial")
    node.SetNthControlPointPositionWorld(0, [9, 9, 9], node.PositionPreview)
    node.UnsetNthControlPointPosition(2)
    assert [point.ras for point in points_from_fiducials(node)] == [PLACES[1]]


def test_points_are_in_the_world_whatever_the_parent_transform(scene: Any) -> None:
    points = points_from_fiducials(_moved(scene, _markups(scene, "Fiducial")))
    assert np.allclose(points[0].ras, (10 - 2, 20 + 1, 30 + 3))


def test_an_empty_node_has_no_points(scene: Any) -> None:
    assert points_from_fiducials(_markups(scene, "Fiducial", ())) == ()


def test_an_upright_roi_is_its_own_box(scene: Any) -> None:
    roi = _markups(scene, "ROI", ())
    roi.SetCenter([10, 20, 30])
    roi.SetSize([4, 6, 8])
    box = box_from_roi(roi)
    assert np.allclose((box.corner_a, box.corner_b), ((8, 17, 26), (12, 23, 34)))


def test_a_turned_roi_becomes_the_box_around_it(scene: Any) -> None:
    roi = _markups(scene, "ROI", ())
    roi.SetCenter([0, 0, 0])
    roi.SetSize([10, 10, 2])
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("z", 45, degrees=True).as_matrix()
    roi.SetAndObserveObjectToNodeMatrix(vtk_from_matrix(turn))
    box = box_from_roi(roi)
    assert np.allclose(box.corner_b, (np.sqrt(50), np.sqrt(50), 1))
    assert np.allclose(box.corner_a, (-np.sqrt(50), -np.sqrt(50), -1))


def test_a_roi_under_a_transform_is_in_the_world(scene: Any) -> None:
    roi = _markups(scene, "ROI", ())
    roi.SetCenter([1, 2, 3])
    roi.SetSize([2, 4, 6])
    bounds = np.zeros(6)
    box = box_from_roi(_moved(scene, roi))
    roi.GetRASBounds(bounds)
    assert np.allclose(box.corner_a, (10 - 4, 20 + 0, 30 + 0))
    assert np.allclose((box.corner_a, box.corner_b), (bounds[::2], bounds[1::2]))


def test_a_roi_without_extent_is_refused(scene: Any) -> None:
    with pytest.raises(PromptError, match="has no extent yet"):
        box_from_roi(_markups(scene, "ROI", ()))


def test_curves_become_scribbles_and_lassos(scene: Any) -> None:
    assert scribble_from_curve(_markups(scene, "Curve")).points == PLACES
    assert not scribble_from_curve(_markups(scene, "Curve"), positive=False).positive
    assert lasso_from_curve(_markups(scene, "ClosedCurve")).points == PLACES
    moved = lasso_from_curve(_moved(scene, _markups(scene, "ClosedCurve")))
    assert np.allclose(moved.points[0], (8, 21, 33))


def test_a_lasso_with_a_point_still_being_placed_needs_three_others(scene: Any) -> None:
    node = _markups(scene, "ClosedCurve")
    node.UnsetNthControlPointPosition(1)
    with pytest.raises(PromptError, match=r"three points, got 2"):
        lasso_from_curve(node)
    with pytest.raises(PromptError, match="at least one point"):
        scribble_from_curve(_markups(scene, "Curve", ()))


def test_a_segment_becomes_a_mask_prompt(scene: Any, a_volume: Volume, a_volume_node: Any) -> None:
    node = create_segmentation(scene, a_volume_node, "spine")
    segment_id = ensure_segment(node, spine_labels().by_name("L3"))
    with pytest.raises(PromptError, match="at least one voxel"):
        mask_from_segment(node, segment_id, a_volume.grid)
    write(node, segment_id, MaskUpdate(22, np.ones((2, 3, 4), np.uint8), (5, 8, 6, 8, 7, 8)), a_volume.grid)
    prompt = mask_from_segment(node, segment_id, a_volume.grid)
    assert prompt.grid is a_volume.grid
    assert np.argwhere(prompt.mask).min(axis=0).tolist() == [7, 6, 5]
    assert prompt.mask.sum() == 24
