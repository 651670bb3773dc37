"""A checkpoint of the user's own, in Meta's format, in the panel: slices, other masks, following through the stack.

Its weights are drawn at random, so what is marked is anything; where it is marked, and what undo brings back, is not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def sam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meta_files: Any, spine_alone: Any) -> Any:
    """Give a user whose model is a SAM 2.1 that was just added."""
    pytest.importorskip("sam2")
    from SAMSpineLib.models.store.adding import Given, add_checkpoint
    from SAMSpineLib.models.store.model_store import ModelStore

    monkeypatch.setenv("SAMSPINE_MODELS", str(tmp_path / "models"))
    add_checkpoint(ModelStore(tmp_path / "models"), meta_files.sam2, Given("mine", image_size=128))
    spine_alone.host.leave()
    spine_alone.host.open()
    spine_alone.host.ui.modelSelector.setCurrentText("mine")
    spine_alone.host.process()
    return spine_alone


def slices_of_view(user: Any, mask: np.ndarray, view: str) -> set[int]:
    """Return in which of the volume's slices, of those that a view shows, voxels lie."""
    k, j, i = np.nonzero(mask)
    return {int(n) for n in {"Red": k, "Green": j, "Yellow": i}[view]}


def test_a_click_marks_the_slice_of_its_view_and_the_rest_is_one_key_away(sam: Any) -> None:
    ui = sam.host.ui
    assert not ui.otherMaskButton.enabled
    assert not ui.followButton.enabled
    assert "SAM" in ui.followButton.toolTip
    sam.choose("L3")
    sam.click("L3", view="Yellow")
    sam.settle()
    first = sam.voxels("L3")
    assert first.any()
    assert len(slices_of_view(sam, first, "Yellow")) == 1
    assert "Key: A" in ui.followButton.toolTip
    sam.host.key("O")
    sam.settle()
    assert not np.array_equal(sam.voxels("L3"), first)
    sam.host.key("Ctrl+Z")
    sam.settle()
    assert np.array_equal(sam.voxels("L3"), first)
    sam.host.key("A")
    sam.host.process()
    assert ui.followButton.text == "Cancel"
    sam.host.wait_until(lambda: ui.followProgress.value > 5, 60)
    sam.host.press(ui.followButton)
    sam.settle()
    assert ui.followButton.text == "Follow along the slices"
    followed = sam.voxels("L3")
    assert 1 < len(slices_of_view(sam, followed, "Yellow")) < sam.truth.shape[2]
    sam.host.key("Ctrl+Z")
    sam.settle()
    assert np.array_equal(sam.voxels("L3"), first)


def test_a_network_that_sees_cubes_offers_neither(l3: Any) -> None:
    before = l3.voxels("L3")
    assert not l3.host.ui.followButton.enabled
    l3.host.key("O")
    l3.host.key("A")
    l3.settle()
    assert np.array_equal(l3.voxels("L3"), before)
