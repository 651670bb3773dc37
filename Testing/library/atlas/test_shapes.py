"""Whose shape stands in for whose."""

from __future__ import annotations

import numpy as np
import pytest

from SAMSpineLib.atlas.atlas import Atlas
from SAMSpineLib.atlas.shapes import MARGIN_MM, shapes_for
from SAMSpineLib.errors import LabelError
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.volume import Grid

TABLE = spine_labels()
SPACING = (2.0, 4.0, 5.0)


def atlas_of(*names: str, name: str = "a") -> Atlas:
    """Give an atlas of blocks, one above the other; none touches the border."""
    labels = np.zeros((4 * len(names) + 2, 9, 9), np.uint8)
    for place, level in enumerate(reversed(names)):
        labels[4 * place + 1 : 4 * place + 4, 3:6, 3:7] = TABLE.by_name(level).value
    matrix = np.diag([*SPACING, 1.0])
    matrix[:3, 3] = (-30, 20, 100)
    return Atlas(name, labels, Grid(labels.shape, matrix))


WHOLE = atlas_of(*[f"C{n}" for n in range(1, 8)], *[f"T{n}" for n in range(1, 14)], *[f"L{n}" for n in range(1, 7)],
                 "sacrum", "coccyx")  # fmt: skip


def names(level: str, atlases: list[Atlas], at_most: int = 8) -> list[str]:
    shapes = shapes_for(TABLE.by_name(level).value, atlases, at_most=at_most)
    return [TABLE.by_value(shape.value).name for shape in shapes]


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("C1", ["C1"]),
        ("C2", ["C2"]),
        ("C3", ["C3", "C4", "C5", "C6", "C7"]),
        ("C7", ["C7", "C6", "C5", "C4", "C3"]),
        ("T1", ["T1", "T2", "T3", "T4", "T5", "T6", "T7", "T8"]),
        ("T12", ["T12", "T11", "T13", "T10", "T9", "T8", "T7", "T6"]),
        ("L2", ["L2", "L1", "L3", "L4", "L5", "L6"]),
        ("L6", ["L6", "L5", "L4", "L3", "L2", "L1"]),
        ("sacrum", ["sacrum"]),
        ("coccyx", ["coccyx"]),
    ],
)
def test_the_level_itself_comes_first_then_the_nearest_of_its_region(level: str, expected: list[str]) -> None:
    assert names(level, [WHOLE]) == expected


@pytest.mark.parametrize("label", [one for one in TABLE if one.value in WHOLE.boxes], ids=lambda label: label.name)
def test_every_level_has_its_own_shape(label) -> None:
    first = shapes_for(label.value, [WHOLE], at_most=1)[0]
    assert first.value == label.value
    assert np.count_nonzero(first.mask) == np.count_nonzero(WHOLE.labels == label.value)


def test_the_same_level_of_every_atlas_goes_before_any_neighbour() -> None:
    first, second = atlas_of("L1", "L2", "L3", name="first"), atlas_of("L2", "L3", "L4", name="second")
    found = shapes_for(TABLE.by_name("L3").value, [first, second], at_most=5)
    assert [(shape.atlas, TABLE.by_value(shape.value).name) for shape in found] == [
        ("first", "L3"),
        ("second", "L3"),
        ("first", "L2"),
        ("second", "L2"),
        ("second", "L4"),
    ]
    assert names("L3", [first, second], at_most=2) == ["L3", "L3"]


def test_a_level_that_no_atlas_shows_is_stood_for_by_its_neighbours() -> None:
    assert names("L3", [atlas_of("T12", "L1", "L2", "L5")]) == ["L2", "L1", "L5"]
    assert names("C2", [atlas_of("C1", "C3")]) == []
    assert names("L3", []) == []


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("end", [0, -1])
def test_what_the_border_cuts_is_left_out(axis: int, end: int) -> None:
    whole = atlas_of("L1", "L2", "L3", name="whole")
    labels = whole.labels.copy()
    np.moveaxis(labels, axis, 0)[end][np.moveaxis(labels, axis, 0)[end] == 0] = TABLE.by_name("L2").value
    assert names("L2", [Atlas("cut", labels, whole.grid)]) == ["L1", "L3"]
    assert names("L2", [whole]) == ["L2", "L1", "L3"]


def test_a_shape_lies_where_it_lay_with_room_around_it() -> None:
    value = TABLE.by_name("L2").value
    shape = shapes_for(value, [atlas_of("L1", "L2", "L3")])[0]
    atlas = atlas_of("L1", "L2", "L3")
    before = atlas.grid.to_ras(np.argwhere(atlas.labels == value)[:, ::-1])
    after = shape.grid.to_ras(np.argwhere(shape.mask)[:, ::-1])
    np.testing.assert_allclose(after, before, atol=1e-9)
    assert shape.mask.dtype == bool
    assert shape.mask.shape == shape.grid.shape
    filled = np.argwhere(shape.mask)
    for room in (filled.min(axis=0), np.array(shape.mask.shape) - 1 - filled.max(axis=0)):
        assert (room * SPACING[::-1] >= MARGIN_MM).all()


def test_a_sacrum_in_pieces_is_one_shape() -> None:
    atlas = atlas_of("L5", "S1", "sacrum")
    shape = shapes_for(TABLE.by_name("sacrum").value, [atlas])[0]
    assert np.count_nonzero(shape.mask) == 2 * 36
    assert names("sacrum", [atlas_of("L5", "S1", "S2")]) == [], "pieces alone may not be all of it"


def test_a_value_nobody_knows_is_refused() -> None:
    with pytest.raises(LabelError, match="29"):
        shapes_for(29, [WHOLE])
