"""A scene without an application, lattices of every kind, and volume nodes on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from SAMSpineLib.labels import spine_labels
from SAMSpineLib.volume import Volume

SHAPE = (20, 24, 28)


def _matrix(axes: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = axes * np.array(spacing)
    matrix[:3, 3] = (-31.5, 12.25, 140.0)
    return matrix


LATTICES = {
    "RAS": _matrix(np.eye(3), (1, 1, 1)),
    "LPS": _matrix(np.diag([-1.0, -1, 1]), (0.7, 0.7, 0.7)),
    "left-handed": _matrix(np.diag([1.0, -1, 1]), (1, 1, 1)),
    "sagittal anisotropic": _matrix(np.array([[0, 0, 1.0], [-1, 0, 0], [0, -1, 0]]), (0.5, 0.5, 3.3)),
    "oblique anisotropic": _matrix(Rotation.from_euler("xyz", (12, -7, 25), degrees=True).as_matrix(), (0.6, 0.8, 2.5)),
}


@pytest.fixture
def scene() -> Any:
    # Not at the top: without slicer-core the tests of this folder are to be skipped, and this file must still load.
    from SAMSpineLib.mrml.scene import headless_scene

    return headless_scene()


@pytest.fixture(params=list(LATTICES))
def lattice(request: pytest.FixtureRequest) -> np.ndarray:
    return LATTICES[request.param]


@pytest.fixture
def make_volume() -> Callable[..., Volume]:
    def make(matrix: np.ndarray = LATTICES["oblique anisotropic"], dtype: Any = np.int16) -> Volume:
        array = np.random.default_rng(7).integers(-1000, 3000, SHAPE).astype(dtype)
        return Volume.from_array(array, matrix, name="ct")

    return make


@pytest.fixture
def a_volume(make_volume: Callable[..., Volume]) -> Volume:
    return make_volume()


@pytest.fixture
def a_volume_node(scene: Any, a_volume: Volume) -> Any:
    from SAMSpineLib.mrml.volumes import node_from_volume

    return node_from_volume(scene, a_volume)


@pytest.fixture
def a_segmentation(scene: Any, a_volume_node: Any) -> Any:
    from SAMSpineLib.mrml.segments import create_segmentation

    return create_segmentation(scene, a_volume_node, "spine")


@pytest.fixture
def three_vertebrae(a_segmentation: Any, a_volume: Volume) -> Any:
    """L3 over L4 over L5, slab upon slab, in one shared layer."""
    from SAMSpineLib.mrml.segments import write_labelmap

    labels = [spine_labels().by_name(name) for name in ("L3", "L4", "L5")]
    array = np.zeros(a_volume.shape, np.uint8)
    for label, start in zip(labels, (12, 7, 2), strict=True):
        array[start : start + 5, 6:18, 8:20] = label.value
    write_labelmap(a_segmentation, labels, array, a_volume.grid)
    assert a_segmentation.GetSegmentation().GetNumberOfLayers() == 1
    return a_segmentation
