"""What an atlas is, and what is left of it when it is trimmed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from SAMSpineLib.atlas.atlas import Atlas, all_levels
from SAMSpineLib.errors import LabelError, VolumeError
from SAMSpineLib.volume import Grid, Volume

L2, L3, SACRUM, T13, T12, CANAL = 21, 22, 26, 28, 19, 200


def oblique_grid(shape: tuple[int, int, int], spacing: tuple[float, float, float] = (1.0, 1.5, 3.0)) -> Grid:
    """Give a grid that is turned about all axes, has unequal spacing, and runs leftwards along I."""
    matrix = np.eye(4)
    turn = Rotation.from_euler("xyz", [25, -15, 40], degrees=True).as_matrix()
    matrix[:3, :3] = turn @ np.diag([-spacing[0], spacing[1], spacing[2]])
    matrix[:3, 3] = (12.3, -45.6, 78.9)
    return Grid(shape, matrix)


def two_levels(shape: tuple[int, int, int] = (24, 20, 22)) -> np.ndarray:
    labels = np.zeros(shape, np.uint8)
    labels[8:11, 7:12, 9:14] = L3
    labels[13:16, 7:12, 9:14] = L2
    return labels


def places_of(labels: np.ndarray, grid: Grid, value: int) -> np.ndarray:
    return grid.to_ras(np.argwhere(labels == value)[:, ::-1])


def test_levels_come_from_head_to_foot_and_nothing_else_is_one() -> None:
    labels = np.zeros((6, 4, 4), np.int32)
    labels[:, 1, 1] = (SACRUM, L2, T13, T12, CANAL, 0)
    atlas = Atlas("a", labels, Grid(labels.shape, np.eye(4)))
    assert [level.name for level in atlas.levels] == ["T12", "T13", "L2", "sacrum"]
    assert (all_levels()[0].name, all_levels()[-1].name) == ("C1", "coccyx")


def test_a_trimmed_atlas_shows_the_same_places_on_an_oblique_grid() -> None:
    labels = two_levels()
    atlas = Atlas("a", labels, oblique_grid(labels.shape))
    trimmed = atlas.trimmed()
    assert trimmed.labels.shape == (12, 9, 9)
    for value in (L2, L3):
        before, after = places_of(labels, atlas.grid, value), places_of(trimmed.labels, trimmed.grid, value)
        np.testing.assert_allclose(after, before, atol=1e-9)


@pytest.mark.parametrize(
    "place", [(slice(0, 3), slice(7, 12)), (slice(21, 24), slice(7, 12)), (slice(8, 9), slice(20))]
)
def test_trimming_changes_nothing_about_what_the_border_cuts(place: tuple[slice, slice]) -> None:
    labels = two_levels()
    labels[(*place, slice(9, 14))] = SACRUM
    atlas = Atlas("a", labels, oblique_grid(labels.shape))
    for one in (atlas, atlas.trimmed()):
        assert [value for value in (L2, L3, SACRUM) if value in one.boxes and one.is_cut(value)] == [SACRUM]


def test_a_trimmed_image_shows_the_same_voxels_around_the_labels() -> None:
    labels = two_levels((60, 50, 54))
    grid = oblique_grid(labels.shape)
    image = Volume(np.random.default_rng(1).integers(-1000, 1000, labels.shape).astype(np.int16), grid, "ct", "CT")
    trimmed = Atlas("a", labels, grid, image).trimmed()
    assert trimmed.image is not None
    assert trimmed.image.array.size < image.array.size
    for place in places_of(labels, grid, L3)[::7]:
        there, here = trimmed.image.grid.voxel_at(place), grid.voxel_at(place)
        assert there is not None
        assert trimmed.image.array[there] == image.array[here]
    # Twenty millimetres of what surrounds the labels are kept where the image has them.
    beyond = trimmed.grid.to_ras([trimmed.grid.shape[2] - 1 + 18, 4, 4])
    assert trimmed.image.grid.voxel_at(beyond) is not None


def test_an_image_of_another_place_is_refused() -> None:
    labels = two_levels()
    far = np.eye(4)
    far[:3, 3] = 5000
    image = Volume(np.zeros((5, 5, 5), np.int16), Grid((5, 5, 5), far))
    with pytest.raises(VolumeError, match="shows nothing of what is labelled"):
        Atlas("a", labels, oblique_grid(labels.shape), image).trimmed()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"name": "../a"}, LabelError, "letters, digits"),
        ({"name": ""}, LabelError, "letters, digits"),
        ({"labels": np.full((3, 3, 3), 22.0)}, LabelError, "whole numbers"),
        ({"labels": np.full((3, 3, 3), True)}, LabelError, "whole numbers"),
        ({"labels": np.full((3, 3, 3), -1)}, LabelError, "0 to 65535"),
        ({"labels": np.full((3, 3, 3), 70000)}, LabelError, "0 to 65535"),
        ({"labels": np.full((3, 3, 3), 29)}, LabelError, "lacks the value"),
        ({"labels": np.full((3, 3, 3), CANAL)}, LabelError, "no level"),
        ({"labels": np.zeros((3, 3, 3), np.uint8)}, LabelError, "no level"),
        ({"labels": np.full((3, 3, 4), 22)}, VolumeError, "shape"),
    ],
)
def test_what_is_no_atlas_is_refused(change: dict[str, Any], error: type[Exception], words: str) -> None:
    good: dict[str, Any] = {"name": "a", "labels": np.full((3, 3, 3), 22), "grid": Grid((3, 3, 3), np.eye(4))}
    with pytest.raises(error, match=words):
        Atlas(**{**good, **change})
