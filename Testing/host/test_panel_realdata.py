"""The panel on a real patient, from load to save by mouse and keys, and on a DICOM series under a rotated transform."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.realdata, pytest.mark.slow]

TURN = np.array([[0.0, -1, 0, 30], [0.96, 0, -0.28, -20], [0.28, 0, 0.96, 5], [0, 0, 0, 1]])


@pytest.fixture
def user(host: Any, engine: Any, data_dir: Path) -> Any:
    """Give a user with sub-verse014 (L1 to L5, an expert's truth) in front."""
    from slicerhost.driver import Driver

    from SAMSpineLib.io import read_volume

    folder = data_dir / "ct" / "sub-verse014"
    truth = read_volume(folder / "sub-verse014_seg-vert_msk.nii.gz").array
    driver = Driver(host, read_volume(folder / "sub-verse014_ct.nii.gz"), truth)
    driver.state.serverAddress, driver.state.tokenFile = engine
    return driver


def test_a_whole_session_on_a_real_spine(user: Any, tmp_path: Path) -> None:
    user.choose("L3")
    user.click("L3", view="Yellow")
    user.settle()
    first = user.voxels("L3")
    assert user.dice("L3") > 0.85
    user.click("L1", key="N")
    user.settle()
    user.host.key("Ctrl+Z")
    user.settle()
    assert np.array_equal(user.voxels("L3"), first)
    user.host.key("Ctrl+Y")
    user.settle()
    assert len(user.panel.desk.markers()) == 2
    user.host.key(",")
    user.click("L2")
    user.settle()
    assert user.dice("L2") > 0.85
    user.choose("a box on L1")
    user.tool("X")
    r, a, s = user.place("L1")
    user.host.drag("Red", [(r - 30, a - 30, s), (r, a, s), (r + 30, a + 25, s)])
    user.settle()
    assert user.voxels("a box on L1").any()
    before = {name: user.voxels(name) for name in user.names}
    user.host.open_scene(user.host.save_scene(tmp_path))
    user.volume = user.state.inputVolume
    user.host.show(user.volume)
    user.choose("L4")
    user.click("L4")
    user.settle()
    assert user.dice("L4") > 0.8
    for name, voxels in before.items():
        assert np.array_equal(user.voxels(name), voxels)


def test_a_real_spine_without_a_click(user: Any) -> None:
    user.host.press(user.host.ui.autonomousButton)
    user.settle()
    names = ("L1", "L2", "L3", "L4", "L5")
    assert set(names) <= set(user.names)
    assert np.mean([user.dice(name) for name in names]) > 0.85


def test_a_dicom_series_under_a_rotated_transform(host: Any, engine: Any, data_dir: Path) -> None:
    from slicerhost.driver import Driver

    from SAMSpineLib.io import read_volume
    from SAMSpineLib.mrml.geometry import vtk_from_matrix

    folder = data_dir / "ct" / "ts_dicom20" / "dicom"
    if not folder.is_dir():
        pytest.skip("needs the DICOM series")
    image = read_volume(folder)
    user = Driver(host, image, np.zeros(image.shape, np.uint8))
    user.state.serverAddress, user.state.tokenFile = engine
    transform = host.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "patient")
    transform.SetMatrixTransformToParent(vtk_from_matrix(TURN))
    user.volume.SetAndObserveTransformNodeID(transform.GetID())
    host.show(user.volume)
    host.press(host.ui.autonomousButton)
    user.settle()
    assert user.names
    row = user.panel.desk.review[0]
    seen = user.panel.desk.bench.to_world(row.place)
    user.choose("one by hand")
    user.tool("P")
    host.click("Red", seen)
    user.settle()
    name = user.segmentation.GetSegmentation().GetSegment(row.segment_id).GetName()
    assert user.voxels(name).any()
    assert user.segmentation.GetTransformNodeID() == transform.GetID()
