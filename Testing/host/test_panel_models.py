"""The folder of models in the section Advanced: what is in it, whether it is whole, and how to empty it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the user's folder of models, with one model of which the panel knows the network."""
    from SAMSpineLib.models.store.model_store import ModelStore
    from SAMSpineLib.models.store.stored_model import StoredModel

    monkeypatch.setenv("SAMSPINE_MODELS", str(tmp_path / "models"))
    store = ModelStore(tmp_path / "models")
    store.add(StoredModel("mine", "ct-sam3d-small", Path()), lambda path: path.write_bytes(b"weights"))
    return store.folder


def names(host: Any) -> list[str]:
    selector = host.ui.modelSelector
    return [selector.itemText(index) for index in range(selector.count)]


def press(host: Any, button: Any) -> None:
    """Press a button of a section that is closed at first."""
    host.ui.advancedSection.collapsed = False
    host.press(button)


def test_bundled_and_own_models_are_offered_the_default_first(folder: Path, host: Any) -> None:
    assert names(host) == ["ct-sam3d-small", "mine"]
    assert host.ui.modelFolderLabel.text == str(folder)


def test_a_model_that_comes_while_the_panel_is_open_is_there_when_it_is_entered_again(folder: Path, host: Any) -> None:
    from SAMSpineLib.models.store.model_store import ModelStore

    host.ui.modelSelector.setCurrentText("mine")
    (folder / "mine.safetensors").rename(folder / "kept")
    ModelStore(folder).remove("mine")
    host.leave()
    host.open()
    assert names(host) == ["ct-sam3d-small"]
    assert host.widget.panel.parameterNode.modelName == "ct-sam3d-small"


def test_verifying_counts_all_and_names_what_is_damaged(folder: Path, host: Any) -> None:
    press(host, host.ui.verifyModelsButton)
    assert "models are as they were" in host.ui.statusLabel.text
    (folder / "mine.safetensors").write_bytes(b"WEIGHTS")
    press(host, host.ui.verifyModelsButton)
    assert "'mine'" in host.ui.statusLabel.text
    assert "damaged" in host.ui.statusLabel.text


def test_clearing_asks_first_then_removes_the_users_own(
    folder: Path, host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer

    asked: list[str] = []
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, *_a, **_o: asked.append(text))
    press(host, host.ui.clearModelsButton)
    assert "1 models of your own" in asked[0]
    assert (folder / "mine.safetensors").is_file()
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *_a, **_o: True)
    host.ui.modelSelector.setCurrentText("mine")
    press(host, host.ui.clearModelsButton)
    assert not (folder / "mine.safetensors").exists()
    assert names(host) == ["ct-sam3d-small"]
    assert host.widget.panel.parameterNode.modelName == "ct-sam3d-small"
    assert "mine" in host.ui.statusLabel.text


def test_looking_makes_no_folder_and_opening_does(host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import qt

    monkeypatch.setenv("SAMSPINE_MODELS", str(tmp_path / "later"))
    shown: list[str] = []
    monkeypatch.setattr(qt.QDesktopServices, "openUrl", lambda url: shown.append(url.toLocalFile()))
    host.leave()
    host.open()
    assert not (tmp_path / "later").exists()
    press(host, host.ui.openModelFolderButton)
    assert shown == [str(tmp_path / "later")]
    assert (tmp_path / "later").is_dir()
