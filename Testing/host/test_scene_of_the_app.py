"""A scene that another face has written: the panel finds volume, segments and prompts in it, and goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def test_the_panel_goes_on_from_the_state_that_another_face_has_written(l3: Any, tmp_path: Path) -> None:
    markers = [one.places for one in l3.panel.desk.markers()]
    file = l3.host.save_scene(tmp_path)
    write_state_anew(file)
    l3.host.open_scene(file)
    l3.volume = l3.state.inputVolume
    l3.host.show(l3.volume)
    l3.settle()
    assert [one.places for one in l3.panel.desk.markers()] == markers
    assert l3.host.ui.selectedSegmentLabel.text == "L3"
    assert l3.dice("L3") > 0.7
    l3.click("L3")  # on its marker, which takes it back
    l3.settle()
    assert l3.panel.desk.markers() == ()
    assert not l3.voxels("L3").any()


def write_state_anew(file: Path) -> None:
    """Replace all that the panel keeps in a scene file by what a face without it writes."""
    from SAMSpineLib.mrml.panel_state import PanelState, write_state
    from SAMSpineLib.mrml.scene import headless_scene

    scene = headless_scene()
    scene.SetURL(str(file))
    assert scene.Import()
    kept = scene.GetSingletonNode("SAMSpine", "vtkMRMLScriptedModuleNode")
    state = PanelState(
        kept.GetNodeReference("inputVolume"),
        kept.GetNodeReference("segmentation"),
        kept.GetParameter("promptLog"),
        "L3",
    )
    scene.RemoveNode(kept)
    written = write_state(scene, state)
    assert "device" not in written.GetParameterNames()
    assert scene.Commit()
