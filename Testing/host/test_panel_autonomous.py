"""Autonomous mode from its button: progress, result, review, cancel, correction by clicks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")


def run(user: Any) -> None:
    user.host.press(user.host.ui.autonomousButton)
    user.settle()


def test_the_whole_spine_is_named_and_can_be_corrected(spine: Any) -> None:
    from SAMSpineLib.mrml.segment_labels import tag_of

    texts, shares = [], []
    spine.host.ui.autonomousProgress.valueChanged.connect(shares.append)
    spine.host.press(spine.host.ui.autonomousButton)
    texts.append(spine.host.ui.autonomousButton.text)
    spine.settle()
    assert texts == ["Cancel"]
    assert max(shares) > 50
    assert not spine.host.ui.autonomousProgress.visible
    segments = spine.segmentation.GetSegmentation()
    assert len(spine.names) >= 3
    assert tag_of(segments.GetSegment(segments.GetNthSegmentID(0)), "DICOM.SegmentAlgorithmType") == "AUTOMATIC"
    table = spine.host.ui.reviewTable
    assert table.rowCount == len(spine.names)
    level = table.item(0, 0).text()
    node = spine.host.view("Red").mrmlSliceNode()
    offset = node.GetSliceOffset()
    spine.host.press_cell(table, table.rowCount - 1, 0)
    spine.settle()
    assert node.GetSliceOffset() != offset
    assert level in spine.names
    name = spine.host.ui.selectedSegmentLabel.text
    before = spine.voxels(name)
    spine.tool("N")
    spine.host.click("Red", spine.panel.desk.bench.to_world(spine.panel.desk.review[-1].place))
    spine.settle()
    assert not np.array_equal(spine.voxels(name), before)
    spine.host.key("Ctrl+Z")
    spine.settle()
    assert np.array_equal(spine.voxels(name), before)


def test_cancelled_it_keeps_what_was_there_and_clicks_go_on(spine: Any) -> None:
    spine.choose("L3")
    spine.click("L3")
    spine.settle()
    before = spine.voxels("L3")
    spine.host.press(spine.host.ui.autonomousButton)
    spine.host.press(spine.host.ui.autonomousButton)
    spine.settle()
    assert spine.host.ui.autonomousButton.text != "Cancel"
    assert (spine.voxels("L3") & before).sum() > 0.5 * before.sum()
    spine.choose("L5")
    spine.click("L5")
    spine.settle()
    assert spine.dice("L5") > 0.5


def test_its_segments_are_saved_and_go_on(spine: Any, tmp_path: Any) -> None:
    run(spine)
    names = spine.names
    saved = {name: spine.voxels(name) for name in names}
    spine.host.open_scene(spine.host.save_scene(tmp_path))
    spine.volume = spine.state.inputVolume
    spine.host.show(spine.volume)
    spine.choose(names[1])
    spine.click("L3", key="N")
    spine.settle()
    for name in set(names) - {names[1]}:
        assert np.array_equal(spine.voxels(name), saved[name])
    assert len(spine.panel.desk.markers()) >= 1


@pytest.fixture
def with_atlas(spine_alone: Any, phantom: Any, tmp_path: Any) -> Iterator[Any]:
    """Give a user whose engine knows one atlas: the spine itself, somewhere else."""
    pytest.importorskip("torch")
    from slicerhost.served import serving

    from SAMSpineLib.atlas.atlas import Atlas
    from SAMSpineLib.engine.networks import Networks
    from SAMSpineLib.engine.service.hosting import Hosting
    from SAMSpineLib.models.build import build_localiser, build_promptable
    from SAMSpineLib.volume import Grid

    matrix = phantom.labels.grid.ijk_to_ras.copy()
    matrix[:3, 3] += (0.0, 15.0, 0.0)
    atlas = Atlas("mine", phantom.labels.array.astype(np.uint16), Grid(phantom.labels.grid.shape, matrix))
    networks = Networks(lambda _: build_promptable(), lambda _: build_localiser())
    with serving(Hosting(networks, atlases=lambda: (atlas,)), tmp_path) as address:
        spine_alone.state.serverAddress, spine_alone.state.tokenFile = address
        yield spine_alone


@pytest.mark.slow
def test_the_transforms_of_a_run_by_atlas_come_into_the_scene_on_request(with_atlas: Any) -> None:
    user, button = with_atlas, with_atlas.host.ui.transformsButton
    assert not button.enabled
    user.state.method = "atlas"
    run(user)
    user.host.press(button)
    user.settle()
    nodes = slicer.util.getNodesByClass("vtkMRMLGridTransformNode")
    assert user.host.status() == f"{len(nodes)} transforms are in the scene"
    assert {node.GetName().rpartition(" to ")[2] for node in nodes} <= set(user.names)
    node = slicer.util.getFirstNodeByName("mine to L3")
    found = np.array(node.GetTransformFromParent().TransformPoint(*user.place("L3"))) - user.place("L3")
    assert np.linalg.norm(found - (0.0, 15.0, 0.0)) < 5
    user.state.method = "centres"
    run(user)
    assert not button.enabled
