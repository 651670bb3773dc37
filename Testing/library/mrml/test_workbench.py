"""A panel's work with the scene: what an engine says arrives in segments, and what the user did stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer")

import slicer

from SAMSpineLib.errors import GeometryError, LabelError
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.mask_update import MaskUpdate
from SAMSpineLib.mrml.geometry import vtk_from_matrix
from SAMSpineLib.mrml.segment_labels import add_custom_segment, labels_of, status_of, tag_of, terminology_of
from SAMSpineLib.mrml.segments import create_segmentation, ensure_segment, read_segment
from SAMSpineLib.mrml.volumes import node_from_volume
from SAMSpineLib.mrml.workbench import Workbench
from SAMSpineLib.volume import Extent, Volume, slices_of

L2, L3, L4, L5, T12 = (spine_labels().by_name(name) for name in ("L2", "L3", "L4", "L5", "T12"))
EXTENT = (4, 13, 5, 12, 6, 11)
TURN = np.array([[0.0, -1, 0, 30], [1, 0, 0, -20], [0, 0, 1, 5], [0, 0, 0, 1]])


class Engine:
    """A label map, and the updates that change it."""

    def __init__(self, volume: Volume, labels: np.ndarray | None = None) -> None:
        self.result = np.zeros(volume.shape, np.uint16) if labels is None else labels.copy()

    def say(self, value: int, mask: np.ndarray, extent: Extent = EXTENT, overwritten: tuple[int, ...] = ()) -> Any:
        crop = self.result[slices_of(extent)]
        crop[crop == value] = 0
        crop[mask != 0] = value
        return MaskUpdate(value, mask.astype(np.uint8), extent, overwritten)


@pytest.fixture
def bench(a_volume_node: Any, a_segmentation: Any) -> Workbench:
    return Workbench(a_volume_node, a_segmentation)


@pytest.fixture
def engine(a_volume: Volume) -> Engine:
    return Engine(a_volume)


def _block(low: int = 0, high: int = 6) -> np.ndarray:
    mask = np.zeros((6, 8, 10), np.uint8)
    mask[low:high, 1:7, 2:9] = 1
    return mask


def _voxels(bench: Workbench, segment_id: str) -> np.ndarray:
    return read_segment(bench.node, segment_id, bench.grid)


def _paint(bench: Workbench, segment_id: str, mask: np.ndarray) -> None:
    """Do what a user does with another tool."""
    from SAMSpineLib.mrml.segments import write

    k, j, i = bench.volume.shape
    write(bench.node, segment_id, MaskUpdate(1, mask.astype(np.uint8), (0, i - 1, 0, j - 1, 0, k - 1)), bench.grid)


def test_an_answer_arrives_in_a_named_segment_with_tags_and_status(bench: Workbench, engine: Engine) -> None:
    segment_id = bench.apply(engine.say(L3.value, _block()), engine.result)
    segment = bench.node.GetSegmentation().GetSegment(segment_id)
    assert segment.GetName() == "L3"
    assert terminology_of(segment) == L3.terminology
    assert tag_of(segment, "DICOM.SegmentAlgorithmType") == "SEMIAUTOMATIC"
    assert tag_of(segment, "DICOM.SegmentAlgorithmName") == "SAMSpine"
    assert status_of(bench.node, segment_id) == "in progress"
    assert np.array_equal(_voxels(bench, segment_id), engine.result == L3.value)
    assert bench.millilitres(segment_id) == pytest.approx(_block().sum() * bench.volume.grid.voxel_volume / 1000)


def test_what_the_user_painted_and_erased_outlives_the_next_answer(bench: Workbench, engine: Engine) -> None:
    l3 = bench.apply(engine.say(L3.value, _block(0, 3)), engine.result)
    mine = _voxels(bench, l3)
    mine[6, 6, 6:9], mine[15, 2, 2] = 0, 1
    _paint(bench, l3, mine)
    bench.apply(engine.say(L3.value, _block(0, 5)), engine.result)
    found = _voxels(bench, l3)
    assert not found[6, 6, 6:9].any()
    assert found[15, 2, 2]
    assert found[9:11, 6:12, 6:13].all()


def test_undo_gives_an_overwritten_neighbour_its_voxels_back(bench: Workbench, engine: Engine) -> None:
    l4 = bench.apply(engine.say(L4.value, _block(0, 4)), engine.result)
    before = engine.result.copy()
    l3 = bench.apply(engine.say(L3.value, _block(2, 6), overwritten=(L4.value,)), engine.result)
    assert np.array_equal(_voxels(bench, l4), engine.result == L4.value)
    crop = before[slices_of(EXTENT)]
    bench.apply(MaskUpdate(L3.value, (crop == L3.value).astype(np.uint8), EXTENT, (L4.value,)), before)
    assert np.array_equal(_voxels(bench, l4), before == L4.value)
    assert not _voxels(bench, l3).any()
    assert bench.millilitres(l4) == pytest.approx((before == L4.value).sum() * bench.volume.grid.voxel_volume / 1000)


def test_the_segments_of_a_scene_become_the_engines_label_map(a_volume_node: Any, three_vertebrae: Any) -> None:
    bench = Workbench(a_volume_node, three_vertebrae)
    labels = bench.label_map()
    for segment_id, label in bench.labels.items():
        assert np.array_equal(labels == label.value, _voxels(bench, segment_id))
    assert not (bench.label_map(without={L4.value}) == L4.value).any()


def test_an_engine_that_repeats_steps_touches_no_segment(bench: Workbench, engine: Engine) -> None:
    l3 = ensure_segment(bench.node, L3)
    bench.note(engine.say(L3.value, _block(0, 3)), engine.result)
    assert not _voxels(bench, l3).any()
    bench.apply(engine.say(L3.value, _block(0, 4)), engine.result)
    assert _voxels(bench, l3).sum() == _block(3, 4).sum()


def test_a_segment_of_any_name_has_a_value_of_its_own_that_lasts(bench: Workbench) -> None:
    first = add_custom_segment(bench.node, "Screw left", "x~SCT^1^y~SCT^2^z~^^~~^^~^^")
    ensure_segment(bench.node, L3)
    second = add_custom_segment(bench.node, "Screw right")
    values = {one: label.value for one, label in bench.labels.items()}
    assert values[first] >= 1000
    assert len(set(values.values())) == 3
    bench.node.GetSegmentation().RemoveSegment(first)
    assert labels_of(bench.node)[second].value == values[second]
    with pytest.raises(LabelError, match="already"):
        add_custom_segment(bench.node, "Screw right")
    with pytest.raises(LabelError, match="name"):
        add_custom_segment(bench.node, "  ")


def test_a_renamed_segment_is_known_by_its_code_and_a_second_one_is_its_own(bench: Workbench) -> None:
    l3 = ensure_segment(bench.node, L3)
    bench.node.GetSegmentation().GetSegment(l3).SetName("my favourite")
    assert bench.label_of(l3) == L3
    twin = ensure_segment(bench.node, L4)
    segment = bench.node.GetSegmentation().GetSegment(twin)
    segment.SetName("copy")
    segment.SetTag(segment.GetTerminologyEntryTagName(), L3.terminology)
    assert bench.label_of(twin).value >= 1000


@pytest.mark.parametrize("moved", ["both", "volume only"])
def test_under_a_rotated_transform_a_click_and_its_answer_lie_where_the_user_sees_them(
    scene: Any, make_volume: Callable[..., Volume], lattice: np.ndarray, moved: str
) -> None:
    volume_node = node_from_volume(scene, make_volume(lattice))
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "patient")
    transform.SetMatrixTransformToParent(vtk_from_matrix(TURN))
    node = create_segmentation(scene, volume_node, "spine")
    volume_node.SetAndObserveTransformNodeID(transform.GetID())
    if moved == "both":
        node.SetAndObserveTransformNodeID(transform.GetID())
        bench = Workbench(volume_node, node)
        engine = Engine(bench.volume)
        l3 = bench.apply(engine.say(L3.value, _block()), engine.result)
        assert np.array_equal(_voxels(bench, l3), engine.result == L3.value)
    else:
        bench = Workbench(volume_node, node)
    seen = TURN[:3, :3] @ bench.volume.grid.to_ras([9, 8, 7]) + TURN[:3, 3]
    prompt = bench.prompt("point", [tuple(seen)])
    assert bench.volume.grid.voxel_at(prompt.ras) == (7, 8, 9)
    assert np.allclose(bench.places(prompt), seen)


def test_a_volume_may_be_moved_while_the_engine_holds_it(scene: Any, bench: Workbench, engine: Engine) -> None:
    l3 = bench.apply(engine.say(L3.value, _block(0, 3)), engine.result)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "patient")
    transform.SetMatrixTransformToParent(vtk_from_matrix(TURN))
    for node in (bench.volume_node, bench.node):
        node.SetAndObserveTransformNodeID(transform.GetID())
    bench.apply(engine.say(L3.value, _block(0, 5)), engine.result)
    assert np.array_equal(_voxels(bench, l3), engine.result == L3.value)


def test_a_box_holds_all_corners_that_were_drawn(bench: Workbench) -> None:
    box = bench.prompt("box", [(0, 0, 150), (8, 0, 150), (8, 9, 150), (0, 9, 150)])
    assert box.corner_a == (0, 0, 150)
    assert box.corner_b == (8, 9, 150)
    assert bench.places(box) == (box.corner_a, box.corner_b)


def test_a_non_linear_transform_is_refused_with_its_name(scene: Any, a_volume_node: Any, a_segmentation: Any) -> None:
    warp = scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "warp")
    warp.SetAndObserveTransformFromParent(slicer.vtkOrientedGridTransform())
    a_volume_node.SetAndObserveTransformNodeID(warp.GetID())
    with pytest.raises(GeometryError, match="'warp'"):
        Workbench(a_volume_node, a_segmentation)


def test_a_segmentation_of_another_volume_is_refused(
    scene: Any, three_vertebrae: Any, make_volume: Callable[..., Volume]
) -> None:
    other = node_from_volume(scene, make_volume(np.diag([1.3, 1.3, 1.3, 1.0])))
    with pytest.raises(GeometryError, match="another lattice"):
        Workbench(other, three_vertebrae)


# The Segment Editor's settings.


@pytest.fixture
def editor(scene: Any, bench: Workbench) -> Any:
    node = slicer.vtkMRMLSegmentEditorNode()
    node.SetSingletonTag("SegmentEditor")
    node = scene.AddNode(node)
    node.SetAndObserveSegmentationNode(bench.node)
    return node


def test_only_the_editable_area_changes(bench: Workbench, engine: Engine, editor: Any) -> None:
    mask = add_custom_segment(bench.node, "area")
    area = np.zeros(bench.volume.shape, np.uint8)
    area[8:, :, :] = 1
    _paint(bench, mask, area)
    editor.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment)
    editor.SetMaskSegmentID(mask)
    editor.SetOverwriteMode(editor.OverwriteNone)
    l3 = bench.apply(engine.say(L3.value, _block()), engine.result)
    assert np.array_equal(_voxels(bench, l3), (engine.result == L3.value) & (area > 0))


def test_the_editable_area_is_that_of_before_the_click(bench: Workbench, engine: Engine, editor: Any) -> None:
    l4 = bench.apply(engine.say(L4.value, _block(2, 6)), engine.result)
    before = _voxels(bench, l4) > 0
    editor.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment)
    editor.SetMaskSegmentID(l4)
    l3 = bench.apply(engine.say(L3.value, _block(0, 4), overwritten=(L4.value,)), engine.result)
    assert np.array_equal(_voxels(bench, l3) > 0, (engine.result == L3.value) & before)
    assert np.array_equal(_voxels(bench, l4) > 0, before & (engine.result != L3.value))


def test_only_voxels_in_the_intensity_range_change(bench: Workbench, engine: Engine, editor: Any) -> None:
    editor.SourceVolumeIntensityMaskOn()
    editor.SetSourceVolumeIntensityMaskRange(200, 5000)
    l3 = bench.apply(engine.say(L3.value, _block()), engine.result)
    assert np.array_equal(_voxels(bench, l3), (engine.result == L3.value) & (bench.volume.array >= 200))


@pytest.mark.parametrize(("mode", "loses"), [("OverwriteAllSegments", True), ("OverwriteNone", False)])
def test_neighbours_lose_voxels_only_where_the_overwrite_mode_says_so(
    bench: Workbench, engine: Engine, editor: Any, mode: str, loses: bool
) -> None:
    other = add_custom_segment(bench.node, "painted by hand")
    mine = np.zeros(bench.volume.shape, np.uint8)
    mine[5:9, 4:16, 4:16] = 1
    _paint(bench, other, mine)
    editor.SetOverwriteMode(getattr(editor, mode))
    l3 = bench.apply(engine.say(L3.value, _block()), engine.result)
    assert np.array_equal(_voxels(bench, l3), engine.result == L3.value)
    kept = mine & (engine.result != L3.value) if loses else mine
    assert np.array_equal(_voxels(bench, other), kept)
    assert bench.overwrites is loses


def test_a_hidden_neighbour_keeps_its_voxels_if_only_visible_ones_may_be_overwritten(
    bench: Workbench, engine: Engine, editor: Any
) -> None:
    l4 = bench.apply(engine.say(L4.value, _block(0, 4)), engine.result)
    before = _voxels(bench, l4)
    bench.node.GetDisplayNode().SetSegmentVisibility(l4, False)
    editor.SetOverwriteMode(editor.OverwriteVisibleSegments)
    bench.apply(engine.say(L3.value, _block(2, 6), overwritten=(L4.value,)), engine.result)
    assert np.array_equal(_voxels(bench, l4), before)


def test_slicers_own_undo_takes_a_step_back_and_is_noticed(
    a_volume_node: Any, a_segmentation: Any, engine: Engine
) -> None:
    history = slicer.vtkSegmentationHistory()
    history.SetSegmentation(a_segmentation.GetSegmentation())
    bench = Workbench(a_volume_node, a_segmentation, save_state=history.SaveState)
    l3 = bench.apply(engine.say(L3.value, _block(0, 3)), engine.result)
    first = _voxels(bench, l3)
    bench.apply(engine.say(L3.value, _block(0, 5)), engine.result)
    assert not bench.taken_back()
    history.RestorePreviousState()
    assert np.array_equal(_voxels(bench, l3), first)
    assert bench.taken_back()


# Levels.


def test_next_and_previous_level_make_their_segments(bench: Workbench) -> None:
    l3 = ensure_segment(bench.node, L3)
    below, above = bench.next_segment(l3), bench.next_segment(l3, -1)
    assert [bench.label_of(one).name for one in (below, above)] == ["L4", "L2"]
    with pytest.raises(LabelError, match="above C1"):
        bench.next_segment(ensure_segment(bench.node, spine_labels().by_name("C1")), -1)


def test_a_segment_is_completed_only_if_something_was_done(bench: Workbench, engine: Engine) -> None:
    l3 = bench.apply(engine.say(L3.value, _block()), engine.result)
    l4 = ensure_segment(bench.node, L4)
    for one in (l3, l4):
        bench.complete(one)
    assert [status_of(bench.node, one) for one in (l3, l4)] == ["completed", "not started"]
