"""Prompts: what they accept, and what they say about the rest."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from SAMSpineLib.errors import PromptError
from SAMSpineLib.prompts import Box, Lasso, MaskPrompt, Point, Scribble
from SAMSpineLib.volume import Grid

coordinates = st.tuples(*[st.floats(-2000, 2000)] * 3)
TRIANGLE = ((0.0, 0.0, 0.0), (10.0, 0.0, 0.0), (0.0, 10.0, 0.0))


@pytest.mark.parametrize("ras", [(1.0, 2.0), (1.0, 2.0, 3.0, 4.0), (1.0, np.nan, 3.0), (np.inf, 0.0, 0.0)])
def test_a_point_without_three_finite_coordinates_is_refused(ras: tuple[float, ...]) -> None:
    with pytest.raises(PromptError, match="three finite numbers"):
        Point(ras)


def test_a_point_takes_an_array_and_keeps_plain_numbers() -> None:
    point = Point(np.array([1, 2, 3], dtype=np.float32))
    assert point == Point((1.0, 2.0, 3.0))
    assert hash(point) == hash(Point((1.0, 2.0, 3.0)))
    assert all(type(value) is float for value in point.ras)


def test_points_of_another_sign_are_other_points() -> None:
    assert Point((1, 2, 3)) != Point((1, 2, 3), positive=False)


def test_a_prompt_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Point((1, 2, 3)).positive = False


@given(coordinates, coordinates)
def test_a_box_is_the_same_from_any_two_opposite_corners(a: tuple[float, ...], b: tuple[float, ...]) -> None:
    box = Box(a, b)
    assert box == Box(b, a)
    assert box == Box((a[0], b[1], a[2]), (b[0], a[1], b[2]))
    (centre,) = box.places
    assert all(low <= middle <= high for low, middle, high in zip(box.corner_a, centre, box.corner_b, strict=True))


def test_the_centre_of_a_box_is_halfway() -> None:
    assert Box((0, 10, 2), (4, -10, 2)).places[0] == (2.0, 0.0, 2.0)


def test_an_empty_scribble_and_a_lasso_of_two_points_are_refused() -> None:
    with pytest.raises(PromptError, match="at least one point"):
        Scribble(())
    with pytest.raises(PromptError, match=r"three points, got 2"):
        Lasso(TRIANGLE[:2])


def test_a_line_with_a_bad_vertex_is_refused() -> None:
    for kind in (Scribble, Lasso):
        with pytest.raises(PromptError, match="three finite numbers"):
            kind((*TRIANGLE, (0.0, np.nan, 0.0)))


def test_a_mask_prompt_must_fit_its_grid_and_mark_something() -> None:
    grid = Grid.centred_on((0, 0, 0), shape=(2, 3, 4), spacing=1)
    with pytest.raises(PromptError, match=r"\(4, 3, 2\).*\(2, 3, 4\)"):
        MaskPrompt(np.ones((4, 3, 2), bool), grid)
    with pytest.raises(PromptError, match="at least one voxel"):
        MaskPrompt(np.zeros((2, 3, 4), bool), grid)
    assert MaskPrompt(np.full((2, 3, 4), 0.2), grid).grid is grid
