"""Markups as prompts. Only defined control points count: a point still under the mouse is no prompt yet."""

from __future__ import annotations

from typing import Any

import numpy as np
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from SAMSpineLib.errors import PromptError
from SAMSpineLib.mrml.geometry import matrix_from_vtk
from SAMSpineLib.mrml.segments import read_segment
from SAMSpineLib.prompts import Box, Lasso, MaskPrompt, Point, Ras, Scribble
from SAMSpineLib.volume import Grid


def points_from_fiducials(node: Any, *, positive: bool | None = None) -> tuple[Point, ...]:
    """Return a fiducial node's defined control points as clicks in world coordinates (RAS mm).

    `positive` gives all of them one sign (one node per sign); None takes each point's own flag: selected is positive.
    """
    return tuple(
        Point(_world(node, n), bool(node.GetNthControlPointSelected(n)) if positive is None else positive)
        for n in _defined(node)
    )


def box_from_roi(node: Any) -> Box:
    """Return the bounds of a ROI node in world coordinates (RAS mm).

    A rotated ROI becomes the axis-aligned box around it, which is larger: `Box` has no orientation.

    Raises:
        PromptError: if the ROI has not been drawn yet.
    """
    half = np.array(node.GetSize(), dtype=float) / 2
    if node.GetNumberOfDefinedControlPoints() < 1 or not (half > 0).all():
        msg = f"The ROI '{node.GetName()}' has no extent yet: place both of its corners first"
        raise PromptError(msg)
    object_to_world: vtkMatrix4x4 = node.GetObjectToWorldMatrix()
    matrix = matrix_from_vtk(object_to_world)
    reach = np.abs(matrix[:3, :3]) @ half
    low, high = (matrix[:3, 3] - reach).tolist(), (matrix[:3, 3] + reach).tolist()
    return Box((low[0], low[1], low[2]), (high[0], high[1], high[2]))


def scribble_from_curve(node: Any, *, positive: bool = True) -> Scribble:
    """Return a curve node's defined control points as a scribble in world coordinates (RAS mm).

    Raises:
        PromptError: if no control point is defined.
    """
    return Scribble(tuple(_world(node, n) for n in _defined(node)), positive)


def lasso_from_curve(node: Any, *, positive: bool = True) -> Lasso:
    """Return a closed curve node's defined control points as a lasso in world coordinates (RAS mm).

    Raises:
        PromptError: if fewer than three control points are defined.
    """
    return Lasso(tuple(_world(node, n) for n in _defined(node)), positive)


def mask_from_segment(node: Any, segment_id: str, grid: Grid) -> MaskPrompt:
    """Return a segment on a world grid as a mask prompt.

    Raises:
        PromptError: if the segment has no voxel on the grid.
        LabelError: if there is no such segment.
    """
    return MaskPrompt(read_segment(node, segment_id, grid), grid)


def _defined(node: Any) -> list[int]:
    return [
        n
        for n in range(node.GetNumberOfControlPoints())
        if node.GetNthControlPointPositionStatus(n) == node.PositionDefined
    ]


def _world(node: Any, n: int) -> Ras:
    r, a, s = node.GetNthControlPointPositionWorld(n)
    return (r, a, s)
