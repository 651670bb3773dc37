"""What happens to the scene while the engine computes: it ends as the user left it, and the next click works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

TURN = np.array([[0.0, -1, 0, 30], [0.96, 0, -0.28, -20], [0.28, 0, 0.96, 5], [0, 0, 0, 1]])


def turn(spine: Any, *nodes: Any) -> Any:
    from SAMSpineLib.mrml.geometry import vtk_from_matrix

    transform = spine.host.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "patient")
    transform.SetMatrixTransformToParent(vtk_from_matrix(TURN))
    for node in nodes:
        node.SetAndObserveTransformNodeID(transform.GetID())
    return transform


def works_on(spine: Any, name: str = "L4") -> bool:
    """Tell whether the next click still makes a segment."""
    spine.choose(name)
    spine.click(name)
    spine.settle()
    return spine.dice(name) > 0.7


def test_a_saved_scene_is_opened_and_goes_on(l3: Any, tmp_path: Path) -> None:
    l3.click("L3", key="N")
    l3.settle()
    l3.host.key(".")
    l3.click("L4")
    l3.settle()
    saved = {name: l3.voxels(name) for name in ("L3", "L4")}
    markers = [(marker.segment_id, marker.places, marker.positive) for marker in l3.panel.desk.markers()]
    file = l3.host.save_scene(tmp_path)
    l3.host.open_scene(file)
    l3.volume = l3.state.inputVolume
    l3.host.show(l3.volume)
    l3.settle()
    assert [(one.segment_id, one.places, one.positive) for one in l3.panel.desk.markers()] == markers
    assert l3.host.ui.selectedSegmentLabel.text == "L4"
    for name, voxels in saved.items():
        assert np.array_equal(l3.voxels(name), voxels)
    l3.choose("L3")
    l3.click("L3")  # on the marker of the negative click, which goes
    l3.settle()
    assert len(l3.panel.desk.markers()) == 2
    assert l3.dice("L3") > 0.7
    assert np.array_equal(l3.voxels("L4"), saved["L4"])


def test_under_a_rotated_transform_everything_is_where_it_is_seen(spine: Any) -> None:
    turn(spine, spine.volume)
    spine.host.show(spine.volume)
    assert works_on(spine, "L3")
    assert spine.segmentation.GetTransformNodeID() == spine.volume.GetTransformNodeID()
    spine.tool("X")
    r, a, s = spine.place("L2")
    spine.choose("boxed")
    spine.host.drag("Red", [(r - 25, a - 25, s), (r, a, s), (r + 25, a + 25, s)])
    spine.settle()
    assert spine.dice("boxed", "L2") > 0.2


def test_a_volume_is_moved_after_the_first_click(l3: Any) -> None:
    turn(l3, l3.volume, l3.segmentation)
    l3.host.show(l3.volume)
    assert works_on(l3)
    assert l3.dice("L3") > 0.7


def test_a_non_linear_transform_is_refused_in_one_line(spine: Any) -> None:
    import slicer

    warp = spine.host.scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "warp")
    warp.SetAndObserveTransformFromParent(slicer.vtkOrientedGridTransform())
    spine.choose("L3")
    spine.volume.SetAndObserveTransformNodeID(warp.GetID())
    spine.tool("P")
    spine.host.click("Red", (0.0, 0.0, 0.0))
    spine.host.process()
    assert "'warp'" in spine.host.ui.statusLabel.text
    spine.volume.SetAndObserveTransformNodeID(None)
    assert works_on(spine, "L3")


def test_the_segmentation_is_deleted_while_the_engine_computes(l3: Any) -> None:
    l3.click("L4")
    l3.host.scene.RemoveNode(l3.segmentation)
    l3.settle()
    assert l3.segmentation is None
    assert works_on(l3)
    assert l3.names == ["L4"]


def test_the_volume_is_deleted_while_the_engine_computes(l3: Any) -> None:
    first = l3.segmentation
    before = l3.voxels("L3")
    l3.click("L4")
    from SAMSpineLib.mrml.segments import read_segment
    from SAMSpineLib.mrml.volumes import grid_of_node

    grid = grid_of_node(l3.volume)
    l3.host.scene.RemoveNode(l3.volume)
    l3.settle()
    assert np.array_equal(read_segment(first, "L3", grid) != 0, before)
    assert l3.state.inputVolume is None
    l3.load(l3.image)
    assert works_on(l3)
    assert l3.segmentation is not first


def test_the_scene_is_closed_while_the_engine_computes(l3: Any) -> None:
    l3.click("L4")
    l3.host.scene.Clear(False)
    l3.settle()
    assert l3.host.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    assert l3.panel.desk.markers() == ()
    l3.load(l3.image)
    assert works_on(l3)


def test_volumes_are_switched_while_the_engine_computes(l3: Any) -> None:
    first, before, segmentation = l3.volume, l3.voxels("L3"), l3.segmentation
    l3.click("L3", key="N")
    second = l3.load(l3.image)
    l3.settle()
    assert l3.names == []
    assert works_on(l3)
    l3.look_at(first)
    l3.settle()
    assert l3.segmentation is segmentation
    assert l3.names == ["L3"]
    assert np.array_equal(l3.voxels("L3"), before)
    assert [marker.positive for marker in l3.panel.desk.markers()] == [True]
    l3.look_at(second)
    assert l3.names == ["L4"]


def test_a_segment_is_deleted_and_made_again_by_the_next_click(l3: Any) -> None:
    l3.click("L2", key="N")
    l3.settle()
    l3.segmentation.GetSegmentation().RemoveSegment("L3")
    l3.host.process()
    assert l3.panel.desk.markers() == ()
    l3.click("L3")
    l3.settle()
    assert l3.names == ["L3"]
    assert l3.dice("L3") > 0.7
    assert len(l3.panel.desk.markers()) == 1


def test_the_module_is_reloaded_while_the_engine_computes(l3: Any) -> None:
    before = l3.voxels("L3")
    l3.click("L4")
    l3.host.widget.onReload()
    l3.host.process()
    assert np.array_equal(l3.voxels("L3"), before)
    assert l3.segmentation is not None
    l3.look_at(l3.volume)
    assert works_on(l3)
    assert np.array_equal(l3.voxels("L3"), before)


def test_a_segment_painted_by_hand_is_kept_by_the_next_click(l3: Any) -> None:
    from SAMSpineLib.mask_update import MaskUpdate
    from SAMSpineLib.mrml.segments import write
    from SAMSpineLib.mrml.volumes import grid_of_node

    mine = l3.voxels("L3")
    mine[:2, :2, :2] = True
    k, j, i = mine.shape
    everything = MaskUpdate(22, mine.view(np.uint8), (0, i - 1, 0, j - 1, 0, k - 1))
    write(l3.segmentation, "L3", everything, grid_of_node(l3.volume))
    l3.click("L2", key="N")
    l3.settle()
    assert l3.voxels("L3")[:2, :2, :2].all()


def test_renumbering_moves_the_chain_and_clicks_go_on(l3: Any) -> None:
    l3.host.key(".")
    l3.click("L4")
    l3.settle()
    before = {name: l3.voxels(name) for name in ("L3", "L4")}
    l3.panel.attempt(lambda: l3.panel.desk.renumber("L3", "L2"))
    l3.settle()
    assert sorted(l3.names) == ["L2", "L3"]
    assert np.array_equal(l3.voxels("L2"), before["L3"])
    assert np.array_equal(l3.voxels("L3"), before["L4"])
    assert len(l3.panel.desk.markers()) == 2
    l3.click("L5", key="N")
    l3.settle()
    assert len(l3.panel.desk.markers()) == 3


class Editor:
    """The Segment Editor's widget, as far as its undo goes."""

    def __init__(self, node: Any) -> None:
        import slicer

        self.node, self.history = node, slicer.vtkSegmentationHistory()
        self.history.SetSegmentation(node.GetSegmentation())

    def segmentationNode(self) -> Any:
        return self.node

    def saveStateForUndo(self) -> None:
        self.history.SaveState()


def test_a_click_is_a_step_of_the_segment_editors_undo_and_undone_there_it_is_undone_here(l3: Any) -> None:
    import slicer

    editor = Editor(l3.segmentation)
    slicer.modules.SegmentEditorWidget = type("Widget", (), {"editor": editor})
    first = l3.voxels("L3")
    l3.click("L3", key="N")
    l3.settle()
    assert not np.array_equal(l3.voxels("L3"), first)
    editor.history.RestorePreviousState()
    assert np.array_equal(l3.voxels("L3"), first)
    l3.click("L5", key="N")
    l3.settle()
    assert len(l3.panel.desk.markers()) == 2
    del slicer.modules.SegmentEditorWidget


def test_the_segment_editors_editable_area_holds_for_clicks(l3: Any) -> None:
    import slicer

    node = slicer.vtkMRMLSegmentEditorNode()
    node.SetSingletonTag("SegmentEditor")
    node = l3.host.scene.AddNode(node)
    node.SourceVolumeIntensityMaskOn()
    node.SetSourceVolumeIntensityMaskRange(250, 5000)
    l3.choose("L4")
    l3.click("L4")
    l3.settle()
    assert l3.voxels("L4").any()
    assert (l3.image.array[l3.voxels("L4")] >= 250).all()
