"""A published checkpoint by its name: terms, mirror, conversion."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from SAMSpineLib.errors import ModelError, OutputError
from SAMSpineLib.file_lock import held
from SAMSpineLib.models.registry import Release, checksum, releases
from SAMSpineLib.models.store import downloading
from SAMSpineLib.models.store.downloading import address_of, agree, download
from SAMSpineLib.models.store.model_store import ModelStore
from SAMSpineLib.models.store.resolving import resolve
from SAMSpineLib.models.store.stored_model import StoredModel

from .conftest import HASTE, FileServer


def get(store: ModelStore, name: str, **settings: Any) -> StoredModel:
    """Accept the terms and download."""
    agree(store, name, lambda _: True)
    return download(store, name, patience=HASTE, **settings)


@pytest.fixture
def published(
    server: FileServer, small_sam: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> FileServer:
    """Give a server whose file is the published 'sam-vit-b'."""
    torch.save(small_sam, tmp_path / "small.pth")
    _publish(server, tmp_path / "small.pth", monkeypatch)
    return server


def _publish(server: FileServer, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.content = path.read_bytes()
    release = replace(
        releases()["sam-vit-b"], address=server.address, bytes=path.stat().st_size, sha256=checksum(path)
    )  # fmt: skip
    monkeypatch.setattr(downloading, "releases", lambda: releases() | {"sam-vit-b": release})


def test_a_published_checkpoint_is_downloaded_once_and_found_by_name(store: ModelStore, published: FileServer) -> None:
    stored = get(store, "sam-vit-b")
    assert (stored.architecture, stored.source, stored.source_sha256) == (
        "sam-vit-b", published.address, published.sha256
    )  # fmt: skip
    assert resolve("sam-vit-b") == stored
    assert not list(store.downloads.glob("*.pth*")), "the pickle is not kept"
    with pytest.raises(ModelError, match="There is a model 'sam-vit-b' .* already"):
        get(store, "sam-vit-b")


def test_terms_come_before_the_first_byte_and_are_asked_for_once(store: ModelStore, published: FileServer) -> None:
    shown: list[Release] = []
    for refuses in (lambda: agree(store, "sam-vit-b", lambda _: False), lambda: download(store, "sam-vit-b")):
        with pytest.raises(ModelError, match=r"terms of 'sam-vit-b' \(Apache-2\.0, https://.*\) were not accepted"):
            refuses()
    assert published.asked == []
    agree(store, "sam-vit-b", lambda release: not shown.append(release))
    download(store, "sam-vit-b", patience=HASTE)
    store.remove("sam-vit-b")
    agree(store, "sam-vit-b", lambda release: not shown.append(release))
    assert [release.licence for release in shown] == ["Apache-2.0"]


@pytest.mark.parametrize("by_setting", [True, False])
def test_a_mirror_serves_in_the_publishers_place(
    store: ModelStore, published: FileServer, monkeypatch: pytest.MonkeyPatch, *, by_setting: bool
) -> None:
    mirror = published.address.rpartition("/")[0] + "/"
    away = replace(downloading.releases()["sam-vit-b"], address="https://nobody.invalid/sam_vit_b_01ec64.pth")
    monkeypatch.setattr(downloading, "releases", lambda: {"sam-vit-b": away})
    if by_setting:
        monkeypatch.setenv("SAMSPINE_MODEL_MIRROR", mirror)
    stored = get(store, "sam-vit-b", mirror=None if by_setting else mirror)
    assert stored.source == published.address
    assert published.asked[0].handler.path == "/sam_vit_b_01ec64.pth"


def test_a_malicious_file_in_a_published_ones_place_is_refused(store: ModelStore, published: FileServer) -> None:
    published.content = published.content[:-1] + b"!"
    with pytest.raises(ModelError, match="not the file that was published"):
        get(store, "sam-vit-b")
    assert store.models() == {}


def test_a_file_without_a_known_checksum_must_still_be_the_network(
    store: ModelStore, published: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = replace(
        downloading.releases()["sam-vit-b"], name="medsam2-2411", architecture="sam2.1-tiny", sha256=None, bytes=5
    )
    monkeypatch.setattr(downloading, "releases", lambda: {"medsam2-2411": release})
    with pytest.raises(ModelError, match=r"has the shapes of sam-vit-b, expected were those of sam2\.1-tiny"):
        get(store, "medsam2-2411")
    assert not list(store.downloads.glob("*.pth*"))
    right = replace(release, architecture="sam-vit-b")
    monkeypatch.setattr(downloading, "releases", lambda: {"medsam2-2411": right})
    assert get(store, "medsam2-2411").source_sha256 == published.sha256


def test_two_downloads_of_one_model_do_not_mix(store: ModelStore, published: FileServer) -> None:
    with (
        held(store.downloads / "sam-vit-b.lock", "A download"),
        pytest.raises(OutputError, match="download of 'sam-vit-b' is going on"),
    ):
        get(store, "sam-vit-b")


def test_a_conversion_that_fails_for_want_of_space_does_not_cost_the_download(
    store: ModelStore, published: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("SAMSpineLib.models.store.conversion.save_file", full)
        with pytest.raises(OutputError, match="No space left"):
            get(store, "sam-vit-b")
    get(store, "sam-vit-b")
    assert len(published.asked) == 1


def test_names_that_are_not_to_be_downloaded_say_why(store: ModelStore) -> None:
    with pytest.raises(ModelError, match="comes with SAMSpine"):
        get(store, "ct-sam3d-small")
    with pytest.raises(ModelError, match=r"no 'sam-9000' to download; there are: sam-vit-b, .*medsam2"):
        get(store, "sam-9000")


def test_every_release_has_an_address_a_licence_and_its_terms() -> None:
    for name, release in releases().items():
        assert release.address.startswith("https://"), name
        assert release.terms.startswith("https://"), name
        assert address_of(release, "http://mirror/models/") == f"http://mirror/models/{release.file}"
        assert release.file.endswith((".pt", ".pth"))
        assert release.licence
        assert release.citation
        assert release.sha256 is None or len(bytes.fromhex(release.sha256)) == 32
    assert len({release.file for release in releases().values()}) == len(releases()), "a mirror has one of each name"
