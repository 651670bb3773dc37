"""Segmentations: what 3D Slicer reads is what was written, and the other way round."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from SAMSpineLib.errors import LabelError, VolumeError
from SAMSpineLib.io import (
    convert_ids,
    place_labels,
    read_segmentation,
    read_volume,
    write_segmentation,
    write_volume,
)
from SAMSpineLib.labels import Label, LabelTable, spine_labels
from SAMSpineLib.volume import Grid, Volume

L1, L2, CANAL, S2 = 20, 21, 200, 32


def some_labels() -> np.ndarray:
    """Return L1, L2, S2 (which has no code) and the canal in a grid of 4 x 5 x 6 voxels."""
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[1:3, 1:4, 2:5], labels[3, 2:4, :2], labels[0, 0, 0], labels[0, 4, 5] = L1, L2, CANAL, S2
    return labels


@pytest.mark.parametrize("name", ["s.seg.nrrd", "s.nii.gz", "s.nrrd"])
def test_labels_come_back_as_they_were(tmp_path: Path, tilted_grid: Grid, name: str) -> None:
    write_segmentation(tmp_path / name, some_labels(), tilted_grid, spine_labels())
    back = read_segmentation(tmp_path / name)
    assert np.array_equal(back.labels, some_labels())
    assert back.grid.same_place(tilted_grid)
    table = spine_labels()
    expected = {(value, table.by_value(value).name, table.by_value(value).colour) for value in (L1, L2, S2, CANAL)}
    assert {(one.value, one.name, one.colour) for one in back.segments} == expected
    assert all(one.known for one in back.segments)


def test_values_above_255_fit(tmp_path: Path, tilted_grid: Grid) -> None:
    table = LabelTable([Label(value=1000, name="rod", title="Rod", group="implant", colour=(1, 2, 3))])
    labels = np.where(some_labels() == L1, 1000, 0).astype(np.uint16)
    for name in ("s.seg.nrrd", "s.nii.gz"):
        write_segmentation(tmp_path / name, labels, tilted_grid, table)
        assert np.array_equal(read_segmentation(tmp_path / name, table).labels, labels)


def test_a_seg_nrrd_is_a_plain_label_map_to_other_programs(tmp_path: Path, tilted_grid: Grid) -> None:
    write_segmentation(tmp_path / "s.seg.nrrd", some_labels(), tilted_grid, spine_labels())
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "s.seg.nrrd"))), some_labels())


def test_nothing_segmented_is_written_and_read_too(tmp_path: Path, tilted_grid: Grid) -> None:
    for name in ("s.seg.nrrd", "s.nii.gz"):
        write_segmentation(tmp_path / name, np.zeros(tilted_grid.shape, np.uint8), tilted_grid, spine_labels())
        back = read_segmentation(tmp_path / name)
        assert back.segments == ()
        assert not back.labels.any()


def test_the_table_beside_a_label_map_lists_what_is_in_it(tmp_path: Path, tilted_grid: Grid) -> None:
    write_segmentation(tmp_path / "case.1.nii.gz", some_labels(), tilted_grid, spine_labels())
    with (tmp_path / "case.1.labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["value", "name", "colour", "code"]
    assert rows[1] == ["20", "L1", "#cc3976", "66794005"]
    assert [row[0] for row in rows[1:]] == ["20", "21", "32", "200"]


def test_names_beside_a_label_map_decide_its_values(tmp_path: Path, tilted_grid: Grid) -> None:
    labels = some_labels()
    write_volume(tmp_path / "a.nii.gz", Volume(np.where(labels == L1, 3, np.where(labels == L2, 4, 0)), tilted_grid))
    (tmp_path / "a.labels.csv").write_text("value,name,colour,code\n3,L1 vertebra,#ff0000,\n4,screw,#00ff00,\n")
    back = read_segmentation(tmp_path / "a.nii.gz")
    assert [(one.value, one.name, one.known) for one in back.segments][0] == (L1, "L1 vertebra", True)
    screw = back.segments[1].value
    assert screw not in {label.value for label in spine_labels()}
    assert np.array_equal(back.labels == screw, labels == L2)
    assert np.array_equal(back.labels == L1, labels == L1)


def test_a_malformed_table_is_refused_with_its_line(tmp_path: Path, tilted_grid: Grid) -> None:
    write_volume(tmp_path / "a.nii.gz", Volume(some_labels(), tilted_grid))
    (tmp_path / "a.labels.csv").write_text("value,name,colour,code\n20,L1,#ff0000,\nx,L2,#00ff00,\n")
    with pytest.raises(LabelError, match="line 3"):
        read_segmentation(tmp_path / "a.nii.gz")


def test_an_image_is_no_label_map(tmp_path: Path, tilted_grid: Grid) -> None:
    for name, voxels in {"a.nii": some_labels() - 5.0, "b.nii": some_labels() * 0.3}.items():
        write_volume(tmp_path / name, Volume(voxels.astype(np.float32), tilted_grid))
        with pytest.raises(VolumeError, match="expected a label map of whole numbers"):
            read_segmentation(tmp_path / name)


@pytest.mark.parametrize(("labels", "words"), [
    (np.full((4, 5, 6), 99, np.uint8), "no structure for value.s. 99"),
    (np.zeros((4, 5, 7), np.uint8), r"shape \(4, 5, 6\)"),
    (np.zeros((4, 5, 6), np.float32), "Expected integer labels"),
    (np.full((4, 5, 6), -1, np.int16), "from 0 to 65535"),
])  # fmt: skip
def test_labels_that_fit_neither_grid_nor_table_are_refused(
    tmp_path: Path, tilted_grid: Grid, labels: np.ndarray, words: str
) -> None:
    with pytest.raises(LabelError, match=words):
        write_segmentation(tmp_path / "s.seg.nrrd", labels, tilted_grid, spine_labels())
    assert list(tmp_path.iterdir()) == []


def test_verse_and_totalsegmentator_numbers_become_ours() -> None:
    verse = np.array([[[0, 20, 28, 25]]])
    names = [spine_labels().by_value(int(v)).name for v in convert_ids(verse, spine_labels()).ravel()[1:]]
    assert names == ["L1", "T13", "L6"]
    # TotalSegmentator counts vertebrae from below: 31 is L1, 27 is L5; 1 is the spleen, which is no spine.
    theirs = np.array([[[0, 31, 27, 50, 1]]], dtype=np.int32)
    ours = convert_ids(theirs, spine_labels(), source="totalsegmentator").ravel()
    assert [spine_labels().by_value(int(v)).name for v in ours[1:4]] == ["L1", "L5", "C1"]
    assert (ours[0], ours[4]) == (0, 0)
    with pytest.raises(LabelError, match="Unknown numbering"):
        convert_ids(theirs, spine_labels(), source="monai")  # type: ignore[arg-type]


def test_a_crop_is_put_back_exactly_where_it_was(tilted_grid: Grid) -> None:
    extent = (1, 4, 1, 3, 0, 2)
    crop = np.ascontiguousarray(some_labels()[0:3, 1:4, 1:5])
    placed = place_labels(crop, tilted_grid.crop(extent), tilted_grid)
    expected = np.zeros_like(some_labels())
    expected[0:3, 1:4, 1:5] = crop
    assert np.array_equal(placed, expected)
    assert np.array_equal(place_labels(some_labels(), tilted_grid, tilted_grid.crop(extent)), crop)


@pytest.mark.parametrize("orientation", range(0, 48, 5))
def test_labels_on_other_axes_are_brought_over_by_place(
    tilted_grid: Grid, make_grid: Callable[..., Grid], orientation: int
) -> None:
    axes = make_grid(orientation)
    matrix = np.eye(4)
    matrix[:3, :3] = axes.ijk_to_ras[:3, :3] / axes.spacing * 0.4
    matrix[:3, 3] = tilted_grid.to_ras([2.5, 2.0, 1.5]) - matrix[:3, :3] @ [11.5, 11.5, 11.5]
    other = Grid((24, 24, 24), matrix)
    placed = place_labels(some_labels(), tilted_grid, other)
    checked = 0
    for index in np.ndindex(24, 24, 24):
        ijk = tilted_grid.to_ijk(other.to_ras(index[::-1]))
        if np.abs(ijk - np.round(ijk)).max() < 0.45:  # not on the border between two voxels
            voxel = tilted_grid.voxel_at(tilted_grid.to_ras(ijk))
            assert placed[index] == (some_labels()[voxel] if voxel else 0)
            checked += 1
    assert checked > 500


def read_by_slicer(path: Path) -> Any:
    """Read a file as Slicer does; return its segmentation node."""
    slicer = pytest.importorskip("slicer", reason="needs slicer-core")
    scene, application = slicer.vtkMRMLScene(), slicer.vtkSlicerApplicationLogic()
    application.SetMRMLScene(scene)
    logic = slicer.vtkSlicerSegmentationsModuleLogic()
    logic.SetMRMLApplicationLogic(application)
    logic.SetMRMLScene(scene)
    node, storage = scene.AddNewNodeByClass("vtkMRMLSegmentationNode"), slicer.vtkMRMLSegmentationStorageNode()
    scene.AddNode(storage)
    storage.SetFileName(str(path))
    assert storage.ReadData(node) == 1
    node.kept_alive = (scene, application, logic, storage)
    return node


def voxels_in_slicer(node: Any, segment_id: str) -> set[tuple[float, ...]]:
    """Return the RAS places (mm, two digits) of a segment's voxels, asked of Slicer alone."""
    slicer = pytest.importorskip("slicer")
    vtk = pytest.importorskip("vtk")
    image = slicer.vtkOrientedImageData()
    assert node.GetBinaryLabelmapRepresentation(segment_id, image)
    matrix, places = vtk.vtkMatrix4x4(), set()
    image.GetImageToWorldMatrix(matrix)
    i0, i1, j0, j1, k0, k1 = image.GetExtent()
    for k in range(k0, k1 + 1):
        for j in range(j0, j1 + 1):
            for i in range(i0, i1 + 1):
                if image.GetScalarComponentAsDouble(i, j, k, 0) > 0:
                    places.add(tuple(round(x, 2) + 0.0 for x in matrix.MultiplyPoint((i, j, k, 1))[:3]))
    return places


@pytest.mark.parametrize("orientation", range(0, 48, 6))
def test_slicer_reads_names_colours_codes_and_every_voxel(
    tmp_path: Path, make_grid: Callable[..., Grid], orientation: int
) -> None:
    grid, table = make_grid(orientation, tilted=True), spine_labels()
    write_segmentation(tmp_path / "s.seg.nrrd", some_labels(), grid, table)
    node = read_by_slicer(tmp_path / "s.seg.nrrd")
    vtk, segmentation = pytest.importorskip("vtk"), node.GetSegmentation()
    assert segmentation.GetNumberOfLayers() == 1
    names = [segmentation.GetNthSegment(n).GetName() for n in range(segmentation.GetNumberOfSegments())]
    assert names == ["L1", "L2", "S2", "spinal canal"]
    for n, label in enumerate(table.by_name(name) for name in names):
        segment, tag = segmentation.GetNthSegment(n), vtk.reference("")
        assert [round(255 * part) for part in segment.GetColor()] == list(label.colour)
        assert segment.GetLabelValue() == label.value
        segment.GetTag("TerminologyEntry", tag)
        if label.code:
            assert str(tag) == label.terminology
            assert label.code in str(tag)
        ijk = np.argwhere(some_labels() == label.value)[:, ::-1]
        places = {tuple(round(float(x), 2) + 0.0 for x in ras) for ras in grid.to_ras(ijk)}
        assert voxels_in_slicer(node, segmentation.GetNthSegmentID(n)) == places


def test_slicer_knows_the_whole_grid_and_can_paint_outside_of_what_is_there(tmp_path: Path, tilted_grid: Grid) -> None:
    write_segmentation(tmp_path / "s.seg.nrrd", some_labels(), tilted_grid, spine_labels())
    text = read_by_slicer(tmp_path / "s.seg.nrrd").GetSegmentation().GetConversionParameter("Reference image geometry")
    numbers = [float(number) for number in text.rstrip(";").split(";")]
    assert np.allclose(numbers[:16], tilted_grid.ijk_to_ras.ravel())
    assert numbers[16:] == [0, 5, 0, 4, 0, 3]


def test_what_slicer_saves_again_is_read_back_into_the_same_grid(tmp_path: Path, tilted_grid: Grid) -> None:
    write_segmentation(tmp_path / "s.seg.nrrd", some_labels(), tilted_grid, spine_labels())
    node = read_by_slicer(tmp_path / "s.seg.nrrd")
    node.GetSegmentation().RemoveSegment("spinal_canal")  # what is left is smaller than the grid
    storage = node.kept_alive[-1]
    storage.SetFileName(str(tmp_path / "again.seg.nrrd"))
    storage.SetCropToMinimumExtent(True)
    assert storage.WriteData(node) == 1
    back = read_segmentation(tmp_path / "again.seg.nrrd")
    expected = np.where(some_labels() == CANAL, 0, some_labels())
    assert np.array_equal(place_labels(back.labels, back.grid, tilted_grid), expected)


def layered_file(path: Path) -> Grid:
    """Write what Slicer writes for overlapping segments: a layer each, cropped, offset in the reference image."""
    voxels = np.zeros((3, 4, 5, 2), np.uint8)
    voxels[0:2, 1:3, 1:4, 0], voxels[1:3, 2:4, 2:5, 1] = 1, 1
    fields = [f"Segment{n}_{key}:={value}" for n, one in enumerate([("s_1", "L2 vertebra", 0), ("s_2", "Zyste é", 1)])
              for key, value in (("ID", one[0]), ("Name", one[1]), ("Layer", one[2]), ("LabelValue", 1),
                                 ("Color", "1 0.5 0"), ("Extent", "0 4 0 3 0 2"))]  # fmt: skip
    header = (
        "NRRD0004\ntype: unsigned char\ndimension: 4\nspace: left-posterior-superior\nsizes: 2 5 4 3\n"
        "space directions: none (-1,0,0) (0,-1,0) (0,0,2)\nkinds: list domain domain domain\nencoding: raw\n"
        "space origin: (-8,-7,9)\n" + "\n".join(fields) + "\nSegmentation_ReferenceImageExtentOffset:=3 2 1\n\n"
    )
    path.write_bytes(header.encode() + voxels.tobytes())
    return Grid((3, 4, 5), np.array([[1, 0, 0, 8], [0, 1, 0, 7], [0, 0, 2, 9], [0, 0, 0, 1.0]]))


def test_layers_of_slicer_become_one_array_and_overlap_is_told(tmp_path: Path) -> None:
    grid = layered_file(tmp_path / "a.seg.nrrd")
    back = read_segmentation(tmp_path / "a.seg.nrrd")
    assert back.grid.same_place(grid)
    segments = [(one.name, one.known, one.layer) for one in back.segments]
    assert segments == [("L2 vertebra", True, 0), ("Zyste é", False, 1)]
    assert back.segments[0].value == L2
    assert back.segments[0].colour == (255, 128, 0)
    assert np.count_nonzero(back.labels == back.segments[1].value) == 2 * 2 * 3
    assert np.count_nonzero(back.labels == L2) == 2 * 2 * 3 - 2
    assert "2 voxels belong to several segments" in " ".join(back.notices)


def test_a_damaged_seg_nrrd_is_refused(tmp_path: Path) -> None:
    layered_file(path := tmp_path / "a.seg.nrrd")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(VolumeError, match="truncated"):
        read_segmentation(path)
    path.write_text("no")
    with pytest.raises(VolumeError, match="though its name says so"):
        read_segmentation(path)
    with pytest.raises(VolumeError, match="does not exist"):
        read_segmentation(tmp_path / "none.seg.nrrd")


@pytest.mark.realdata
def test_the_other_models_label_map_becomes_vertebrae(data_dir: Path) -> None:
    theirs = read_volume(data_dir / "ct/ts_example/example_seg_all_ts-ids.nii.gz").array
    ours = convert_ids(theirs, spine_labels(), source="totalsegmentator")
    lumbar = [spine_labels().by_name(name).value for name in ("L1", "L5")]
    heights = [np.argwhere(ours == value)[:, 0].mean() for value in lumbar]
    assert heights[0] > heights[1], "L1 stands above L5"
