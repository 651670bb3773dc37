"""A slice view as numbers: any orientation, and what of a drawing lies in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer")

import slicer

from SAMSpineLib.mrml.marker import Marker
from SAMSpineLib.mrml.slice_plane import SlicePlane
from SAMSpineLib.prompts import Box, Lasso, Point, Scribble

TURNS = {
    "axial": (0, 0, 1, -1, 0, 0, 0, 0, 50, 0),
    "sagittal": (1, 0, 0, 0, -1, 0, 4, 0, 0, 0),
    "oblique": (0.4, 0.3, 0.87, 0.9, 0.0, -0.4, 3.0, -2.0, 20.0, 0),
}


@pytest.fixture(params=list(TURNS))
def plane(request: pytest.FixtureRequest) -> SlicePlane:
    node: Any = slicer.vtkMRMLSliceNode()
    node.SetDimensions(300, 200, 1)
    node.SetFieldOfView(150, 100, 2)
    node.SetSliceToRASByNTP(*TURNS[request.param])
    return SlicePlane(node)


def marker(kind: str, places: tuple[Any, ...]) -> Marker:
    prompts = {
        "point": lambda: Point(places[0]),
        "box": lambda: Box(*places),
        "scribble": lambda: Scribble(places),
        "lasso": lambda: Lasso(places),
    }
    return Marker("L3", prompts[kind](), kind, places, True)


def test_a_pixel_and_its_place_are_the_same(plane: SlicePlane) -> None:
    assert np.allclose(plane.to_pixels([plane.to_ras(30, 170), plane.to_ras(299, 0)]), [[30, 170], [299, 0]])


def test_what_is_drawn_in_the_slice_is_hit_where_it_is_drawn(plane: SlicePlane) -> None:
    point = marker("point", (plane.to_ras(50, 60),))
    line = marker("scribble", (plane.to_ras(100, 100), plane.to_ras(200, 100)))
    ring = marker("lasso", tuple(plane.to_ras(*xy) for xy in ((20, 120), (60, 120), (60, 160))))
    every = [point, line, ring]
    assert all(plane.shows(one) for one in every)
    assert plane.hit(every, 54, 62) is point
    assert plane.hit(every, 150, 105) is line
    assert plane.hit(every, 40, 140) is ring  # its closing side
    assert plane.hit(every, 250, 20) is None


def test_a_box_is_drawn_wherever_the_slice_cuts_it(plane: SlicePlane) -> None:
    middle = np.array(plane.to_ras(150, 100))
    box = marker("box", (tuple(middle - 20), tuple(middle + 20)))
    assert plane.shows(box)
    outline = plane.outline(box, 0)
    assert outline.min(axis=0)[0] < 150 < outline.max(axis=0)[0]
    assert plane.hit([box], *outline[0]) is box
    assert plane.hit([box], 150, 100) is None


def test_what_lies_in_another_slice_is_neither_drawn_nor_hit() -> None:
    node: Any = slicer.vtkMRMLSliceNode()
    node.SetDimensions(300, 200, 1)
    node.SetFieldOfView(150, 100, 2)
    plane = SlicePlane(node)
    r, a, s = plane.to_ras(50, 60)
    near, far = marker("point", ((r, a, s + 0.9),)), marker("point", ((r, a, s + 3),))
    assert plane.hit([near], 50, 60) is near
    assert plane.hit([far], 50, 60) is None
