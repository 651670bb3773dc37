"""The module opens, closes and reloads as Slicer's own generic tests do it, and leaves nothing behind."""

from __future__ import annotations

import gc
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest


def test_the_module_says_what_it_is(make_host: Any) -> None:
    module = make_host(main_window=False).module
    assert module.title
    assert module.categories == ["Segmentation"]
    assert "Ctrl+Z" in module.helpText
    assert module.acknowledgementText


def test_the_generic_lifecycle_needs_no_main_window(make_host: Any) -> None:
    host = make_host(main_window=False)
    for _ in range(2):
        host.open()
        host.leave()
    assert host.widget.panel is not None


def test_sections_close_and_open(host: Any) -> None:
    assert host.ui.volumeSelector.visible
    assert host.ui.advancedSection.collapsed
    assert not host.ui.deviceSelector.visible
    host.ui.advancedSection.collapsed = False
    assert host.ui.deviceSelector.visible


def test_the_selectors_follow_the_scene(host: Any) -> None:
    assert host.ui.volumeSelector.currentNode() is None
    node = host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "ct")
    host.scene.AddNewNodeByClass("vtkMRMLModelNode", "a model")
    host.scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    assert host.ui.volumeSelector.nodes() == [node]
    host.ui.volumeSelector.setCurrentNode(node)
    host.scene.RemoveNode(node)
    assert host.ui.volumeSelector.currentNode() is None


def test_a_closed_scene_gets_a_fresh_state(host: Any) -> None:
    before = host.widget.panel.parameterNode
    before.promptLog = "[1]"
    host.scene.Clear(False)
    after = host.widget.panel.parameterNode
    assert after is not before
    assert after.promptLog == ""
    assert host.scene.GetNodeByID(after.parameterNode.GetID()) is after.parameterNode


def test_a_reload_takes_the_packages_anew(host: Any) -> None:
    import SAMSpineLib.labels

    panel, widget = sys.modules["SAMSpineSlicer.Panel"], host.widget
    library, state = {name: one for name, one in sys.modules.items() if name.startswith("SAMSpineLib")}, host.scene
    try:
        host.widget.onReload()
        assert sys.modules["SAMSpineSlicer.Panel"] is not panel
        assert sys.modules.get("SAMSpineLib.labels") is not SAMSpineLib.labels
        assert host.widget is not widget
        assert widget.panel is None
        assert host.widget.panel is not None
        assert host.scene is state
    finally:
        sys.modules.update(library)  # other tests hold classes of theirs


def test_a_scene_closed_elsewhere_gets_no_node_of_ours(host: Any) -> None:
    host.leave()
    host.scene.Clear(True)
    assert host.widget.panel.parameterNode is None
    assert host.scene.GetFirstNodeByClass("vtkMRMLScriptedModuleNode") is None
    host.open()
    assert host.widget.panel.parameterNode.cacheSizeMB == 512


def test_coming_back_finds_the_same_state(host: Any) -> None:
    before = host.widget.panel.parameterNode
    host.leave()
    host.open()
    assert host.widget.panel.parameterNode is before


def test_the_library_is_found_beside_the_module(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module, root = sys.modules["SAMSpine"], str(Path(host.path).parents[1])
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != root])
    module._addLibraryToPath()
    assert root not in sys.path
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    module._addLibraryToPath()
    assert sys.path[-1] == root


def test_sample_data_is_offered_with_its_checksum(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import slicer

    offered: list[dict[str, Any]] = []
    logic = SimpleNamespace(registerCustomSampleDataSource=lambda **source: offered.append(source))
    monkeypatch.setitem(sys.modules, "SampleData", SimpleNamespace(SampleDataLogic=logic))
    slicer.modules.sampledata = object()
    slicer.app.startupCompleted.emit()
    assert [source["category"] for source in offered] == ["SAMSpine"]
    assert offered[0]["checksums"].removeprefix("SHA256:") == offered[0]["uris"].rpartition("/")[2]
    assert Path(offered[0]["thumbnailFileName"]).is_file()


def test_nothing_holds_a_closed_panel(make_host: Any) -> None:
    host = make_host()
    widget = weakref.ref(host.open())
    panel = weakref.ref(host.widget.panel)
    scene = host.scene
    host.module.unload()
    host.process()
    gc.collect()
    assert widget() is None
    assert panel() is None
    scene.Clear(False)  # nobody is told who is gone


def test_the_self_test_passes(host: Any) -> None:
    sys.modules["SAMSpine"].SAMSpineTest().runTest()
