"""`samspine models`: list, download, add, verify, remove; and models of the user wherever `--model` is taken."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from SAMSpineLib.models.registry import checksum, releases

from .conftest import IN_L3


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the user's own folder of models, not made yet."""
    monkeypatch.setenv("SAMSPINE_MODELS", str(tmp_path / "mine"))
    return tmp_path / "mine"


@pytest.fixture
def sam_file(tmp_path: Path, small_sam: dict[str, Any]) -> Path:
    """Give a file of which the shapes say that it is SAM's ViT-B."""
    torch = pytest.importorskip("torch")
    torch.save({"model": small_sam}, tmp_path / "spine_sam.pth")
    return tmp_path / "spine_sam.pth"


@pytest.fixture
def mirror(sam_file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the address of a mirror that has `medsam`, as it was published: the file above."""
    monkeypatch.setenv("no_proxy", "*")
    release = replace(releases()["medsam"], bytes=sam_file.stat().st_size, sha256=checksum(sam_file))
    monkeypatch.setattr("SAMSpineLib.models.store.downloading.releases", lambda: releases() | {"medsam": release})
    (sam_file.parent / "shelf").mkdir()
    (sam_file.parent / "shelf" / release.file).write_bytes(sam_file.read_bytes())

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    handler = functools.partial(Quiet, directory=sam_file.parent / "shelf")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def states(samspine: Any) -> dict[str, str]:
    return {row["name"]: row["state"] for row in json.loads(samspine("models", "list", "--json").out)["models"]}


def test_a_checkpoint_is_added_listed_verified_and_removed(folder: Path, sam_file: Path, samspine: Any) -> None:
    added = json.loads(samspine("models", "add", sam_file, "--name", "mine", "--licence", "CC0-1.0", "--json").out)
    model = added["model"]
    assert (model["name"], model["architecture"], model["image_size"]) == ("mine", "sam-vit-b", 1024)
    assert Path(model["path"]) == folder / "mine.safetensors"
    assert states(samspine)["mine"] == "stored"
    assert "CC0-1.0" in samspine("models", "list").out
    assert json.loads(samspine("models", "verify", "mine", "--json").out) == {"verified": {"mine": model["path"]}}
    assert set(json.loads(samspine("models", "verify", "--json").out)["verified"]) > {"mine"}
    assert json.loads(samspine("models", "remove", "mine", "--json").out)["removed"] == ["mine"]
    assert "mine" not in states(samspine)


def test_all_that_can_be_downloaded_is_listed_with_its_terms(folder: Path, samspine: Any) -> None:
    rows = {row["name"]: row for row in json.loads(samspine("models", "list", "--json").out)["models"]}
    assert {name for name, row in rows.items() if row["state"] == "download"} == set(releases())
    assert rows["medsam2"]["licence"].startswith("CC-BY-SA-4.0")
    assert rows["ct-sam3d-small"]["default"]


def test_a_download_shows_the_terms_and_wants_them_accepted(folder: Path, mirror: str, samspine: Any) -> None:
    refused = samspine("models", "download", "medsam", "--mirror", mirror)
    assert refused.code == 2
    assert "the deposit (https://zenodo.org/records/10689643)" in refused.err
    assert f"from {mirror}/medsam_vit_b.pth" in refused.err
    assert "--accept-licence" in refused.err.splitlines()[-1]
    assert states(samspine)["medsam"] == "download"
    got = samspine("models", "download", "medsam", "--mirror", mirror, "--accept-licence", "--json")
    assert "Licence: Apache-2.0" in got.err
    assert json.loads(got.out)["model"]["architecture"] == "sam-vit-b"
    assert states(samspine)["medsam"] == "stored"
    again = samspine("models", "download", "medsam", "--mirror", mirror)
    assert (again.code, len(again.err.splitlines())) == (2, 1)


def test_a_terminal_is_asked_and_no_is_an_answer(
    folder: Path, mirror: str, samspine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("SAMSpineLib.cli.models._is_terminal", lambda: True)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
    ended = samspine("models", "download", "medsam", "--mirror", mirror)
    assert ended.code == 2
    assert "were not accepted: nothing was downloaded" in ended.err
    monkeypatch.setattr("typer.confirm", lambda *_, **__: True)
    assert samspine("models", "download", "medsam", "--mirror", mirror).code == 0


def test_a_file_without_a_published_checksum_tells_its_own(
    folder: Path, mirror: str, sam_file: Path, samspine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    unchecked = replace(releases()["medsam"], sha256=None)
    monkeypatch.setattr("SAMSpineLib.models.store.downloading.releases", lambda: {"medsam": unchecked})
    got = samspine("models", "download", "medsam", "--mirror", mirror, "--accept-licence")
    assert got.code == 0
    assert f"No checksum of 'medsam' is published: this file's SHA-256 is {checksum(sam_file)}" in got.err


def test_a_malicious_checkpoint_is_one_line(folder: Path, tmp_path: Path, samspine: Any) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"model": {}, "run": print}, tmp_path / "evil.pth")
    ended = samspine("models", "add", tmp_path / "evil.pth")
    assert (ended.code, ended.out, len(ended.err.splitlines())) == (2, "", 1)
    assert "refused, and nothing in it was run" in ended.err
    assert not folder.exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["download", "sam-9000"], "no 'sam-9000' to download"),
        (["download", "ct-sam3d-small"], "comes with SAMSpine"),
        (["download", "medsam", "--accept-licence", "--mirror", "ftp://x/"], "no address to download from"),
        (["add", "none.pth"], "none.pth' does not exist"),
        (["remove"], "--all"),
        (["remove", "none"], "no model 'none'"),
        (["remove", "none", "--all"], "--all"),
        (["verify", "none"], "no model 'none'"),
    ],
)
def test_what_cannot_be_done_is_said_in_the_last_line(
    words: list[str], expected: str, folder: Path, samspine: Any
) -> None:
    ended = samspine("models", *words)
    assert (ended.code, ended.out) == (2, "")
    assert expected in ended.err.splitlines()[-1]


def test_a_weight_file_of_the_users_own_is_named_by_every_verb(
    folder: Path, case: Any, tmp_path: Path, weights: Path, samspine: Any
) -> None:
    assert samspine("models", "add", weights, "--name", "mine").code == 0
    ended = samspine("segment", case.image, tmp_path / "o.seg.nrrd", "--click", IN_L3, "--model", "mine", "--json")
    assert ended.code == 0, ended.err
    assert (tmp_path / "o.seg.nrrd").is_file()
    unknown = samspine("segment", case.image, tmp_path / "p.seg.nrrd", "--click", IN_L3, "--model", "yours")
    assert "choose one of: " in unknown.err
    assert "mine" in unknown.err


def test_removing_all_leaves_the_bundled_ones(folder: Path, sam_file: Path, samspine: Any) -> None:
    for name in ("one", "two"):
        samspine("models", "add", sam_file, "--name", name)
    assert "one, two" in samspine("models", "remove", "--all").out
    assert set(states(samspine).values()) == {"bundled", "download", "train"}


@pytest.fixture
def bundled(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pretend that the tiny weights come with SAMSpine; give their file."""
    copy = tmp_path / "tiny.safetensors"
    copy.write_bytes(weights.read_bytes())
    row = {"name": "ct-sam3d-tiny", "file": copy.name, "bytes": copy.stat().st_size, "sha256": checksum(copy)}
    rows = [row | {"licence": "Apache-2.0", "summary": "For tests"}]
    (tmp_path / "models.json").write_text(json.dumps({"bundled": rows, "released": []}), encoding="utf-8")
    monkeypatch.setattr("SAMSpineLib.models.registry.resource_path", tmp_path.joinpath)
    return copy


def test_models_are_listed_with_what_is_bundled(bundled: Path, samspine: Any) -> None:
    rows = {row["name"]: row for row in json.loads(samspine("models", "list", "--json").out)["models"]}
    assert rows["ct-sam3d-tiny"]["licence"] == "Apache-2.0"
    assert not rows["ct-sam3d-paper"]["bundled"]
    assert "Apache-2.0" in samspine("models", "list").out


def test_damaged_weights_do_not_verify(bundled: Path, samspine: Any) -> None:
    assert json.loads(samspine("models", "verify", "--json").out) == {"verified": {"ct-sam3d-tiny": str(bundled)}}
    damaged = bytearray(bundled.read_bytes())
    damaged[-1] ^= 1
    bundled.write_bytes(damaged)
    ended = samspine("models", "verify", "ct-sam3d-tiny")
    assert ended.code == 2
    assert "damaged" in ended.err
    assert len(ended.err.splitlines()) == 1
