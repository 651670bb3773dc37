"""Volume nodes and volumes: the same voxels at the same places, both ways."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer")

from scipy.spatial.transform import Rotation
from vtkmodules.util import numpy_support
from vtkmodules.vtkCommonCore import VTK_UNSIGNED_CHAR
from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkCommonTransforms import vtkThinPlateSplineTransform

from SAMSpineLib.errors import GeometryError, VolumeError
from SAMSpineLib.mrml.geometry import vtk_from_matrix
from SAMSpineLib.mrml.volumes import node_from_volume, volume_from_node
from SAMSpineLib.volume import Volume

MOVE = np.eye(4)
MOVE[:3, :3] = Rotation.from_euler("zyx", (30, 5, -11), degrees=True).as_matrix()
MOVE[:3, 3] = (4, -90, 17)


def _transform(scene: Any, matrix: np.ndarray) -> Any:
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    transform.SetMatrixTransformToParent(vtk_from_matrix(matrix))
    return transform


def test_a_volume_comes_back_from_its_node(scene: Any, lattice: np.ndarray, make_volume: Callable[..., Volume]) -> None:
    volume = make_volume(lattice)
    back = volume_from_node(node_from_volume(scene, volume))
    assert np.array_equal(back.array, volume.array)
    assert back.array.dtype == volume.array.dtype
    assert back.grid.same_place(volume.grid, tolerance=1e-6)
    assert back.name == "ct"


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_every_voxel_type_is_kept(scene: Any, make_volume: Callable[..., Volume], dtype: Any) -> None:
    volume = make_volume(dtype=dtype)
    back = volume_from_node(node_from_volume(scene, volume))
    assert back.array.dtype == np.dtype(dtype)
    assert np.array_equal(back.array, volume.array)


@pytest.mark.parametrize(("dtype", "stored"), [(bool, np.uint8), (np.float16, np.float32), (">i2", np.int16)])
def test_a_type_that_vtk_lacks_is_widened_not_garbled(
    scene: Any, make_volume: Callable[..., Volume], dtype: Any, stored: Any
) -> None:
    volume = make_volume(dtype=dtype)
    back = volume_from_node(node_from_volume(scene, volume))
    assert back.array.dtype == np.dtype(stored)
    assert np.array_equal(back.array, volume.array)


def test_a_point_of_the_node_and_of_the_volume_are_the_same_voxel(a_volume_node: Any) -> None:
    volume = volume_from_node(a_volume_node)
    image = a_volume_node.GetImageData()
    for k, j, i in [(0, 0, 0), (3, 5, 7), (19, 23, 27)]:
        assert volume.array[k, j, i] == image.GetScalarComponentAsDouble(i, j, k, 0)


def test_nothing_is_copied_and_the_users_voxels_cannot_be_written(a_volume_node: Any) -> None:
    volume = volume_from_node(a_volume_node)
    theirs = numpy_support.vtk_to_numpy(a_volume_node.GetImageData().GetPointData().GetScalars())
    assert np.shares_memory(volume.array, theirs)
    with pytest.raises(ValueError, match="read-only"):
        volume.array[0, 0, 0] = 1


def test_voxels_stay_valid_after_the_node_is_gone(scene: Any, a_volume: Volume) -> None:
    node = node_from_volume(scene, a_volume)
    held = volume_from_node(node)
    scene.RemoveNode(node)
    del node
    gc.collect()
    assert np.array_equal(held.array, a_volume.array)


def test_the_node_does_not_share_the_arrays_memory(scene: Any, a_volume: Volume) -> None:
    node = node_from_volume(scene, a_volume)
    assert not np.shares_memory(volume_from_node(node).array, a_volume.array)


def test_linear_parent_transforms_move_the_volume(scene: Any, a_volume: Volume, a_volume_node: Any) -> None:
    inner, outer = _transform(scene, MOVE), _transform(scene, np.diag([1, 1, 1.1, 1.0]))
    inner.SetAndObserveTransformNodeID(outer.GetID())
    a_volume_node.SetAndObserveTransformNodeID(inner.GetID())
    expected = np.diag([1, 1, 1.1, 1.0]) @ MOVE @ a_volume.ijk_to_ras
    assert np.allclose(volume_from_node(a_volume_node).ijk_to_ras, expected, atol=1e-9)


def test_a_non_linear_parent_transform_is_refused_with_the_remedy(scene: Any, a_volume_node: Any) -> None:
    warp = scene.AddNewNodeByClass("vtkMRMLTransformNode", "warp")
    warp.SetAndObserveTransformToParent(vtkThinPlateSplineTransform())
    a_volume_node.SetAndObserveTransformNodeID(warp.GetID())
    with pytest.raises(GeometryError, match=r"'ct'.*non-linear transform 'warp'.*harden"):
        volume_from_node(a_volume_node)


def test_an_empty_node_is_refused_by_name(scene: Any) -> None:
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "hollow")
    with pytest.raises(VolumeError, match=r"'hollow' has no voxels"):
        volume_from_node(node)


def test_a_colour_node_is_refused_by_name(scene: Any) -> None:
    image = vtkImageData()
    image.SetDimensions(3, 3, 3)
    image.AllocateScalars(VTK_UNSIGNED_CHAR, 3)
    node = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "photo")
    node.SetAndObserveImageData(image)
    with pytest.raises(VolumeError, match=r"'photo' has 3 values per voxel"):
        volume_from_node(node)
