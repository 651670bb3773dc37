"""Wholes and their parts in one truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from SAMSpineLib.errors import LabelError
from SAMSpineLib.evaluation.curves import RobotSettings
from SAMSpineLib.evaluation.joining import joined, labels_in, simulate_structures
from SAMSpineLib.labels import Label, spine_labels
from SAMSpineLib.mask_update import MaskUpdate
from SAMSpineLib.volume import Volume

TABLE = spine_labels()
L1, L2, SACRUM, S1, SPINE, DISC = (TABLE.by_name(name) for name in ("L1", "L2", "sacrum", "S1", "spine", "disc L1-L2"))


@pytest.fixture
def truth() -> Volume:
    """Give slabs of L1, a disc, L2, S1 and sacrum on top of each other."""
    array = np.zeros((12, 6, 6), np.uint8)
    for place, label in enumerate((L1, DISC, L2, S1, SACRUM)):
        array[2 * place : 2 * place + 2, 1:5, 1:5] = label.value
    return Volume.from_array(array, np.diag([2.0, 2.0, 2.0, 1.0]))


class Knowing:
    """A session that answers every click with the right mask."""

    def __init__(self, truth: Volume) -> None:
        self.truth, self.clicked = truth, set[int]()

    def set_volume(self, volume: Volume, /) -> None:
        self.clicked.clear()

    def select(self, label: Label, /) -> None:
        self.label = label

    def clear(self) -> None:
        self.clicked.discard(self.label.value)

    def add(self, prompt: Any, /) -> MaskUpdate:
        self.clicked.add(self.label.value)
        return MaskUpdate.nothing(self.label.value)

    def mask(self, value: int, /) -> np.ndarray:
        parts = [part.value for part in TABLE.parts(TABLE.by_value(value))]
        return (np.isin(self.truth.array, parts) & (value in self.clicked)).astype(np.uint8)


def test_a_spine_is_its_vertebrae_and_the_sacrum_without_discs(truth: Volume) -> None:
    whole = joined(truth, SPINE, TABLE).array == SPINE.value
    expected = np.isin(truth.array, [L1.value, L2.value, SACRUM.value, S1.value])
    np.testing.assert_array_equal(whole, expected)


def test_a_sacrum_holds_its_segments(truth: Volume) -> None:
    whole = joined(truth, SACRUM, TABLE).array
    assert (whole == SACRUM.value).sum() == 64
    assert (whole == L1.value).sum() == 32


def test_the_chain_of_the_spine_is_complete() -> None:
    names = {label.name for label in TABLE.parts(SPINE)}
    levels = [*(f"C{n}" for n in range(1, 8)), *(f"T{n}" for n in range(1, 14)), *(f"L{n}" for n in range(1, 7))]
    assert names == {*levels, "sacrum", "coccyx", "S1", "S2", "S3", "S4", "S5", "spine"}
    assert TABLE.parts(L1) == (L1,)


def test_a_whole_and_its_part_are_simulated_in_the_order_asked_for(truth: Volume) -> None:
    seen: list[tuple[int, int, str]] = []
    report = simulate_structures(
        Knowing(truth), truth, truth, [SPINE, L1], RobotSettings(clicks=2), lambda *step: seen.append(step)
    )
    assert list(report.labels) == ["spine", "L1"]
    assert [curve.dice for curve in report.labels.values()] == [[1.0, 1.0], [1.0, 1.0]]
    assert [step[:2] for step in seen] == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_label_that_is_missing_is_refused_before_any_click(truth: Volume) -> None:
    session = Knowing(truth)
    with pytest.raises(LabelError, match="no voxel of 'coccyx'"):
        simulate_structures(session, truth, truth, [L1, TABLE.by_name("coccyx")], RobotSettings(clicks=1))
    assert not session.clicked


def test_the_labels_of_a_truth_are_found_in_the_tables_order(truth: Volume) -> None:
    assert labels_in(truth, TABLE) == [L1, L2, SACRUM, S1, DISC]
