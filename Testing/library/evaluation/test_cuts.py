"""The slices of a volume, in whichever way it is stored."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from SAMSpineLib.errors import GeometryError
from SAMSpineLib.evaluation.cuts import cuts_of
from SAMSpineLib.volume import Grid, slices_of

# Columns point to P, I and R, as lumbar scans are often stored: I counts coronal, J axial, K sagittal slices.
PIR = np.array([[0.0, 0.0, 2.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])


def _turned(degrees):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("x", degrees, degrees=True).as_matrix()
    return Grid((5, 6, 7), matrix)


def test_directions_are_those_of_the_patient_and_not_of_the_file():
    cuts = cuts_of(Grid((40, 30, 20), PIR), "all")
    assert [(cut.name, cut.axis, cut.count) for cut in cuts] == [
        ("axial", 1, 30),
        ("sagittal", 0, 40),
        ("coronal", 2, 20),
    ]
    assert np.abs(cuts[0].normal).tolist() == [0, 0, 1]


def test_without_a_direction_the_slices_are_those_that_were_acquired():
    (cut,) = cuts_of(Grid((40, 30, 20), PIR))
    assert cut.name == "sagittal"  # 2 mm apart


@pytest.mark.parametrize("degrees", [0, 20, 44, 45, 46, 70])
def test_a_tilted_volume_has_each_direction_once_and_normals_across_its_slices(degrees):
    grid = _turned(degrees)
    cuts = cuts_of(grid, "all")
    assert sorted(cut.axis for cut in cuts) == [0, 1, 2]
    assert [cut.name for cut in cuts] == ["axial", "sagittal", "coronal"]
    for cut in cuts:
        i0, i1, j0, j1, k0, k1 = cut.extent(2)
        within = grid.to_ras([[i0, j0, k0], [i1, j1, k1]])
        assert np.dot(within[1] - within[0], cut.normal) == pytest.approx(0, abs=1e-9)


def test_a_slices_extent_is_all_of_it_and_its_area_what_is_marked():
    cut = cuts_of(Grid((4, 5, 6), np.eye(4)), "coronal")[0]
    mask = np.zeros((4, 5, 6), bool)
    mask[slices_of(cut.extent(3))] = True
    assert cut.areas(mask).tolist() == [0, 0, 0, 24, 0]


def test_a_single_image_has_but_one_direction_and_says_so():
    grid = Grid((1, 50, 60), np.eye(4))
    assert [cut.name for cut in cuts_of(grid, "all")] == ["axial"]
    assert cuts_of(grid)[0].name == "axial"
    with pytest.raises(GeometryError, match=r"sagittal slices are one voxel wide; choose axial"):
        cuts_of(grid, "sagittal")
