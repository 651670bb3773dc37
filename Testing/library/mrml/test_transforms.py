"""Transform nodes: fixed points reach moving ones, and what hangs under the node lands on the fixed image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer")

import slicer
from scipy.spatial.transform import Rotation

from SAMSpineLib.errors import GeometryError
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.mrml.geometry import vtk_from_matrix
from SAMSpineLib.mrml.segments import create_segmentation, read_segment, write_labelmap
from SAMSpineLib.mrml.transforms import write_transform
from SAMSpineLib.mrml.volumes import node_from_volume, volume_from_node
from SAMSpineLib.volume import Grid, Volume

SHAPE = (20, 24, 28)
FIXED_TO_MOVING = np.eye(4)
FIXED_TO_MOVING[:3, :3] = Rotation.from_euler("zyx", (8, -5, 11), degrees=True).as_matrix() * 1.1
FIXED_TO_MOVING[:3, 3] = (4, -9, 17)
POINTS = np.array([[0.0, 0, 0], [-31, 12, 150], [40, -20, 3.5]])
L3 = spine_labels().by_name("L3")


def through(node: Any, points: np.ndarray, *, to_parent: bool) -> np.ndarray:
    transform = node.GetTransformToParent() if to_parent else node.GetTransformFromParent()
    return np.array([transform.TransformPoint(*point) for point in points])


def affine_field(grid: Grid) -> np.ndarray:
    """Displacements that are the same mapping as `FIXED_TO_MOVING`: linear, so that interpolation is exact."""
    k, j, i = np.indices(grid.shape)
    ras = grid.to_ras(np.stack((i, j, k), axis=-1))
    return (ras @ FIXED_TO_MOVING[:3, :3].T + FIXED_TO_MOVING[:3, 3] - ras).astype(np.float32)


def moved(points: np.ndarray) -> np.ndarray:
    return points @ FIXED_TO_MOVING[:3, :3].T + FIXED_TO_MOVING[:3, 3]


def test_a_matrix_maps_fixed_points_to_moving_ones_from_parent_and_back_to_parent(scene: Any) -> None:
    node = write_transform(scene, FIXED_TO_MOVING, "affine")
    assert node.GetClassName() == "vtkMRMLLinearTransformNode"
    assert node.GetName() == "affine"
    assert np.allclose(through(node, POINTS, to_parent=False), moved(POINTS))
    assert np.allclose(through(node, moved(POINTS), to_parent=True), POINTS)


def test_displacements_do_the_same_on_every_lattice(scene: Any, lattice: np.ndarray) -> None:
    grid = Grid(SHAPE, lattice)
    node = write_transform(scene, affine_field(grid), "warp", grid)
    assert node.GetClassName() == "vtkMRMLGridTransformNode"
    rng = np.random.default_rng(3)
    inside = grid.to_ras(rng.uniform(3, np.array(SHAPE[::-1]) - 4, (20, 3)))
    assert np.allclose(through(node, inside, to_parent=False), moved(inside), atol=1e-3)
    # The way back is found by iteration, to a hundredth of a millimetre.
    assert np.allclose(through(node, moved(inside), to_parent=True), inside, atol=0.05)


def test_one_vector_is_found_at_its_own_voxel_and_in_patient_directions(scene: Any, lattice: np.ndarray) -> None:
    grid = Grid(SHAPE, lattice)
    field = np.zeros((*SHAPE, 3), np.float32)
    field[5, 7, 11] = (1.0, 0.5, -0.25)
    node = write_transform(scene, field, "spike", grid)
    here, beside = grid.to_ras([[11, 7, 5], [12, 7, 5]])
    assert np.allclose(through(node, here[None], to_parent=False) - here, (1.0, 0.5, -0.25), atol=1e-5)
    assert np.allclose(through(node, beside[None], to_parent=False), beside, atol=1e-5)


def test_a_sheared_lattice_is_kept(scene: Any) -> None:
    matrix = np.array([[0.9, 0.2, 0, -5], [0, 1.1, 0.3, 6], [0, 0, 2.0, 7], [0, 0, 0, 1]])
    grid = Grid(SHAPE, matrix)
    node = write_transform(scene, affine_field(grid), "sheared", grid)
    inside = grid.to_ras([[4.5, 6.25, 8.0], [20, 10, 15.5]])
    assert np.allclose(through(node, inside, to_parent=False), moved(inside), atol=1e-3)


def test_hardened_on_the_moving_volume_its_voxels_lie_where_the_fixed_ones_do(scene: Any, a_volume: Volume) -> None:
    # The moving volume holds the fixed one's voxels at the places that the mapping sends them to.
    moving = Volume(a_volume.array, Grid(a_volume.shape, FIXED_TO_MOVING @ a_volume.ijk_to_ras), "atlas")
    volume_node = node_from_volume(scene, moving)
    volume_node.SetAndObserveTransformNodeID(write_transform(scene, FIXED_TO_MOVING, "affine").GetID())
    volume_node.HardenTransform()
    back = volume_from_node(volume_node)
    assert back.grid.same_place(a_volume.grid)
    assert np.array_equal(back.array, a_volume.array)


@pytest.mark.parametrize("kind", ["linear", "grid"])
def test_hardened_on_the_moving_segmentation_a_segment_lands_on_the_fixed_place(scene: Any, kind: str) -> None:
    fixed = Grid((40, 40, 40), np.array([[1.0, 0, 0, -20], [0, 1, 0, -20], [0, 0, 1, -20], [0, 0, 0, 1]]))
    block = np.zeros(fixed.shape, np.uint8)
    block[12:28, 14:24, 10:32] = L3.value
    moving = Grid(fixed.shape, FIXED_TO_MOVING @ fixed.ijk_to_ras)
    volume_node = node_from_volume(scene, Volume(block, moving, "atlas"))
    segmentation = create_segmentation(scene, volume_node, "atlas labels")
    (segment_id,) = write_labelmap(segmentation, [L3], block, moving)
    values = FIXED_TO_MOVING if kind == "linear" else affine_field(fixed)
    node = write_transform(scene, values, kind, None if kind == "linear" else fixed)
    segmentation.SetAndObserveTransformNodeID(node.GetID())
    segmentation.HardenTransform()
    landed = read_segment(segmentation, segment_id, fixed)
    apart = np.argwhere(landed).mean(axis=0) - np.argwhere(block).mean(axis=0)
    assert np.abs(apart).max() < 0.25
    # Where the transform is not linear Slicer resamples the segment, which costs it half a voxel all around.
    assert 2 * np.count_nonzero(landed & (block > 0)) / (landed.sum() + np.count_nonzero(block)) > 0.85


@pytest.mark.parametrize(
    ("values", "grid", "words"),
    [
        (np.eye(3), None, r"shape \(4, 4\), got \(3, 3\)"),
        (np.zeros((4, 4)), None, "invertible"),
        (np.eye(4) * 2, None, "row 0 0 0 1"),
        (np.full((4, 4), np.nan), None, "finite"),
        (np.zeros((2, 3, 4, 3)), None, "needs its grid"),
        (np.zeros((4, 3, 2, 3)), Grid((2, 3, 4), np.eye(4)), r"shape \(2, 3, 4, 3\), got \(4, 3, 2, 3\)"),
        (np.full((2, 3, 4, 3), np.nan), Grid((2, 3, 4), np.eye(4)), "NaN"),
    ],
)
def test_what_is_no_transform_is_refused_and_leaves_no_node(
    scene: Any, values: np.ndarray, grid: Grid | None, words: str
) -> None:
    before = scene.GetNumberOfNodes()
    with pytest.raises(GeometryError, match=words):
        write_transform(scene, values, "bad", grid)
    assert scene.GetNumberOfNodes() == before


def test_under_a_parent_transform_a_new_segmentation_keeps_the_volumes_own_lattice(
    scene: Any, a_volume: Volume
) -> None:
    """Saving puts the voxels on this lattice: were it that of the world, they would be resampled."""
    plain = create_segmentation(scene, node_from_volume(scene, a_volume), "plain")
    parent = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = vtk_from_matrix(np.array([[0.0, -1, 0, 30], [0.8, 0, -0.6, 5], [0.6, 0, 0.8, -9], [0, 0, 0, 1]]))
    parent.SetMatrixTransformToParent(matrix)
    volume = node_from_volume(scene, a_volume)
    volume.SetAndObserveTransformNodeID(parent.GetID())
    moved = create_segmentation(scene, volume, "moved")
    name = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    geometry = [one.GetSegmentation().GetConversionParameter(name) for one in (plain, moved)]
    assert geometry[0]
    assert geometry[0] == geometry[1]
