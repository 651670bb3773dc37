"""The folder, its index, and what becomes of both when something goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from SAMSpineLib.errors import ModelError, OutputError
from SAMSpineLib.file_lock import held
from SAMSpineLib.models.store import model_store
from SAMSpineLib.models.store.model_store import ModelStore, user_folder
from SAMSpineLib.models.store.resolving import names_of, resolve, weights_given
from SAMSpineLib.models.store.stored_model import StoredModel

Add = Callable[..., StoredModel]


@pytest.fixture
def add(store: ModelStore) -> Add:
    """Give a function that stores a few bytes as a model."""

    def added(name: str, architecture: str = "sam-vit-b", content: bytes = b"weights") -> StoredModel:
        model = StoredModel(name, architecture, Path(), image_size=1024, licence="Apache-2.0", citation="Us")
        return store.add(model, lambda path: path.write_bytes(content))

    return added


def test_a_store_that_is_not_there_is_empty_and_is_not_made_by_looking(store: ModelStore) -> None:
    assert store.models() == {}
    assert not store.accepted("medsam2")
    assert store.clear() == ()
    assert not store.folder.exists()


def test_what_is_stored_is_found_by_another_that_looks(store: ModelStore, add: Add) -> None:
    stored = add("one")
    again = ModelStore(store.folder)
    assert again.models() == {"one": stored}
    assert again.verify("one") == stored
    assert (stored.bytes, stored.licence, stored.citation, stored.image_size) == (7, "Apache-2.0", "Us", 1024)


def test_a_folder_that_is_moved_keeps_its_models(store: ModelStore, add: Add, tmp_path: Path) -> None:
    add("one")
    store.folder.rename(tmp_path / "elsewhere")
    assert ModelStore(tmp_path / "elsewhere").verify("one").path == tmp_path / "elsewhere" / "one.safetensors"


def test_a_damaged_or_missing_file_does_not_verify_and_is_not_used(store: ModelStore, add: Add) -> None:
    stored = add("one")
    assert resolve("one") == stored
    stored.path.write_bytes(b"WEIGHTS!")
    with pytest.raises(ModelError, match=r"'one' at .* are damaged: expected SHA-256 .*models remove one"):
        resolve("one")
    stored.path.unlink()
    with pytest.raises(ModelError, match="weights of 'one' are missing"):
        resolve("one")


def test_a_file_is_not_read_again_for_its_checksum_until_it_changes(
    store: ModelStore, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    add("one")
    resolve("one")
    monkeypatch.setattr(model_store, "checksum", lambda _: pytest.fail("read again"))
    resolve("one")


def test_removing_takes_the_file_and_clearing_all_of_them(store: ModelStore, add: Add) -> None:
    for name in ("one", "two", "three"):
        add(name)
    assert store.remove("two").name == "two"
    assert not (store.folder / "two.safetensors").exists()
    store.downloads.mkdir()
    (store.downloads / "half.pth.part").write_bytes(b"half")
    assert store.clear() == ("one", "three")
    assert not [path for path in store.folder.rglob("*.*") if path.name not in {"index.json", ".lock"}]
    with pytest.raises(ModelError, match="no model 'one' in .*; there are: none"):
        store.remove("one")


def test_terms_once_accepted_stay_accepted(store: ModelStore, add: Add) -> None:
    store.accept("medsam2")
    add("medsam2")
    store.remove("medsam2")
    assert store.accepted("medsam2")
    assert not store.accepted("medsam")


def test_an_index_that_cannot_be_written_leaves_no_file_behind(
    store: ModelStore, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    add("one")
    monkeypatch.setattr(model_store.json, "dumps", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        add("two")
    assert not (store.folder / "two.safetensors").exists()
    assert list(store.models()) == ["one"]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"version": 1}', '{"version": 1, "accepted": [], "models": [{"name": "a"}]}',
     '{"version": 1, "accepted": [], "models": [{"name": "a", "architecture": "b", "file": "../../a"}]}'],
)  # fmt: skip
def test_a_damaged_index_is_named_and_not_written_over(store: ModelStore, add: Add, text: str) -> None:
    add("one")
    store.index.write_text(text, encoding="utf-8")
    for use in (store.models, lambda: store.accept("a"), lambda: add("two")):
        with pytest.raises(ModelError, match=r"index\.json is damaged"):
            use()
    assert store.index.read_text(encoding="utf-8") == text


def test_an_index_of_a_later_version_is_left_alone(store: ModelStore) -> None:
    store.folder.mkdir()
    store.index.write_text(json.dumps({"version": 2}), encoding="utf-8")
    with pytest.raises(ModelError, match="has version 2, known is 1; update SAMSpine"):
        store.models()


def test_two_that_change_the_store_at_once_do_not_undo_each_other(store: ModelStore, add: Add) -> None:
    add("one")
    with held(store.folder / ".lock", "A change"), pytest.raises(OutputError, match="going on in another process"):
        add("two")
    add("two")
    assert list(store.models()) == ["one", "two"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = ModelStore(tmp_path / "file" / "models")
    with pytest.raises(OutputError, match="cannot be (made|written)"):
        store.accept("medsam")


def test_the_folder_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SAMSPINE_MODELS", str(tmp_path / "here"))
    assert user_folder() == tmp_path / "here"
    monkeypatch.delenv("SAMSPINE_MODELS")
    assert user_folder() == Path.home() / ".samspine" / "models"


def test_a_name_leads_to_bundled_weights_first_then_to_the_users(store: ModelStore, add: Add) -> None:
    add("mine")
    bundled = resolve("ct-sam3d-small")
    assert (bundled.architecture, bundled.path.parent.name) == ("ct-sam3d-small", "Models")
    assert resolve("mine").path.parent == store.folder
    assert names_of(frozenset({"ct-sam3d-small", "sam-vit-b"})) == ("ct-sam3d-small", "mine")


def test_a_name_without_weights_says_how_to_get_them(store: ModelStore) -> None:
    with pytest.raises(ModelError, match="samspine models download sam2.1-large"):
        resolve("sam2.1-large")
    with pytest.raises(ModelError, match="train it"):
        resolve("ct-sam3d-paper")


def test_weights_given_by_path_are_those_of_the_named_network(store: ModelStore, add: Add, tmp_path: Path) -> None:
    add("mine", "sam2.1-tiny")
    assert weights_given("mine", tmp_path / "w") == StoredModel("mine", "sam2.1-tiny", tmp_path / "w", image_size=1024)
    assert weights_given("medsam2", tmp_path / "w").image_size == 512
    assert weights_given("ct-sam3d-paper", tmp_path / "w").architecture == "ct-sam3d-paper"
