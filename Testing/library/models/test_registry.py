"""The list of bundled weights, and building models by name."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch

from SAMSpineLib.errors import ModelError, SAMSpineError
from SAMSpineLib.models import registry
from SAMSpineLib.models.build import MODELS, build_promptable
from SAMSpineLib.models.ct_sam3d.config import CONFIGS, SMALL
from SAMSpineLib.models.ct_sam3d.network import CTSAM3D
from SAMSpineLib.models.protocols import Promptable
from SAMSpineLib.models.sam.config import OWN_CONFIGS, SAM2_CONFIGS, SAM_CONFIGS
from SAMSpineLib.models.weights import save_weights


@pytest.fixture
def resources(tmp_path, monkeypatch):
    """Let the registry look into an empty folder."""

    def resource_path(*parts: str):
        path = tmp_path.joinpath(*parts)
        if not path.exists():
            msg = f"The bundled resource '{'/'.join(parts)}' was not found"
            raise SAMSpineError(msg)
        return path

    monkeypatch.setattr(registry, "resource_path", resource_path)
    return tmp_path


def _release(resources, content: bytes, name: str = "ct-sam3d-small") -> None:
    (resources / "Models").mkdir(exist_ok=True)
    (resources / "Models" / "w.safetensors").write_bytes(content)
    row = {
        "name": name,
        "file": "Models/w.safetensors",
        "bytes": len(content),
        "licence": "Apache-2.0",
        "summary": "Small.",
    }
    row["sha256"] = hashlib.sha256(content).hexdigest()
    (resources / "models.json").write_text(json.dumps({"bundled": [row], "released": []}), encoding="utf-8")


def test_the_released_file_passes(resources):
    _release(resources, b"x" * 3_000_000)  # longer than one block of the checksum
    assert registry.verify(registry.model_entries()["ct-sam3d-small"]) == resources / "Models" / "w.safetensors"


@pytest.mark.parametrize("damage", [lambda c: c[:-1] + b"!", lambda c: c[:-1], lambda c: c + b" ", lambda c: b""])
def test_a_tampered_file_is_refused_before_it_is_read(resources, damage):
    _release(resources, b"weights" * 1000)
    path = resources / "Models" / "w.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ModelError, match=r"are damaged: expected SHA-256 [0-9a-f]{12}\.\.\., got"):
        build_promptable("ct-sam3d-small")


def test_missing_weights_are_a_models_error(resources):
    _release(resources, b"weights")
    (resources / "Models" / "w.safetensors").unlink()
    with pytest.raises(ModelError, match="weights of 'ct-sam3d-small' are missing"):
        build_promptable("ct-sam3d-small")


@pytest.mark.parametrize("text", [None, "{", "[1]", '{"bundled": [{"name": "a"}]}', '{"bundled": [1]}', "\udcff"])
def test_a_damaged_list_is_a_models_error(resources, text):
    if text is not None:
        (resources / "models.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelError, match=r"models\.json"):
        registry.model_entries()


def test_an_unknown_model_is_answered_with_the_known_ones(resources):
    _release(resources, b"weights")
    with pytest.raises(ModelError, match="no model 'ct-sam4d'; choose one of: .*ct-sam3d-small.*ct-sam3d-paper"):
        build_promptable("ct-sam4d")


def test_a_model_without_bundled_weights_says_how_to_get_some(resources):
    _release(resources, b"weights")
    with pytest.raises(ModelError, match=r"No weights come with 'ct-sam3d-paper'.*--weights"):
        build_promptable("ct-sam3d-paper")


def test_a_users_own_weights_are_built_without_a_registry(tmp_path):
    torch.manual_seed(1)
    network = CTSAM3D(SMALL)
    path = save_weights(tmp_path / "own.safetensors", network, {})
    model = build_promptable("ct-sam3d-small", weights=path)
    assert isinstance(model, Promptable)
    assert model.name == "ct-sam3d-small"
    weight = "decoder.masks.weight"
    assert torch.equal(model.network.state_dict()[weight], network.state_dict()[weight].half().float())
    assert not model.network.training


def test_every_model_has_a_size():
    assert set(MODELS) <= {*CONFIGS, *SAM_CONFIGS, *SAM2_CONFIGS, *OWN_CONFIGS}


@pytest.mark.parametrize("device", ["abacus", "cuda:99"])
def test_a_device_that_is_not_there_is_named_with_one_that_is(tmp_path, device):
    path = save_weights(tmp_path / "own.safetensors", torch.nn.Linear(1, 1), {})
    with pytest.raises(ModelError, match=rf"device '{device}' .*'cpu'"):
        build_promptable("ct-sam3d-small", weights=path, device=device)
