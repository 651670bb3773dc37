"""The state of the panel: typed, in the scene, saved and read back with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def state(host: Any) -> Any:
    return host.widget.panel.parameterNode


def test_each_value_has_a_type(state: Any) -> None:
    with pytest.raises(TypeError, match="cacheSizeMB"):
        state.cacheSizeMB = "much"
    with pytest.raises(ValueError, match="device"):
        state.device = "abacus"
    with pytest.raises(ValueError, match="smoothing"):
        state.smoothing = 2.0
    with pytest.raises(TypeError, match="inputVolume"):
        state.inputVolume = "ct"


def test_it_is_saved_with_the_scene_and_read_back(host: Any, state: Any, tmp_path: Path) -> None:
    volume = host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "ct")
    prompts = '[{"place": [1.5, -2.0, 3.25], "note": "<&\\"\u00e9|;\\n"}]'
    state.inputVolume, state.promptLog, state.cacheSizeMB, state.showSource = volume, prompts, 1024, True
    file = host.save_scene(tmp_path)
    state.promptLog = "changed since"
    host.open_scene(file)
    again = host.widget.panel.parameterNode
    assert again.inputVolume.GetName() == "ct"
    assert (again.promptLog, again.cacheSizeMB, again.showSource) == (prompts, 1024, True)
    assert again.segmentation is None


def test_a_widget_and_its_value_follow_each_other(host: Any, state: Any) -> None:
    volume = host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "ct")
    host.ui.volumeSelector.setCurrentNode(volume)
    host.ui.cacheSizeSpinBox.value = 128
    host.ui.deviceSelector.setCurrentText("cpu")
    assert (state.inputVolume, state.cacheSizeMB, state.device) == (volume, 128, "cpu")
    state.smoothing, state.serverAddress = 0.25, "https://gpu:1"
    assert (host.ui.smoothingSpinBox.value, host.ui.serverAddressEdit.text) == (0.25, "https://gpu:1")
    host.widget.panel.setParameterNode(None)
    host.ui.cacheSizeSpinBox.value = 256
    assert state.cacheSizeMB == 128
