"""The numberings to choose from: aligned with what was segmented, each with its probability."""

from __future__ import annotations

import numpy as np
import pytest

from SAMSpineLib.engine.autonomous.level_chain import LevelSettings
from SAMSpineLib.engine.autonomous.levels import LevelAssignment, assign_levels
from SAMSpineLib.engine.autonomous.numbering import Numbering, numberings_of
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.localiser.localisation import LEVEL_VALUES

VALUE = {name: spine_labels().by_name(name).value for name in ("T11", "T12", "T13", "L1", "L2", "L4", "L5", "sacrum")}
T11, T12, T13, L1, L2, L4, L5, SACRUM = VALUE.values()


def unsure(first: float) -> LevelAssignment:
    """Return a chain of three that begins with T12 with a probability, and else with L1."""
    evidence = np.full((3, len(LEVEL_VALUES)), 1e-9)
    for row in range(3):
        evidence[row, LEVEL_VALUES.index(T12) + row] = first
        evidence[row, LEVEL_VALUES.index(L1) + row] += 1 - first
    return assign_levels(np.log(evidence), None, settings=LevelSettings(temperature=1.0, floor=1e-6, sure=1.1))


def test_the_chances_of_all_numberings_are_told_likeliest_first_and_are_at_most_one() -> None:
    found = unsure(0.55)
    assert len(found.chances) == 1 + len(found.alternatives)
    assert list(found.chances) == sorted(found.chances, reverse=True)
    assert 0.9 < sum(found.chances) <= 1 + 1e-9
    first, second = found.chances[:2]
    assert first / second == pytest.approx((0.55 / 0.45) ** 3, rel=0.02)
    assert found.chances[0] <= min(found.confidence) + 1e-9


def test_titles_say_ends_and_chance() -> None:
    found = unsure(0.55)
    titles = [one.title for one in numberings_of(found, found.values)]
    assert titles[0].startswith("T12 to L2 (6")
    assert titles[1].startswith("L1 to L3 (3")


@pytest.mark.parametrize(
    ("values", "title"),
    [
        ((L4,), "L4 (50 %)"),
        ((T11, T12, T13, L1), "T11 to L1, with T13 (50 %)"),
        ((T11, L1), "T11 to L1, without T12 (50 %)"),
        ((L4, SACRUM), "L4 to sacrum, without L5 (50 %)"),
        ((L4, L5, SACRUM), "L4 to sacrum (50 %)"),
    ],
)
def test_what_is_rare_is_said(values: tuple[int, ...], title: str) -> None:
    assert Numbering(values, 0.5).title == title


def test_only_what_was_segmented_is_numbered_and_what_would_be_no_vertebra_is_not_offered() -> None:
    assigned = LevelAssignment(
        (0, L1, L2), (1.0,) * 3, ((0, T12, L1), (T12, 0, L1), (T12, L1, L2)), True, "", (0.4, 0.3, 0.2, 0.05)
    )
    found = numberings_of(assigned, [L1, L2])
    assert [one.values for one in found] == [(L1, L2), (T12, L1)]
    assert [one.probability for one in found] == pytest.approx([0.45, 0.3])


def test_without_doubt_there_is_nothing_to_choose() -> None:
    assert numberings_of(LevelAssignment((L1, L2), (1.0,) * 2, (), False, "", (0.99,)), [L1, L2]) == ()
    assert numberings_of(LevelAssignment((), (), (), False, ""), []) == ()
