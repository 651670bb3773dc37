"""Masks into segments: what is asked for, where it is asked for, and nothing besides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer")

import slicer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from SAMSpineLib.errors import GeometryError, LabelError
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.mask_update import MaskUpdate
from SAMSpineLib.mrml.scene import headless_scene
from SAMSpineLib.mrml.segments import create_segmentation, ensure_segment, read_segment, write, write_labelmap
from SAMSpineLib.mrml.volumes import node_from_volume, volume_from_node
from SAMSpineLib.volume import Extent, Volume, slices_of

L3, L4, L5 = (spine_labels().by_name(name) for name in ("L3", "L4", "L5"))
SURFACE = "Closed surface"
EXTENT = (4, 15, 3, 14, 5, 12)


def _shape(extent: Extent) -> tuple[int, int, int]:
    return tuple(part.stop - part.start for part in slices_of(extent))


def _noise(extent: Extent, seed: int, share: float = 0.4) -> np.ndarray:
    return (np.random.default_rng(seed).random(_shape(extent)) < share).astype(np.uint8)


def _full(shape: tuple[int, int, int], extent: Extent, mask: np.ndarray | int) -> np.ndarray:
    result = np.zeros(shape, np.uint8)
    result[slices_of(extent)] = mask
    return result


def _layers(node: Any) -> int:
    return node.GetSegmentation().GetNumberOfLayers()


def _surface(node: Any, segment_id: str) -> Any:
    return node.GetSegmentation().GetSegment(segment_id).GetRepresentation(SURFACE)


@pytest.mark.parametrize("with_surfaces", [False, True])
def test_a_mask_comes_back_from_its_segment(
    scene: Any, lattice: np.ndarray, make_volume: Callable[..., Volume], with_surfaces: bool
) -> None:
    volume = make_volume(lattice)
    node = create_segmentation(scene, node_from_volume(scene, volume), "spine")
    segment_id = ensure_segment(node, L3)
    expected = np.zeros(volume.shape, np.uint8)
    for seed, extent in enumerate([EXTENT, (0, 27, 0, 23, 0, 19), (2, 5, 2, 20, 9, 9), (20, 27, 15, 23, 15, 19)]):
        mask = _noise(extent, seed)
        expected[slices_of(extent)] = mask
        write(node, segment_id, MaskUpdate(L3.value, mask, extent), volume.grid)
        if with_surfaces:
            node.CreateClosedSurfaceRepresentation()
        assert np.array_equal(read_segment(node, segment_id, volume.grid), expected)


def test_slicer_itself_finds_the_voxels_at_the_same_places(a_segmentation: Any, a_volume: Volume) -> None:
    segment_id = ensure_segment(a_segmentation, L3)
    write(a_segmentation, segment_id, MaskUpdate(L3.value, np.ones(_shape(EXTENT), np.uint8), EXTENT), a_volume.grid)
    bounds = np.zeros(6)
    a_segmentation.GetRASBounds(bounds)
    i0, i1, j0, j1, k0, k1 = EXTENT
    corners = [[i, j, k] for i in (i0 - 0.5, i1 + 0.5) for j in (j0 - 0.5, j1 + 0.5) for k in (k0 - 0.5, k1 + 0.5)]
    ras = a_volume.grid.to_ras(corners)
    assert np.allclose(bounds[::2], ras.min(axis=0), atol=1e-3)
    assert np.allclose(bounds[1::2], ras.max(axis=0), atol=1e-3)


def test_voxels_that_are_no_longer_in_the_mask_are_erased(a_segmentation: Any, a_volume: Volume) -> None:
    segment_id = ensure_segment(a_segmentation, L3)
    grid = a_volume.grid
    write(a_segmentation, segment_id, MaskUpdate(L3.value, np.ones(_shape(EXTENT), np.uint8), EXTENT), grid)
    smaller = np.zeros(_shape(EXTENT), np.uint8)
    smaller[2:4, 2:6, 3:9] = 1
    write(a_segmentation, segment_id, MaskUpdate(L3.value, smaller, EXTENT), grid)
    assert np.array_equal(read_segment(a_segmentation, segment_id, grid), _full(a_volume.shape, EXTENT, smaller))


@pytest.mark.parametrize("with_surfaces", [False, True])
def test_a_mask_of_nothing_empties_the_segment_and_it_can_be_filled_again(
    three_vertebrae: Any, a_volume: Volume, with_surfaces: bool
) -> None:
    node, grid = three_vertebrae, a_volume.grid
    if with_surfaces:
        node.CreateClosedSurfaceRepresentation()
    l4 = ensure_segment(node, L4)
    others = [read_segment(node, ensure_segment(node, label), grid) for label in (L3, L5)]
    before, everything = read_segment(node, l4, grid), (0, 27, 0, 23, 0, 19)
    write(node, l4, MaskUpdate(L4.value, np.zeros_like(before), everything), grid)
    assert not read_segment(node, l4, grid).any()
    write(node, l4, MaskUpdate(L4.value, before, everything), grid)
    assert np.array_equal(read_segment(node, l4, grid), before)
    for label, other in zip((L3, L5), others, strict=True):
        assert np.array_equal(read_segment(node, ensure_segment(node, label), grid), other)


def test_outside_of_its_extent_an_update_changes_nothing(three_vertebrae: Any, a_volume: Volume) -> None:
    l4 = ensure_segment(three_vertebrae, L4)
    expected = read_segment(three_vertebrae, l4, a_volume.grid)
    extent = (8, 12, 6, 9, 7, 8)
    write(three_vertebrae, l4, MaskUpdate(L4.value, np.zeros(_shape(extent), np.uint8), extent), a_volume.grid)
    expected[slices_of(extent)] = 0
    assert np.array_equal(read_segment(three_vertebrae, l4, a_volume.grid), expected)


def test_an_empty_update_changes_nothing_and_tells_nobody(three_vertebrae: Any, a_volume: Volume) -> None:
    told = _listen(three_vertebrae)
    l4 = ensure_segment(three_vertebrae, L4)
    write(three_vertebrae, l4, MaskUpdate.nothing(L4.value), a_volume.grid)
    same = read_segment(three_vertebrae, l4, a_volume.grid)
    write(three_vertebrae, l4, MaskUpdate(L4.value, same, (0, 27, 0, 23, 0, 19)), a_volume.grid)
    assert told == []


def _listen(node: Any) -> list[str]:
    told: list[str] = []
    node.GetSegmentation().AddObserver(
        slicer.vtkSegmentation.SourceRepresentationModified, lambda *_: told.append("changed")
    )
    return told


@pytest.mark.parametrize("with_surfaces", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.9])
def test_every_change_is_told_once(three_vertebrae: Any, a_volume: Volume, with_surfaces: bool, share: float) -> None:
    l4 = ensure_segment(three_vertebrae, L4)
    if with_surfaces:
        three_vertebrae.CreateClosedSurfaceRepresentation()
    told = _listen(three_vertebrae)
    extent = (9, 14, 8, 12, 8, 10)
    write(three_vertebrae, l4, MaskUpdate(L4.value, _noise(extent, 1, share), extent), a_volume.grid)
    assert told == ["changed"]


@pytest.mark.parametrize("with_surfaces", [False, True])
def test_l4_keeps_every_voxel_when_l5_leaks_into_it(
    three_vertebrae: Any, a_volume: Volume, with_surfaces: bool
) -> None:
    node, grid = three_vertebrae, a_volume.grid
    if with_surfaces:
        node.CreateClosedSurfaceRepresentation()
    l4, l5 = ensure_segment(node, L4), ensure_segment(node, L5)
    before = read_segment(node, l4, grid)
    leak = (8, 19, 6, 17, 2, 11)
    write(node, l5, MaskUpdate(L5.value, np.ones(_shape(leak), np.uint8), leak), grid)
    assert np.array_equal(read_segment(node, l4, grid), before)
    assert np.array_equal(read_segment(node, l5, grid), _full(a_volume.shape, leak, 1))
    assert _layers(node) == 2


def test_a_leak_that_is_taken_back_leaves_no_trace(three_vertebrae: Any, a_volume: Volume) -> None:
    node, grid = three_vertebrae, a_volume.grid
    ids = [ensure_segment(node, label) for label in (L3, L4, L5)]
    before = [read_segment(node, one, grid) for one in ids]
    leak = (8, 19, 6, 17, 2, 11)
    write(node, ids[2], MaskUpdate(L5.value, np.ones(_shape(leak), np.uint8), leak), grid)
    write(node, ids[2], MaskUpdate(L5.value, before[2][slices_of(leak)], leak), grid)
    for one, mask in zip(ids, before, strict=True):
        assert np.array_equal(read_segment(node, one, grid), mask)


@pytest.mark.parametrize("apart", [False, True])
def test_named_neighbours_lose_what_the_segment_takes_and_only_that(
    three_vertebrae: Any, a_volume: Volume, apart: bool
) -> None:
    node, grid = three_vertebrae, a_volume.grid
    l3, l4, l5 = (ensure_segment(node, label) for label in (L3, L4, L5))
    if apart:
        node.GetSegmentation().SeparateSegmentLabelmap(l4)
    l3_before, l4_before = (read_segment(node, one, grid) for one in (l3, l4))
    leak = (8, 19, 6, 17, 2, 13)
    taken = np.zeros(_shape(leak), np.uint8)
    taken[:, 3:5] = 1
    write(node, l5, MaskUpdate(L5.value, taken, leak), grid, [l4, l5])
    assert np.array_equal(read_segment(node, l5, grid), _full(a_volume.shape, leak, taken))
    assert np.array_equal(read_segment(node, l4, grid), l4_before * (1 - _full(a_volume.shape, leak, taken)))
    assert np.array_equal(read_segment(node, l3, grid), l3_before)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_surfaces_of_the_others_stay_and_ones_own_is_rebuilt(
    three_vertebrae: Any, a_volume: Volume, share: float
) -> None:
    node = three_vertebrae
    node.CreateClosedSurfaceRepresentation()
    l3, l4, l5 = (ensure_segment(node, label) for label in (L3, L4, L5))
    others = [(_surface(node, one), _surface(node, one).GetMTime()) for one in (l3, l5)]
    points = _surface(node, l4).GetNumberOfPoints()
    extent = (9, 14, 8, 12, 8, 10)
    mask = _noise(extent, 2, share) if share < 1 else np.ones(_shape((5, 22, 3, 20, 7, 11)), np.uint8)
    extent = extent if share < 1 else (5, 22, 3, 20, 7, 11)
    write(node, l4, MaskUpdate(L4.value, mask, extent), a_volume.grid)
    assert node.GetSegmentation().ContainsRepresentation(SURFACE)
    for one, (surface, time) in zip((l3, l5), others, strict=True):
        assert _surface(node, one) is surface
        assert surface.GetMTime() == time
    assert _surface(node, l4).GetNumberOfPoints() != points


def test_a_surface_fits_the_mask_after_the_segment_has_shrunk(three_vertebrae: Any, a_volume: Volume) -> None:
    node, grid = three_vertebrae, a_volume.grid
    node.CreateClosedSurfaceRepresentation()
    l4, everything = ensure_segment(node, L4), (0, 27, 0, 23, 0, 19)
    small = _full(a_volume.shape, (9, 12, 8, 11, 8, 10), 1)
    write(node, l4, MaskUpdate(L4.value, small, everything), grid)
    low, high = np.array(_surface(node, l4).GetBounds()).reshape(3, 2).T
    ras = grid.to_ras(np.argwhere(small)[:, ::-1])
    assert (low > ras.min(axis=0) - grid.spacing.max()).all()
    assert (high < ras.max(axis=0) + grid.spacing.max()).all()


def test_the_users_image_stays_as_it_is_bit_for_bit(three_vertebrae: Any, a_volume: Volume, a_volume_node: Any) -> None:
    time = a_volume_node.GetImageData().GetMTime()
    before = volume_from_node(a_volume_node).array.tobytes()
    l4 = ensure_segment(three_vertebrae, L4)
    for seed in range(4):
        write(three_vertebrae, l4, MaskUpdate(L4.value, _noise(EXTENT, seed), EXTENT), a_volume.grid)
    assert volume_from_node(a_volume_node).array.tobytes() == before
    assert a_volume_node.GetImageData().GetMTime() == time


def test_an_update_is_not_tied_to_the_callers_array(a_segmentation: Any, a_volume: Volume) -> None:
    segment_id = ensure_segment(a_segmentation, L3)
    mask = _noise(EXTENT, 5)
    kept = mask.copy()
    write(a_segmentation, segment_id, MaskUpdate(L3.value, mask, EXTENT), a_volume.grid)
    assert np.array_equal(mask, kept)
    mask[:] = 0
    assert np.array_equal(read_segment(a_segmentation, segment_id, a_volume.grid), _full(a_volume.shape, EXTENT, kept))


def test_slicers_own_undo_restores_what_was_before_a_write(three_vertebrae: Any, a_volume: Volume) -> None:
    history = slicer.vtkSegmentationHistory()
    history.SetSegmentation(three_vertebrae.GetSegmentation())
    l4 = ensure_segment(three_vertebrae, L4)
    states = []
    for seed in range(3):
        states.append(read_segment(three_vertebrae, l4, a_volume.grid))
        history.SaveState()
        write(three_vertebrae, l4, MaskUpdate(L4.value, _noise(EXTENT, seed), EXTENT), a_volume.grid)
    for state in reversed(states):
        assert history.RestorePreviousState()
        assert np.array_equal(read_segment(three_vertebrae, l4, a_volume.grid), state)


def test_a_name_a_colour_and_a_code_are_read_back(a_segmentation: Any) -> None:
    segment = a_segmentation.GetSegmentation().GetSegment(ensure_segment(a_segmentation, L3))
    assert segment.GetName() == "L3"
    assert np.allclose(np.array(segment.GetColor()) * 255, L3.colour)
    assert segment.GetLabelValue() == 22
    entry = slicer.vtkSlicerTerminologyEntry()
    assert slicer.vtkSlicerTerminologiesModuleLogic.DeserializeTerminologyEntry(segment.GetTerminology(), entry)
    assert entry.GetCategoryObject().GetCodeValue() == "123037004"
    assert entry.GetTypeObject().GetCodeValue() == "36470004"
    assert entry.GetTypeObject().GetCodeMeaning() == "L3 vertebra"


def test_a_segment_is_made_once_and_recognised_after_it_was_renamed(a_segmentation: Any) -> None:
    first = ensure_segment(a_segmentation, L3)
    assert ensure_segment(a_segmentation, L3) == first
    a_segmentation.GetSegmentation().GetSegment(first).SetName("my favourite vertebra")
    assert ensure_segment(a_segmentation, L3) == first
    assert ensure_segment(a_segmentation, L4) != first


def test_labels_without_a_code_stay_apart(a_segmentation: Any) -> None:
    table = spine_labels()
    ids = {ensure_segment(a_segmentation, table.by_name(name)) for name in ("S2", "S3", "T13", "L6")}
    assert len(ids) == 4


def test_the_users_own_segment_with_the_same_number_is_left_alone(a_segmentation: Any, a_volume: Volume) -> None:
    segmentation = a_segmentation.GetSegmentation()
    theirs = segmentation.AddEmptySegment("tumour", "tumour")
    segmentation.GetSegment(theirs).SetLabelValue(L3.value)
    ours = ensure_segment(a_segmentation, L3)
    for seed, one in enumerate((theirs, ours)):
        write(a_segmentation, one, MaskUpdate(0, _noise(EXTENT, seed), EXTENT), a_volume.grid)
    for seed, one in enumerate((theirs, ours)):
        expected = _full(a_volume.shape, EXTENT, _noise(EXTENT, seed))
        assert np.array_equal(read_segment(a_segmentation, one, a_volume.grid), expected)


def test_a_missing_segment_is_refused_with_those_that_exist(three_vertebrae: Any, a_volume: Volume) -> None:
    with pytest.raises(LabelError, match=r"no segment 'L9'; it has: L3, L4, L5"):
        read_segment(three_vertebrae, "L9", a_volume.grid)


@pytest.mark.parametrize("with_surfaces", [False, True])
def test_a_whole_label_map_is_written_in_one_shared_layer_and_read_back(
    scene: Any, lattice: np.ndarray, make_volume: Callable[..., Volume], with_surfaces: bool
) -> None:
    volume = make_volume(lattice)
    node = create_segmentation(scene, node_from_volume(scene, volume), "spine")
    values = np.array([0, 22, 201, 5, 119])
    for seed in (1, 2):
        array = np.zeros(volume.shape, np.int32)
        array[slices_of(EXTENT)] = values[np.random.default_rng(seed).integers(0, 5, _shape(EXTENT))]
        ids = write_labelmap(node, spine_labels(), array, volume.grid)
        names = [node.GetSegmentation().GetSegment(one).GetName() for one in ids]
        assert names == ["C5", "L3", "disc T12-L1", "spinal cord"]
        for one, name in zip(ids, names, strict=True):
            expected = array == spine_labels().by_name(name).value
            assert np.array_equal(read_segment(node, one, volume.grid), expected)
        assert node.GetSegmentation().ContainsRepresentation(SURFACE) == (with_surfaces and seed == 2)
        if with_surfaces:
            node.CreateClosedSurfaceRepresentation()
    assert _layers(node) == 1
    assert node.GetSegmentation().GetNumberOfSegments() == 4


def test_a_label_map_leaves_segments_alone_that_it_does_not_name(three_vertebrae: Any, a_volume: Volume) -> None:
    l3 = ensure_segment(three_vertebrae, L3)
    before = read_segment(three_vertebrae, l3, a_volume.grid)
    array = _full(a_volume.shape, (0, 27, 0, 23, 0, 19), L4.value)
    write_labelmap(three_vertebrae, [L4], array, a_volume.grid)
    assert np.array_equal(read_segment(three_vertebrae, l3, a_volume.grid), before)
    assert read_segment(three_vertebrae, ensure_segment(three_vertebrae, L4), a_volume.grid).all()


def test_a_label_map_with_a_foreign_value_or_shape_is_refused(a_segmentation: Any, a_volume: Volume) -> None:
    with pytest.raises(LabelError, match=r"values that no label has: \[23\]"):
        write_labelmap(a_segmentation, [L3], _full(a_volume.shape, EXTENT, L4.value), a_volume.grid)
    with pytest.raises(GeometryError, match="does not fit"):
        write_labelmap(a_segmentation, [L3], np.zeros((3, 3, 3), np.uint8), a_volume.grid)
    assert write_labelmap(a_segmentation, [L3], np.zeros(a_volume.shape, np.uint8), a_volume.grid) == []


def test_what_is_saved_keeps_names_codes_and_voxels(tmp_path: Any, three_vertebrae: Any, a_volume: Volume) -> None:
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(tmp_path / "spine.seg.nrrd"))
    assert storage.WriteData(three_vertebrae)
    scene = headless_scene()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "back")
    assert storage.ReadData(node)
    for label in (L3, L4, L5):
        expected = read_segment(three_vertebrae, ensure_segment(three_vertebrae, label), a_volume.grid)
        one = ensure_segment(node, label)
        assert np.array_equal(read_segment(node, one, a_volume.grid), expected)
        assert node.GetSegmentation().GetSegment(one).GetTerminology() == label.terminology
    assert node.GetSegmentation().GetNumberOfSegments() == 3


steps = st.lists(
    st.tuples(
        st.sampled_from([L3, L4, L5]),
        st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)),
        st.tuples(st.integers(1, 8), st.integers(1, 8), st.integers(1, 8)),
        st.sampled_from([0.0, 0.3, 1.0]),
        st.booleans(),
    ),
    max_size=8,
)


@given(steps, st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_sequence_of_writes_leaves_what_arrays_would_hold(
    make_volume: Callable[..., Volume], sequence: list[Any], with_surfaces: bool
) -> None:
    volume, scene = make_volume(), headless_scene()
    node = create_segmentation(scene, node_from_volume(scene, volume), "spine")
    ids = {label: ensure_segment(node, label) for label in (L3, L4, L5)}
    model = {label: np.zeros(volume.shape, np.uint8) for label in ids}
    for seed, (label, start, size, share, overwrite) in enumerate(sequence):
        extent = tuple(x for a, n in zip(start, size, strict=True) for x in (a, a + n - 1))
        mask, others = _noise(extent, seed, share), [other for other in ids if other != label]
        write(
            node, ids[label], MaskUpdate(label.value, mask, extent), volume.grid, [ids[o] for o in others * overwrite]
        )
        model[label][slices_of(extent)] = mask
        for other in others * overwrite:
            model[other][slices_of(extent)] *= 1 - mask
        if with_surfaces:
            node.CreateClosedSurfaceRepresentation()
        for each, segment_id in ids.items():
            assert np.array_equal(read_segment(node, segment_id, volume.grid), model[each])
