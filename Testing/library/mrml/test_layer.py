"""Lattices: segments lie where the volume lies, under transforms, in crops, on other grids, with any value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer")

from scipy.spatial.transform import Rotation

from SAMSpineLib.errors import GeometryError
from SAMSpineLib.labels import Label, spine_labels
from SAMSpineLib.mask_update import MaskUpdate
from SAMSpineLib.mrml.geometry import vtk_from_matrix
from SAMSpineLib.mrml.segments import create_segmentation, ensure_segment, read_segment, write
from SAMSpineLib.mrml.volumes import node_from_volume, volume_from_node
from SAMSpineLib.volume import Extent, Grid, Volume, slices_of

L3, L4, L5 = (spine_labels().by_name(name) for name in ("L3", "L4", "L5"))
EXTENT = (4, 15, 3, 14, 5, 12)


def _shape(extent: Extent) -> tuple[int, int, int]:
    return tuple(part.stop - part.start for part in slices_of(extent))


def _noise(extent: Extent, seed: int, share: float = 0.4) -> np.ndarray:
    return (np.random.default_rng(seed).random(_shape(extent)) < share).astype(np.uint8)


def _full(shape: tuple[int, int, int], extent: Extent, mask: np.ndarray | int) -> np.ndarray:
    result = np.zeros(shape, np.uint8)
    result[slices_of(extent)] = mask
    return result


def test_values_beyond_eight_bits_are_written_too(a_segmentation: Any, a_volume: Volume) -> None:
    labels = [Label(value, f"part {value}", f"Part {value}", "parts", (value % 256, 9, 9)) for value in (7, 300, 4000)]
    for seed, label in enumerate(labels):
        one = ensure_segment(a_segmentation, label)
        write(a_segmentation, one, MaskUpdate(label.value, _noise(EXTENT, seed), EXTENT), a_volume.grid)
    for seed, label in enumerate(labels):
        found = read_segment(a_segmentation, ensure_segment(a_segmentation, label), a_volume.grid)
        assert np.array_equal(found, _full(a_volume.shape, EXTENT, _noise(EXTENT, seed)))


def test_a_volume_under_a_transform_and_its_segmentation_stay_together(
    scene: Any, a_volume: Volume, a_volume_node: Any
) -> None:
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("zyx", (30, 5, -11), degrees=True).as_matrix()
    matrix[:3, 3] = (4, -90, 17)
    transform.SetMatrixTransformToParent(vtk_from_matrix(matrix))
    a_volume_node.SetAndObserveTransformNodeID(transform.GetID())
    node = create_segmentation(scene, a_volume_node, "spine")
    grid = volume_from_node(a_volume_node).grid
    one, mask = ensure_segment(node, L3), _noise(EXTENT, 3)
    write(node, one, MaskUpdate(L3.value, mask, EXTENT), grid)
    expected = _full(a_volume.shape, EXTENT, mask)
    assert np.array_equal(read_segment(node, one, grid), expected)
    own = node.GetSegmentation().GetSegment(one).GetRepresentation("Binary labelmap")
    assert np.allclose(own.GetSpacing(), a_volume.grid.spacing)
    transform.SetMatrixTransformToParent(vtk_from_matrix(np.eye(4)))
    assert np.array_equal(read_segment(node, one, a_volume.grid), expected)


def test_a_segmentation_of_a_cropped_volume_is_written_at_the_right_voxels(scene: Any, a_volume: Volume) -> None:
    inner = (3, 20, 2, 19, 4, 16)
    crop = Volume(np.ascontiguousarray(a_volume.array[slices_of(inner)]), a_volume.grid.crop(inner), "crop")
    node = create_segmentation(scene, node_from_volume(scene, crop), "spine")
    one = ensure_segment(node, L3)
    write(node, one, MaskUpdate(L3.value, np.ones((2, 2, 2), np.uint8), (0, 1, 0, 1, 0, 1)), crop.grid)
    write(node, one, MaskUpdate(L3.value, np.ones((1, 1, 1), np.uint8), (9, 9, 9, 9, 9, 9)), a_volume.grid)
    expected = _full(a_volume.shape, (3, 4, 2, 3, 4, 5), 1) + _full(a_volume.shape, (9, 9, 9, 9, 9, 9), 1)
    assert np.array_equal(read_segment(node, one, a_volume.grid), expected)


def test_another_lattice_is_refused_for_writing_and_sampled_for_reading(three_vertebrae: Any, a_volume: Volume) -> None:
    l4 = ensure_segment(three_vertebrae, L4)
    before = read_segment(three_vertebrae, l4, a_volume.grid)
    k, j, i = a_volume.shape
    fine = Grid((2 * k, 2 * j, 2 * i), a_volume.ijk_to_ras @ np.diag([0.5, 0.5, 0.5, 1]))
    update = MaskUpdate(L4.value, np.ones((3, 3, 3), np.uint8), (0, 2, 0, 2, 0, 2))
    with pytest.raises(GeometryError, match=r"'spine' lies on another lattice"):
        write(three_vertebrae, l4, update, fine)
    assert np.array_equal(read_segment(three_vertebrae, l4, a_volume.grid), before)
    assert np.array_equal(read_segment(three_vertebrae, l4, fine)[::2, ::2, ::2], before)
