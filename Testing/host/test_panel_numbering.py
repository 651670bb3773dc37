"""A numbering that nothing fixes: the panel offers the others, and one choice renames the whole chain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


@pytest.fixture
def ambiguous(spine: Any) -> Any:
    """Give a user whose autonomous run has left the numbering open, as that of the phantom is."""
    spine.host.press(spine.host.ui.autonomousButton)
    spine.settle()
    assert "ambiguous" in spine.host.status()
    return spine


def choose(user: Any, number: int) -> None:
    user.host.ui.numberingSelector.setCurrentIndex(number)
    user.host.ui.numberingSelector.activated.emit(number)
    user.settle()


def test_without_a_choice_none_is_shown(l3: Any) -> None:
    assert not l3.host.ui.numberingSelector.visible
    assert not l3.host.ui.numberingSelectorLabel.visible


def test_another_numbering_renames_the_chain_in_one_step_to_undo(ambiguous: Any) -> None:
    ui, names = ambiguous.host.ui, ambiguous.names
    selector = ui.numberingSelector
    assert selector.visible
    titles = [selector.itemText(n) for n in range(selector.count)]
    assert len(titles) >= 2
    assert all(title.endswith(" %)") for title in titles)
    assert titles[0].startswith(f"{names[0]} to {names[-1]}")
    masks = [ambiguous.voxels(name) for name in names]
    choose(ambiguous, 1)
    renamed = ambiguous.names
    assert renamed != names
    assert titles[1].startswith(f"{renamed[0]} to {renamed[-1]}")
    assert selector.currentIndex == 1
    for name, mask in zip(renamed, masks, strict=True):
        assert np.array_equal(ambiguous.voxels(name), mask)
    assert {ui.reviewTable.item(row, 0).text() for row in range(ui.reviewTable.rowCount)} == set(renamed)
    assert {ui.reviewTable.item(row, 1).text() for row in range(ui.reviewTable.rowCount)} == {"100 %"}
    ambiguous.host.key("Ctrl+Z")
    ambiguous.settle()
    assert ambiguous.names == names
    assert selector.currentIndex == 0
    ambiguous.host.key("Ctrl+Y")
    ambiguous.settle()
    assert ambiguous.names == renamed


def test_clicks_go_on_under_the_chosen_names_and_are_undone_first(ambiguous: Any) -> None:
    choose(ambiguous, 1)
    renamed = ambiguous.names
    row = ambiguous.panel.desk.review[-1]
    ambiguous.panel.select(row.segment_id)
    name = ambiguous.segmentation.GetSegmentation().GetSegment(row.segment_id).GetName()
    before = ambiguous.voxels(name)
    ambiguous.tool("N")
    r, a, s = ambiguous.panel.desk.bench.to_world(row.place)
    ambiguous.host.click("Red", (r + 8.0, a, s))  # beside the marker, on which a click takes the prompt back
    ambiguous.settle()
    assert not np.array_equal(ambiguous.voxels(name), before)
    ambiguous.host.key("Ctrl+Z")
    ambiguous.settle()
    assert ambiguous.names == renamed
    assert np.array_equal(ambiguous.voxels(name), before)
    ambiguous.host.key("Ctrl+Z")
    ambiguous.settle()
    assert ambiguous.names != renamed


def test_names_changed_by_hand_end_the_choice(ambiguous: Any) -> None:
    from SAMSpineLib.mrml.segment_labels import rename

    rename(ambiguous.segmentation, ambiguous.panel.desk.review[0].segment_id, "screw")
    ambiguous.panel.refreshSoon()
    ambiguous.settle()
    assert not ambiguous.host.ui.numberingSelector.visible
