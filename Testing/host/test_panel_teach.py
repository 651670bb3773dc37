"""Teach in the panel: label three slices, teach, find the rest, correct one, save."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, smoke_sam: Path, spine_alone: Any) -> Any:
    """Give a user whose model is a tiny SAM with weights at random, so that teaching it takes seconds."""
    from SAMSpineLib.models.catalogue import add
    from SAMSpineLib.models.store.adding import Given

    monkeypatch.setenv("SAMSPINE_MODELS", str(tmp_path / "models"))
    add(smoke_sam, Given("small"))
    spine_alone.host.leave()
    spine_alone.host.open()
    spine_alone.host.ui.modelSelector.setCurrentText("small")
    spine_alone.host.process()
    return spine_alone


def paint(user: Any, name: str, planes: range) -> np.ndarray:
    """Paint the spine's vertebrae, as a user of the Segment Editor would, in some sagittal slices of a segment."""
    from SAMSpineLib.mask_update import MaskUpdate
    from SAMSpineLib.mrml.segments import write
    from SAMSpineLib.mrml.volumes import grid_of_node

    mask = np.zeros(user.truth.shape, np.uint8)
    mask[:, :, planes] = user.truth[:, :, planes] > 0
    k, j, i = user.truth.shape
    segment_id = user.segmentation.GetSegmentation().GetSegmentIdBySegmentName(name)
    write(user.segmentation, segment_id, MaskUpdate(1, mask, (0, i - 1, 0, j - 1, 0, k - 1)), grid_of_node(user.volume))
    user.host.process()
    return mask


def teach(user: Any) -> np.ndarray:
    """Paint three slices of a structure, teach it for a moment, and return what was painted."""
    ui = user.host.ui
    user.choose("my bones")
    middle = int(np.argmax((user.truth > 0).sum(axis=(0, 1))))
    painted = paint(user, "my bones", range(middle - 2, middle + 4, 2))
    assert painted.any()
    ui.teachSection.collapsed = False
    user.host.process()
    assert ui.teachSegmentLabel.text == "my bones"
    user.host.press(ui.teachButton)
    user.host.process()
    assert ui.teachButton.text == "Cancel"
    user.host.wait_until(lambda: "%" in ui.teachProgress.format and ui.teachProgress.value > 20, 120)
    user.host.press(ui.teachButton)
    user.host.wait_until(lambda: ui.teachButton.text == "Teach", 120)
    return painted


def test_three_slices_are_labelled_taught_found_in_the_rest_corrected_and_saved(user: Any, tmp_path: Path) -> None:
    ui = user.host.ui
    painted = teach(user)
    assert ui.modelSelector.currentText == "my-bones"
    assert user.state.method == "sam2rad"
    assert "'my-bones' was taught" in ui.statusLabel.text
    assert np.array_equal(user.voxels("my bones"), painted > 0)
    user.host.press(ui.autonomousButton)
    user.host.wait_until(lambda: ui.autonomousButton.text != "Cancel", 120)
    user.settle()
    found = user.voxels("my bones")
    assert found.any()
    assert len(set(np.nonzero(found)[2])) > 3, "other slices than those that were labelled"
    user.click("L3", view="Yellow", key="N")
    user.settle()
    corrected = user.voxels("my bones")
    changed = {int(n) for n in np.nonzero(corrected != found)[2]}
    assert len(changed) <= 1
    saved = read_back(user.segmentation, tmp_path / "bones.seg.nrrd", user.volume)
    assert np.array_equal(saved, corrected)
    user.host.key("Ctrl+Z")
    user.settle()
    assert np.array_equal(user.voxels("my bones"), found)


def read_back(segmentation: Any, path: Path, volume: Any) -> np.ndarray:
    """Save a segmentation as Slicer does, and return what the file marks on the volume's grid."""
    from SAMSpineLib.io.writing import read_segmentation
    from SAMSpineLib.mrml.volumes import grid_of_node
    from SAMSpineLib.resampling import sample_labels

    segmentation.AddDefaultStorageNode()
    segmentation.GetStorageNode().SetFileName(str(path))
    assert segmentation.GetStorageNode().WriteData(segmentation)
    saved = read_segmentation(path)
    return sample_labels(saved.labels, saved.grid, grid_of_node(volume)) > 0


@pytest.mark.slow
def test_all_segments_that_have_voxels_are_taught_together_where_that_is_wanted(user: Any) -> None:
    from SAMSpineLib.models.sam2rad.taught import read_card
    from SAMSpineLib.models.store.resolving import user_store

    middle = int(np.argmax((user.truth > 0).sum(axis=(0, 1))))
    for name, planes in (("my disc", range(middle - 3, middle + 3, 2)), ("empty", range(0))):
        user.choose(name)
        paint(user, name, planes)
    user.host.ui.teachAllCheckBox.checked = True
    teach(user)
    name = user.host.ui.modelSelector.currentText
    assert name not in {"my-disc", "my-bones", "small"}
    assert {one.name for one in read_card(user_store().model(name).path).structures} == {"my disc", "my bones"}


def test_a_segment_without_voxels_teaches_nothing(user: Any) -> None:
    user.choose("my bones")
    user.host.ui.teachSection.collapsed = False
    user.host.process()
    user.host.press(user.host.ui.teachButton)
    user.settle()
    assert "no voxels" in user.host.ui.statusLabel.text
    assert user.host.ui.teachButton.text == "Teach"


@pytest.mark.slow
def test_another_volume_in_which_it_was_labelled_teaches_too(user: Any, tmp_path: Path) -> None:
    import slicer

    from SAMSpineLib.mask_update import MaskUpdate
    from SAMSpineLib.models.sam2rad.taught import read_card
    from SAMSpineLib.models.store.resolving import user_store
    from SAMSpineLib.mrml.segment_labels import add_segment
    from SAMSpineLib.mrml.segments import create_segmentation, write
    from SAMSpineLib.mrml.volumes import node_from_volume, volume_from_node

    volume = replace(volume_from_node(user.volume), name="last week's")
    other = create_segmentation(slicer.mrmlScene, node_from_volume(slicer.mrmlScene, volume), "of last week")
    mask = np.asarray(user.truth > 0, np.uint8)
    k, j, i = mask.shape
    mask[:, :, : i // 2] = 0
    write(other, add_segment(other, "my bones"), MaskUpdate(1, mask, (0, i - 1, 0, j - 1, 0, k - 1)), volume.grid)
    teach(user)
    card = read_card(user_store().model("my-bones").path)
    assert sum(card.images) == 2


@pytest.mark.slow
def test_a_folder_is_ranked_and_a_click_opens_the_scan_to_label_next(
    user: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import qt
    import slicer

    from SAMSpineLib.io import read_volume
    from SAMSpineLib.io.writing import write_volume
    from SAMSpineLib.mrml.volumes import node_from_volume, volume_from_node

    teach(user)
    ui, scans = user.host.ui, tmp_path / "scans"
    scans.mkdir()
    volume = volume_from_node(user.volume)
    for name, shift in (("near.nii.gz", 0), ("far.nii.gz", 300)):
        write_volume(scans / name, replace(volume, array=volume.array + np.int16(shift)))
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *_: str(scans))
    monkeypatch.setattr(
        slicer.util, "loadVolume", lambda path: node_from_volume(slicer.mrmlScene, read_volume(path)), raising=False
    )
    user.host.press(ui.rankButton)
    assert ui.rankButton.text == "Cancel"
    user.host.wait_until(lambda: ui.rankButton.text != "Cancel", 120)
    names = [ui.nextTable.item(row, 0).text() for row in range(ui.nextTable.rowCount)]
    gains = [float(ui.nextTable.item(row, 1).text()) for row in range(ui.nextTable.rowCount)]
    assert sorted(names) == ["far.nii.gz", "near.nii.gz"]
    assert gains == sorted(gains, reverse=True)
    assert ui.statusLabel.text == f"Label {names[0]} next"
    ui.nextTable.cellClicked.emit(0, 0)
    user.host.process()
    assert user.state.inputVolume.GetName() == names[0].removesuffix(".nii.gz")
    assert user.state.inputVolume is not user.volume


@pytest.mark.slow
def test_a_folder_of_labelled_images_teaches_too(user: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import qt
    import SimpleITK as sitk

    for number in range(3):
        y, x = np.mgrid[:64, :64]
        disc = np.hypot(y - 20 - 8 * number, x - 30) < 9
        for name, values in (("us", 60 + 120 * disc), ("mask", disc)):
            sitk.WriteImage(sitk.GetImageFromArray(values.astype(np.uint8)), str(tmp_path / f"{number}_{name}.png"))
    ui = user.host.ui
    user.choose("my disc")
    ui.teachSection.collapsed = False
    user.host.process()
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *_: "")
    user.host.press(ui.teachFolderButton)
    assert ui.teachFolderButton.text == "Teach by a folder..."
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    user.host.press(ui.teachFolderButton)
    assert ui.teachFolderButton.text == "Cancel"
    user.host.wait_until(lambda: ui.teachFolderButton.text != "Cancel", 180)
    assert "'my-disc' was taught" in ui.statusLabel.text
    assert ui.modelSelector.currentText == "my-disc"
    assert user.state.method == "sam2rad"


def test_a_model_that_was_not_taught_ranks_nothing_and_says_so(
    user: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import qt

    scans = tmp_path / "scans"
    scans.mkdir()
    (scans / "scan.nii.gz").write_bytes(b"")
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *_: str(scans))
    ui = user.host.ui
    ui.teachSection.collapsed = False
    user.host.process()
    user.host.press(ui.rankButton)
    user.host.wait_until(lambda: ui.rankButton.text != "Cancel", 120)
    assert "taught" in ui.statusLabel.text
    assert not ui.nextTable.visible
