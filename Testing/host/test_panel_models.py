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
    assert names(host) == ["ct-sam3d-small", "sam-spine-tiny", "mine"]
    assert host.ui.modelFolderLabel.text == str(folder)


def test_a_model_that_comes_while_the_panel_is_open_is_there_when_it_is_entered_again(folder: Path, host: Any) -> None:
    from SAMSpineLib.models.store.model_store import ModelStore

    host.ui.modelSelector.setCurrentText("mine")
    (folder / "mine.safetensors").rename(folder / "kept")
    ModelStore(folder).remove("mine")
    host.leave()
    host.open()
    assert names(host) == ["ct-sam3d-small", "sam-spine-tiny"]
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
    assert names(host) == ["ct-sam3d-small", "sam-spine-tiny"]
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


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the user's folder of models, not made yet; children of this process see it too."""
    monkeypatch.setenv("SAMSPINE_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def chosen_file(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    import qt

    monkeypatch.setattr(qt.QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))


def wait(host: Any) -> None:
    host.wait_until(lambda: not host.widget.panel.models.command.isRunning, 120)


def entry(host: Any, name: str) -> Any:
    """Open the menu of downloads, and return the line of a model."""
    press(host, host.ui.downloadModelButton)
    lines = host.widget.panel.models.menu.actions()
    return next(line for line in lines if line.text.startswith(f"{name} ("))


@pytest.mark.slow
def test_a_checkpoint_is_added_from_a_file_while_slicer_goes_on(
    mine: Path, host: Any, small_sam: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    torch.save(small_sam, tmp_path / "Spine.pth")
    chosen_file(monkeypatch, tmp_path / "Spine.pth")
    press(host, host.ui.addModelButton)
    assert host.widget.panel.models.command.isRunning
    assert not host.ui.addModelButton.enabled
    wait(host)
    assert host.ui.statusLabel.text == "spine is here: sam-vit-b"
    assert (mine / "spine.safetensors").is_file()
    assert host.ui.addModelButton.enabled


@pytest.mark.slow
def test_a_malicious_checkpoint_is_refused_in_one_line(
    mine: Path, host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    torch.save({"model": {}, "run": print}, tmp_path / "evil.pth")
    chosen_file(monkeypatch, tmp_path / "evil.pth")
    press(host, host.ui.addModelButton)
    wait(host)
    assert "was refused, and nothing in it was run" in host.ui.statusLabel.text
    assert not mine.exists()


def test_terms_are_shown_before_a_download_and_no_ends_it(
    mine: Path, host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer

    shown: list[str] = []
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, *_a, **_o: shown.append(text))
    entry(host, "medsam2").trigger()
    assert "for research and education only" in shown[0]
    assert "https://huggingface.co/wanglab/MedSAM2" in shown[0]
    assert not host.widget.panel.models.command.isRunning
    assert not mine.exists()


@pytest.mark.slow
def test_a_download_that_fails_is_said_in_one_line_and_can_be_tried_again(
    mine: Path, host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer

    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *_a, **_o: True)
    monkeypatch.setenv("SAMSPINE_MODEL_MIRROR", "ftp://nowhere")
    entry(host, "medsam2").trigger()
    assert host.ui.downloadModelButton.text == "Cancel"
    wait(host)
    assert "no address to download from" in host.ui.statusLabel.text
    assert host.ui.downloadModelButton.text == "Download..."


@pytest.mark.slow
def test_a_download_can_be_cancelled_and_ends_with_the_panel(
    mine: Path, host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    import slicer

    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *_a, **_o: True)
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("SAMSPINE_MODEL_MIRROR", f"http://127.0.0.1:{silent.getsockname()[1]}")
        entry(host, "medsam").trigger()
        host.wait_until((mine / "downloads" / "medsam.lock").exists, 60)
        press(host, host.ui.downloadModelButton)
        assert not host.widget.panel.models.command.isRunning
        assert "Cancelled" in host.ui.statusLabel.text
        entry(host, "medsam").trigger()
        command = host.widget.panel.models.command
        assert command.isRunning
        host.widget.onReload()
        assert not command.isRunning
