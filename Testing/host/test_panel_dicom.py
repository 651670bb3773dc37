"""A DICOM series of many files whose slices lie obliquely in the patient, under a rotated transform."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SERIES = Path(__file__).resolve().parents[1] / "library" / "io" / "conftest.py"
SPACING = (1.5, 1.8, 2.5)  # along I, J, K


def turned(about_s: float, about_r: float) -> np.ndarray:
    """Return a rotation (3, 3) by two angles in degrees."""
    a, b = np.radians([about_s, about_r])
    first = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    return first @ np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])


@pytest.fixture(scope="module")
def series(phantom: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """Write the phantom as one file a slice, 12 and 15 degrees out of the axes; give the folder and the truth in it."""
    pytest.importorskip("pydicom")
    from SAMSpineLib.resampling import sample, sample_labels
    from SAMSpineLib.volume import Grid

    spec = importlib.util.spec_from_file_location("series_for_the_panel", SERIES)
    writing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(writing)
    # In LPS, as DICOM has it: I to the left, J to the back, K to the head, and then turned.
    axes = turned(12.0, 15.0) @ np.diag([-1.0, -1.0, 1.0])
    corners = phantom.image.grid.corners()
    size = np.ceil(np.ptp(corners, axis=0) * 1.1 / SPACING).astype(int)
    matrix = np.eye(4)
    matrix[:3, :3] = axes * SPACING
    matrix[:3, 3] = corners.mean(axis=0) - matrix[:3, :3] @ ((size - 1) / 2)
    grid = Grid(tuple(size[::-1].tolist()), matrix)
    voxels = sample(phantom.image.array, phantom.image.grid, grid, fill=-1024.0).round().astype(np.int16)
    lps = np.array([-1.0, -1.0, 1.0])
    folder = writing.write_series(
        tmp_path_factory.mktemp("dicom") / "series", voxels,
        positions=[(grid.to_ras([0, 0, k]) * lps).round(6).tolist() for k in range(size[2])],
        orientation=[*(axes[:, 0] * lps).round(9), *(axes[:, 1] * lps).round(9)],
        PixelSpacing=[SPACING[1], SPACING[0]], SliceThickness=SPACING[2],
    )  # fmt: skip
    return folder, sample_labels(phantom.labels.array, phantom.labels.grid, grid)


def test_it_is_clicked_corrected_saved_and_goes_on(host: Any, engine: Any, series: Any, tmp_path: Path) -> None:
    from slicerhost.driver import Driver

    from SAMSpineLib.io import read_volume
    from SAMSpineLib.mrml.geometry import vtk_from_matrix

    folder, truth = series
    assert len(list(folder.iterdir())) == len(truth)
    image = read_volume(folder)
    assert image.shape == truth.shape
    user = Driver(host, image, truth)
    user.state.serverAddress, user.state.tokenFile = engine
    turn = np.eye(4)
    turn[:3, :3], turn[:3, 3] = turned(-40.0, 25.0), (20.0, -10.0, 35.0)
    transform = host.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "patient")
    transform.SetMatrixTransformToParent(vtk_from_matrix(turn))
    user.volume.SetAndObserveTransformNodeID(transform.GetID())
    host.show(user.volume)
    for name in ("L3", "L4"):
        user.choose(name)
        user.click(name)
        user.settle()
        assert user.dice(name) > 0.7
    assert user.segmentation.GetTransformNodeID() == transform.GetID()
    before = user.voxels("L3")
    host.open_scene(host.save_scene(tmp_path))
    user.volume = user.state.inputVolume
    host.show(user.volume)
    user.choose("L2")
    assert len(user.panel.desk.markers()) == 2
    user.click("L2")
    user.settle()
    assert user.dice("L2") > 0.7
    assert np.array_equal(user.voxels("L3"), before)
