"""The surface of a segment: in the frame that it names, its inside inside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("trame_slicer", reason="needs the extra `app`")

from SAMSpineLib.app.surfaces import write_stl
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.mrml.crops import Crop
from SAMSpineLib.volume import Grid

from .stl import read_stl, volume_of

DEPTH, ROW, COLUMN = np.indices((20, 22, 24))
BALL = ((DEPTH - 9.5) / 9) ** 2 + ((ROW - 10.5) / 10) ** 2 + ((COLUMN - 11.5) / 11) ** 2 < 1


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, -1, 1), (1, -1, 1)], ids=["RAS", "LPS", "left-handed"])
def test_it_is_in_lps_millimetres_and_faces_outwards(tmp_path: Path, signs: tuple[int, int, int]) -> None:
    matrix = np.diag([*(np.array(signs) * [0.7, 0.8, 1.5]), 1.0])
    matrix[:3, 3] = (10, 20, 30)
    grid = Grid((60, 60, 60), matrix)
    write_stl(tmp_path / "l3.stl", Crop("L3", spine_labels().by_name("L3"), (10, 33, 5, 26, 7, 26), BALL), grid)
    header, triangles = read_stl(tmp_path / "l3.stl")
    assert "SPACE=LPS" in header
    assert volume_of(triangles) == pytest.approx(BALL.sum() * grid.voxel_volume, rel=0.02)
    corners = triangles.reshape(-1, 3) * [-1, -1, 1]
    middle = (corners.min(axis=0) + corners.max(axis=0)) / 2
    assert np.allclose(middle, grid.to_ras([21.5, 15.5, 16.5]), atol=0.1)


def test_a_segment_at_the_border_is_closed(tmp_path: Path) -> None:
    whole = np.ones((4, 4, 4), bool)
    grid = Grid((4, 4, 4), np.eye(4))
    write_stl(tmp_path / "l3.stl", Crop("L3", spine_labels().by_name("L3"), (0, 3, 0, 3, 0, 3), whole), grid)
    _, triangles = read_stl(tmp_path / "l3.stl")
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    there = {tuple(edge.ravel()) for edge in edges}
    assert there == {tuple(edge[::-1].ravel()) for edge in edges}
