"""Clicks in the slice views become segments: the whole way, from the mouse to the node, through a real engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


def tag(spine: Any, name: str) -> str:
    from SAMSpineLib.mrml.segment_labels import tag_of

    segments = spine.segmentation.GetSegmentation()
    return tag_of(segments.GetSegment(segments.GetSegmentIdBySegmentName("L3")), name)


def test_a_click_on_l3_makes_a_named_segment(l3: Any) -> None:
    assert l3.dice("L3") > 0.7
    assert tag(l3, "DICOM.SegmentAlgorithmType") == "SEMIAUTOMATIC"
    assert l3.segmentation.GetName() == "phantom-1 spine"
    assert l3.host.ui.selectedSegmentLabel.text == "L3"
    assert float(l3.host.ui.segmentsTable.item(0, 3).text()) > 1


@pytest.mark.parametrize("view", ["Yellow", "Green"])
def test_every_view_takes_clicks(spine: Any, view: str) -> None:
    spine.choose("L2")
    spine.click("L2", view=view)
    spine.settle()
    assert spine.dice("L2") > 0.7


def test_an_oblique_view_takes_clicks(spine: Any) -> None:
    node = spine.host.view("Red").mrmlSliceNode()
    node.SetSliceToRASByNTP(0.4, 0.3, 0.87, 0.9, 0.0, -0.4, 0.0, 0.0, 0.0, 0)
    spine.choose("L4")
    spine.click("L4")
    spine.settle()
    assert spine.dice("L4") > 0.7


def test_a_negative_click_undo_and_redo(l3: Any) -> None:
    first = l3.voxels("L3")
    l3.click("L3", key="N")
    l3.settle()
    second = l3.voxels("L3")
    assert not np.array_equal(first, second)
    l3.host.key("Ctrl+Z")
    l3.settle()
    assert np.array_equal(l3.voxels("L3"), first)
    assert len(l3.panel.desk.markers()) == 1
    l3.host.key("Ctrl+Y")
    l3.settle()
    assert np.array_equal(l3.voxels("L3"), second)


def test_the_second_of_two_quick_clicks_is_a_prompt_too(l3: Any) -> None:
    l3.host.key("N")
    l3.host.second_click("Red", l3.place("L2"))
    l3.settle()
    assert [marker.positive for marker in l3.panel.desk.markers()] == [True, False]


def test_a_click_on_a_marker_takes_the_prompt_back(l3: Any) -> None:
    first = l3.voxels("L3")
    l3.click("L2", key="N")
    l3.settle()
    assert [marker.positive for marker in l3.panel.desk.markers()] == [True, False]
    l3.click("L2", key="P")
    l3.settle()
    assert [marker.positive for marker in l3.panel.desk.markers()] == [True]
    assert np.array_equal(l3.voxels("L3"), first)


def test_next_and_previous_level_go_on_with_the_neighbours(l3: Any) -> None:
    l3.host.key(".")
    l3.host.process()
    l3.click("L4")
    l3.host.key(",")
    l3.host.key(",")
    l3.host.process()
    l3.click("L2")
    l3.settle()
    assert sorted(l3.names) == ["L2", "L3", "L4"]
    assert all(l3.dice(name) > 0.7 for name in l3.names)


def test_a_box_makes_a_segment_of_any_name(spine: Any) -> None:
    spine.choose("my bone")
    spine.tool("X")
    r, a, s = spine.place("L3")
    spine.host.drag("Red", [(r - 25, a - 20, s), (r, a, s), (r + 25, a + 25, s)])
    spine.settle()
    assert spine.names == ["my bone"]
    assert spine.voxels("my bone").any()
    assert [marker.kind for marker in spine.panel.desk.markers()] == ["box"]


@pytest.mark.parametrize(("key", "kind"), [("D", "scribble"), ("L", "lasso")])
def test_what_is_drawn_by_dragging_is_one_prompt(spine: Any, key: str, kind: str) -> None:
    spine.choose("L3")
    spine.tool(key)
    r, a, s = spine.place("L3")
    spine.host.drag("Red", [(r - 8, a, s), (r, a + 6, s), (r + 8, a, s), (r, a - 6, s)])
    spine.settle()
    assert [marker.kind for marker in spine.panel.desk.markers()] == [kind]
    assert spine.dice("L3") > 0.4


def test_clear_empties_the_segment_and_undo_brings_it_back(l3: Any) -> None:
    first = l3.voxels("L3")
    l3.host.key("Shift+C")
    l3.settle()
    assert not l3.voxels("L3").any()
    assert l3.panel.desk.markers() == ()
    l3.host.key("Ctrl+Z")
    l3.settle()
    assert np.array_equal(l3.voxels("L3"), first)


def test_what_cannot_be_done_is_said_in_one_line(spine: Any) -> None:
    spine.tool("P")
    spine.host.click("Red", spine.place("L3"))
    assert "Select a segment" in spine.host.ui.statusLabel.text
    spine.choose("L3")
    spine.host.click("Red", (150.0, 150.0, 20.0))
    spine.settle()
    assert "outside" in spine.host.ui.statusLabel.text
    assert spine.panel.desk.markers() == ()
    spine.click("L3")
    spine.settle()
    assert spine.dice("L3") > 0.7


def test_without_a_tool_a_click_selects_the_segment_under_it(l3: Any) -> None:
    l3.choose("L4")
    l3.host.key("P")
    assert l3.state.mode == "none"
    l3.host.click("Red", l3.place("L3"))
    l3.settle()
    assert l3.host.ui.selectedSegmentLabel.text == "L3"
    assert len(l3.panel.desk.markers()) == 1


def test_the_wheel_and_other_buttons_are_slicers(l3: Any) -> None:
    node = l3.host.view("Red").mrmlSliceNode()
    before = node.GetSliceOffset()
    l3.host.wheel("Red", 1)
    assert node.GetSliceOffset() != before
    for button, modifiers in (("Right", ()), ("Middle", ()), ("Left", ("Shift",)), ("Left", ("Control",))):
        l3.host.click("Red", l3.place("L4"), button=button, modifiers=modifiers)
    l3.settle()
    assert len(l3.panel.desk.markers()) == 1


def test_markers_are_drawn_only_where_their_slice_is(l3: Any) -> None:
    views = l3.panel.clicks.views
    l3.host.move("Red", l3.place("L3"))
    assert views["Red"].count == 1
    l3.host.move("Red", l3.place("L5"))
    assert views["Red"].count == 0


def test_markers_are_drawn_over_what_came_later(l3: Any) -> None:
    from vtkmodules.vtkRenderingCore import vtkActor2D

    renderer = l3.host.view("Red").sliceView().renderWindow().GetRenderers().GetFirstRenderer()
    ours, other = l3.panel.clicks.views["Red"]._actor, vtkActor2D()
    renderer.AddViewProp(other)
    l3.click("L4", key="N")
    l3.settle()
    assert renderer.GetViewProps().GetLastProp() is ours
    renderer.RemoveViewProp(other)


def test_out_of_view_the_panel_takes_neither_keys_nor_clicks(l3: Any) -> None:
    l3.host.leave()
    mode = l3.state.mode
    l3.host.key("N")
    l3.host.click("Red", l3.place("L4"))
    l3.host.process()
    assert l3.state.mode == mode
    assert len(l3.panel.desk.markers()) == 1
    l3.host.open()
    l3.host.click("Red", l3.place("L4"))
    l3.settle()
    assert len(l3.panel.desk.markers()) == 2


def test_a_new_segment_takes_name_and_code_from_slicers_terminology(
    spine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The browser stands for Slicer's, which is not here; what is around it is real."""
    import qt
    import slicer

    from SAMSpineLib.labels import spine_labels
    from SAMSpineLib.mrml.segment_labels import tag_of

    coded, began = spine_labels().by_name("sacrum").terminology, []

    class Browser(qt.QWidget):
        def setTerminologyEntry(self, entry: Any) -> None:
            began.append(entry.GetTypeObject().GetCodeMeaning())

        def terminologyEntry(self, entry: Any) -> bool:
            return bool(slicer.modules.terminologies.logic().DeserializeTerminologyEntry(coded, entry))

    def press_ok() -> None:
        (buttons,) = slicer.util.findChildren(slicer.app.activeModalWidget(), className="QDialogButtonBox")
        buttons.buttons()[0].click()

    monkeypatch.setattr(slicer, "qSlicerTerminologyNavigatorWidget", Browser, raising=False)
    ui = spine.host.ui
    ui.manualSection.collapsed = False
    ui.newSegmentNameEdit.text = "L4"
    spine.host.process()
    qt.QTimer.singleShot(100, press_ok)
    spine.host.press(ui.terminologyButton)
    named = ui.newSegmentNameEdit.text
    spine.host.press(ui.addSegmentButton)
    segment = spine.segmentation.GetSegmentation().GetNthSegment(0)
    assert began == ["L4 vertebra"]
    assert named == "Sacrum"
    assert segment.GetName() == "sacrum"
    assert f"^{spine_labels().by_name('sacrum').code}^" in tag_of(segment, segment.GetTerminologyEntryTagName())
