"""What only 3D Slicer itself can show: the Segment Editor beside the panel, the browser of terms, layouts, idleness."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = [
    pytest.mark.slicer,
    pytest.mark.skipif("PythonQt" not in sys.modules, reason="needs 3D Slicer around it; see Testing/module"),
]
SECONDS_IDLE = 3.0


@pytest.fixture
def editor(l3: Any) -> Any:
    """Give the Segment Editor's widget, which was opened on the panel's nodes and left for the panel."""
    open_editor(l3)
    widget = slicer_editor()
    l3.host.open()
    return widget


def slicer_editor() -> Any:
    import slicer

    return slicer.modules.segmenteditor.widgetRepresentation().self().editor


def open_editor(user: Any) -> None:
    import slicer

    slicer.util.selectModule("SegmentEditor")
    slicer_editor().setSegmentationNode(user.segmentation)
    slicer_editor().setSourceVolumeNode(user.volume)
    user.host.process()


def child(widget: Any, name: str) -> Any:
    import slicer

    return slicer.util.findChild(widget, name)


def cpu_seconds(pid: int) -> float:
    """Return how long a process has been on a processor, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_click_is_undone_with_the_segment_editors_button(l3: Any, editor: Any) -> None:
    first = l3.voxels("L3")
    l3.click("L3", key="N")
    l3.settle()
    assert not np.array_equal(l3.voxels("L3"), first)
    open_editor(l3)
    l3.host.press(child(editor, "UndoButton"))
    assert np.array_equal(l3.voxels("L3"), first)
    l3.host.open()
    l3.click("L2", key="N")
    l3.settle()
    assert [marker.positive for marker in l3.panel.desk.markers()] == [True, False]


def test_what_is_painted_in_the_segment_editor_stays(l3: Any, editor: Any) -> None:
    place, before = l3.place("L2"), l3.voxels("L3")
    open_editor(l3)
    editor.setCurrentSegmentID("L3")
    editor.setActiveEffectByName("Paint")
    l3.host.drag("Red", [place, tuple(np.add(place, (2, 0, 0))), tuple(np.add(place, (4, 0, 0)))])
    l3.host.process()
    markers = l3.panel.desk.markers()
    l3.host.open()
    painted = l3.voxels("L3") & ~before
    assert painted.any()
    assert len(markers) == 1
    assert editor.activeEffect() is None
    l3.click("L4", key="N")
    l3.settle()
    assert len(l3.panel.desk.markers()) == 2
    assert not (painted & ~l3.voxels("L3")).any()


def test_keys_that_both_have_act_once_and_where_one_is(l3: Any, editor: Any) -> None:
    for key, mode in (("N", "negativePoint"), ("N", "none"), ("P", "positivePoint"), ("D", "scribble")):
        l3.host.key(key)
        assert l3.state.mode == mode
    l3.host.key(".")
    l3.host.key(".")
    l3.host.key(",")
    l3.settle()
    assert l3.host.ui.selectedSegmentLabel.text == "L4"
    open_editor(l3)
    editor.setCurrentSegmentID("L3")
    selected = l3.state.selectedSegmentId
    l3.host.key(".")
    assert editor.currentSegmentID() != "L3"
    assert l3.state.selectedSegmentId == selected


@pytest.mark.parametrize("mode", ["inside", "intensity"])
def test_the_segment_editors_masks_hold_for_clicks(l3: Any, editor: Any, mode: str) -> None:
    node = editor.mrmlSegmentEditorNode()
    before = l3.voxels("L3")
    if mode == "inside":
        areas = child(editor, "MaskModeComboBox")
        areas.setCurrentIndex(areas.findData("L3"))
        assert node.GetMaskMode() == l3.segmentation.EditAllowedInsideSingleSegment
    else:
        node.SourceVolumeIntensityMaskOn()
        node.SetSourceVolumeIntensityMaskRange(250, 5000)
    l3.choose("inner")
    l3.host.click("Red", tuple(np.add(l3.place("L3"), (8, 0, 0))))
    l3.settle()
    found = l3.voxels("inner")
    assert found.any()
    if mode == "inside":
        assert not (found & ~before).any()
    else:
        assert (l3.image.array[found] >= 250).all()


def test_a_term_is_chosen_in_slicers_own_browser(spine: Any) -> None:
    import qt
    import slicer

    from SAMSpineLib.mrml.segment_labels import tag_of

    seen = []

    def choose() -> None:
        dialog = slicer.app.activeModalWidget()
        table = child(dialog, "tableWidget_Type")
        seen.extend(table.item(row, 0).text() for row in range(table.rowCount))
        table.setCurrentCell(seen.index("Sacrum") if "Sacrum" in seen else 0, 0)
        buttons = dialog.findChildren("QDialogButtonBox")[0].buttons()
        seen.extend(button.text for button in buttons)
        buttons[0].click() if buttons else dialog.accept()

    ui = spine.host.ui
    ui.manualSection.collapsed = False
    spine.host.process()
    qt.QTimer.singleShot(500, choose)
    spine.host.press(ui.terminologyButton)
    assert {"Sacrum", "OK", "Cancel"} <= set(seen)
    assert ui.newSegmentNameEdit.text == "Sacrum"
    spine.host.press(ui.addSegmentButton)
    segment = spine.segmentation.GetSegmentation().GetNthSegment(0)
    assert "^Sacrum" in tag_of(segment, segment.GetTerminologyEntryTagName())


def test_views_of_another_layout_take_clicks(l3: Any) -> None:
    import slicer

    l3.host.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutThreeOverThreeView)
    l3.host.process()
    l3.host.show(l3.volume)
    l3.choose("L4")
    l3.click("L4", view="Red+")
    l3.settle()
    assert l3.dice("L4") > 0.7
    l3.host.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    l3.host.process()
    l3.choose("L2")
    l3.click("L2")
    l3.settle()
    assert l3.dice("L2") > 0.7
    assert len(l3.panel.desk.markers()) == 3


def test_zoom_and_pan_go_on_while_a_tool_is_chosen(l3: Any) -> None:
    node = l3.host.view("Red").mrmlSliceNode()
    r, a, s = l3.place("L3")
    before = node.GetFieldOfView()
    l3.host.drag("Red", [(r, a, s), (r, a + 10, s), (r, a + 20, s)], button="Right")
    assert node.GetFieldOfView() != before
    origin = node.GetXYZOrigin()
    l3.host.drag("Red", [(r, a, s), (r + 10, a, s), (r + 20, a, s)], button="Middle")
    assert node.GetXYZOrigin() != origin
    assert len(l3.panel.desk.markers()) == 1


def test_a_segmentation_is_made_with_the_selectors_own_button(l3: Any) -> None:
    first = l3.segmentation
    l3.host.ui.segmentationSelector.addNode()
    l3.host.process()
    assert l3.segmentation is not first
    l3.choose("L4")
    l3.click("L4")
    l3.settle()
    assert l3.names == ["L4"]
    assert l3.dice("L4") > 0.7


def test_surfaces_are_shown_and_follow_the_clicks(l3: Any) -> None:
    l3.host.press(l3.host.ui.show3DButton)
    l3.settle()
    segment = l3.segmentation.GetSegmentation().GetSegment("L3")
    surface = segment.GetRepresentation("Closed surface")
    points = surface.GetNumberOfPoints()
    assert points > 100
    l3.click("L3", key="N")
    l3.settle()
    l3.host.run_for(1.0)
    surface = segment.GetRepresentation("Closed surface")
    assert surface is None or surface.GetNumberOfPoints() != points


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_nothing_runs_while_nothing_happens(spine_alone: Any) -> None:
    spine_alone.choose("L3")
    spine_alone.click("L3")
    spine_alone.settle()
    spine_alone.host.run_for(2.0)
    pids = (os.getpid(), spine_alone.panel.connection.engine.handshake.pid)
    before = [cpu_seconds(pid) for pid in pids]
    spine_alone.host.run_for(SECONDS_IDLE)
    assert [cpu_seconds(pid) - was < 0.05 * SECONDS_IDLE for pid, was in zip(pids, before, strict=True)] == [True, True]


def test_slicers_self_test_passes(host: Any) -> None:
    sys.modules["SAMSpine"].SAMSpineTest().runTest()
