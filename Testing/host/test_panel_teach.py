"""Teach in the panel: label three slices, teach, find the rest, correct one, save."""

from __future__ import annotations

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


def test_three_slices_are_labelled_taught_found_in_the_rest_corrected_and_saved(user: Any, tmp_path: Path) -> None:
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
    user.host.key("Ctrl+Z")
    user.settle()
    assert np.array_equal(user.voxels("my bones"), found)


def test_a_segment_without_voxels_teaches_nothing(user: Any) -> None:
    user.choose("my bones")
    user.host.ui.teachSection.collapsed = False
    user.host.process()
    user.host.press(user.host.ui.teachButton)
    user.settle()
    assert "no voxels" in user.host.ui.statusLabel.text
    assert user.host.ui.teachButton.text == "Teach"
