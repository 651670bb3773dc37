"""What `describe` says of a grid, whichever way it is turned."""

from __future__ import annotations

import numpy as np
import pytest

from SAMSpineLib.io.description import describe_grid
from SAMSpineLib.volume import Grid


@pytest.mark.parametrize("number", range(48))
def test_the_letters_name_the_side_each_axis_grows_towards(number: int, make_grid) -> None:
    grid = make_grid(number)
    told = describe_grid(grid)
    sides = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    for column, letter in enumerate(told["orientation"]):
        axis, sign = sides[letter]
        assert sign * grid.ijk_to_ras[axis, column] > 0
        assert np.count_nonzero(np.round(grid.ijk_to_ras[:3, column], 9)) == 1
    assert told["oblique"] == 0
    assert told["spacing"] == [0.5, 0.8, 3.0]


def test_a_turned_grid_tells_its_angle_and_reaches_as_far_as_its_corners() -> None:
    angle = np.radians(30.0)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    told = describe_grid(Grid((1, 11, 11), matrix))
    assert told["oblique"] == 30.0
    assert told["orientation"] == "RAS"
    np.testing.assert_allclose(told["corners"], [[-5.0, 0.0, 0.0], [8.66, 13.66, 0.0]], atol=0.01)
