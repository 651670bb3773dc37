"""Checkpoints in Meta's own format become models that are found by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from SAMSpineLib.errors import MissingExtraError, ModelError, OutputError
from SAMSpineLib.models.ct_sam3d.config import CONFIGS
from SAMSpineLib.models.ct_sam3d.network import CTSAM3D
from SAMSpineLib.models.registry import checksum
from SAMSpineLib.models.store import adding
from SAMSpineLib.models.store.adding import Given, add_checkpoint
from SAMSpineLib.models.store.model_store import ModelStore
from SAMSpineLib.models.store.resolving import architecture_of, resolve
from SAMSpineLib.models.weights import save_weights


@pytest.fixture
def sam_file(tmp_path: Path, small_sam: dict[str, Any]) -> Path:
    """Give a file that is recognised as SAM's ViT-B and holds next to nothing."""
    torch.save(small_sam, tmp_path / "My Spine-SAM_v2.pth")
    return tmp_path / "My Spine-SAM_v2.pth"


def test_a_sam_in_metas_format_is_recognised_kept_and_found_again(store: ModelStore, meta_files: Any) -> None:
    stored = add_checkpoint(store, meta_files.sam)
    assert (stored.name, stored.architecture, stored.image_size) == ("sam-vit-b-01ec64", "sam-vit-b", 1024)
    assert resolve(stored.name) == stored == store.verify(stored.name)
    assert stored.path == store.folder / "sam-vit-b-01ec64.safetensors"
    kept = load_file(stored.path)
    assert kept.keys() == meta_files.sam_weights.keys()
    assert all(torch.equal(kept[name], value) for name, value in meta_files.sam_weights.items())


def test_a_sam21_in_metas_format_is_kept_without_its_wrapper(store: ModelStore, meta_files: Any) -> None:
    stored = add_checkpoint(store, meta_files.sam2, Given("mine", licence="CC-BY-4.0"))
    assert (stored.architecture, stored.image_size, stored.licence) == ("sam2.1-tiny", 1024, "CC-BY-4.0")
    kept = load_file(stored.path)
    assert kept.keys() == meta_files.sam2_weights.keys()
    assert all(torch.equal(kept[name], value) for name, value in meta_files.sam2_weights.items())
    with safe_open(stored.path, "pt") as handle:
        said = handle.metadata()
    assert (said["model"], said["source"]) == ("sam2.1-tiny", "sam2.1_hiera_tiny.pt")
    assert said["source_sha256"] == checksum(meta_files.sam2) == stored.source_sha256


def test_the_image_size_of_a_sam2_is_what_the_user_says_else_what_the_names_say(
    store: ModelStore, meta_files: Any
) -> None:
    assert add_checkpoint(store, meta_files.sam2, Given("medsam2-of-ours")).image_size == 512
    assert add_checkpoint(store, meta_files.sam2, Given("a", image_size=256)).image_size == 256
    assert add_checkpoint(store, store.model("a").path, Given("b")).image_size == 256


def test_a_file_is_named_after_itself_unless_it_is_a_published_one(
    store: ModelStore, sam_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert add_checkpoint(store, sam_file).name == "my-spine-sam-v2"
    known = adding.releases()
    published = adding.replace(known["medsam"], sha256=checksum(sam_file))
    monkeypatch.setattr(adding, "releases", lambda: known | {"medsam": published})
    stored = add_checkpoint(store, sam_file)
    assert (stored.name, stored.architecture, stored.licence) == ("medsam", "sam-vit-b", known["medsam"].licence)
    assert "Segment anything in medical images" in stored.citation


def test_a_published_name_is_not_given_to_another_file(store: ModelStore, sam_file: Path) -> None:
    with pytest.raises(ModelError, match=r"'medsam' is the name of a published file \(SHA-256 34b34b78c1d1\.\.\.\)"):
        add_checkpoint(store, sam_file, Given("medsam"))
    with pytest.raises(ModelError, match="'ct-sam3d-small' comes with SAMSpine"):
        add_checkpoint(store, sam_file, Given("ct-sam3d-small"))
    assert store.models() == {}


@pytest.mark.parametrize("name", ["", "../evil", "a/b", ".hidden", "a b", "x" * 65, "-"])
def test_what_is_no_name_of_a_file_is_refused(store: ModelStore, sam_file: Path, name: str) -> None:
    with pytest.raises(ModelError, match="cannot be a model's name"):
        store.check_free(name)


def test_two_models_of_one_architecture_live_side_by_side_under_two_names(store: ModelStore, sam_file: Path) -> None:
    add_checkpoint(store, sam_file, Given("one"))
    add_checkpoint(store, sam_file, Given("two"))
    assert list(store.models()) == ["one", "two"]
    assert architecture_of("two") == "sam-vit-b"
    with pytest.raises(ModelError, match="There is a model 'one' in .* already"):
        add_checkpoint(store, sam_file, Given("one"))


def test_own_weights_of_a_network_of_ours_are_added_by_what_they_say(store: ModelStore, tmp_path: Path) -> None:
    from SAMSpineLib.models.build import build_promptable

    path = save_weights(tmp_path / "own.safetensors", CTSAM3D(CONFIGS["ct-sam3d-small"]), {"model": "ct-sam3d-small"})
    with pytest.raises(ModelError, match="no checkpoint of SAM"):
        add_checkpoint(store, path)
    stored = add_checkpoint(store, path, ours={"ct-sam3d-small"})
    assert (stored.name, stored.architecture, stored.image_size) == ("own", "ct-sam3d-small", None)
    assert build_promptable("own").name == "own"


def test_a_file_that_is_no_sam_is_refused_and_nothing_stays(store: ModelStore, tmp_path: Path) -> None:
    torch.save({"model": {"layer.a.weight": torch.ones(3), "head.bias": torch.ones(1)}}, tmp_path / "resnet.pth")
    with pytest.raises(ModelError, match="no checkpoint of SAM or SAM 2"):
        add_checkpoint(store, tmp_path / "resnet.pth")
    assert not store.folder.exists()


def test_a_full_disk_leaves_the_store_as_it_was(store: ModelStore, sam_file: Path, no_file_above: Any) -> None:
    add_checkpoint(store, sam_file, Given("one"))
    before = sorted(store.folder.iterdir())
    with no_file_above(1000), pytest.raises(OutputError):
        add_checkpoint(store, sam_file, Given("two"))
    assert sorted(store.folder.iterdir()) == before
    assert list(store.models()) == ["one"]


def test_a_disk_without_room_is_named_before_anything_is_read(
    store: ModelStore, sam_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adding, "check_room", _no_room)
    with pytest.raises(OutputError, match="no room"):
        add_checkpoint(store, sam_file)


def _no_room(*_: object) -> None:
    msg = "no room"
    raise OutputError(msg)


def test_without_torch_the_extra_that_brings_it_is_named(
    store: ModelStore, sam_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"samspine\[sam\]"):
        add_checkpoint(store, sam_file)
