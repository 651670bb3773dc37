"""Weights on disk."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from SAMSpineLib.errors import ModelError
from SAMSpineLib.models.ct_sam3d.config import TINY
from SAMSpineLib.models.ct_sam3d.network import CTSAM3D
from SAMSpineLib.models.weights import load_weights, save_weights


def test_weights_come_back_to_half_precision(tmp_path, tiny_network):
    path = save_weights(tmp_path / "tiny.safetensors", tiny_network, {"model": "ct-sam3d-tiny", "steps": "12"})
    other = CTSAM3D(TINY)
    assert load_weights(path, other) == {"model": "ct-sam3d-tiny", "steps": "12"}
    for (name, before), after in zip(tiny_network.state_dict().items(), other.state_dict().values(), strict=True):
        assert after.dtype == torch.float32, name
        assert torch.equal(after, before.half().float()), name
    size = sum(value.numel() for value in tiny_network.state_dict().values())
    assert path.stat().st_size < 2 * size + 40_000
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.safetensors"]


def test_a_second_round_trip_changes_nothing(tmp_path, tiny_network):
    first = save_weights(tmp_path / "a.safetensors", tiny_network, {})
    load_weights(first, tiny_network)
    assert save_weights(tmp_path / "b.safetensors", tiny_network, {}).read_bytes() == first.read_bytes()


def test_integer_buffers_keep_their_type(tmp_path):
    norm = nn.BatchNorm3d(2)
    norm.num_batches_tracked += 70_000  # beyond half precision
    other = nn.BatchNorm3d(2)
    load_weights(save_weights(tmp_path / "norm.safetensors", norm, {}), other)
    assert other.num_batches_tracked == 70_000


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(ModelError, match=r"nowhere\.safetensors' do not exist"):
        load_weights(tmp_path / "nowhere.safetensors", nn.Linear(1, 1))


@pytest.mark.parametrize("damage", ["truncated", "empty", "header", "torch pickle", "text"])
def test_damaged_weights_are_refused_and_the_network_is_left_alone(tmp_path, damage):
    network = nn.Linear(40, 40)
    path = save_weights(tmp_path / "w.safetensors", network, {})
    content = path.read_bytes()
    if damage == "torch pickle":
        torch.save(network.state_dict(), path)
    else:
        parts = {
            "truncated": content[:-100],
            "empty": b"",
            "header": content[:8] + b"x" + content[9:],
            "text": b"weights " * 99,
        }
        path.write_bytes(parts[damage])
    before = network.weight.detach().clone()
    with pytest.raises(ModelError, match="damaged or no safetensors file"):
        load_weights(path, network)
    assert torch.equal(network.weight, before)


def test_a_checkpoint_of_others_says_how_it_is_added(tmp_path):
    torch.save(nn.Linear(4, 4).state_dict(), tmp_path / "sam.pth")
    with pytest.raises(ModelError, match=r"samspine models add .*sam\.pth`, then named with --model"):
        load_weights(tmp_path / "sam.pth", nn.Linear(4, 4))


@pytest.mark.parametrize("other", [nn.Linear(4, 5), nn.Conv3d(1, 2, 3), nn.Linear(4, 4, bias=False)])
def test_another_networks_weights_are_refused_by_what_does_not_fit(tmp_path, other):
    path = save_weights(tmp_path / "w.safetensors", nn.Linear(4, 4), {})
    with pytest.raises(ModelError, match="belong to another network") as caught:
        load_weights(path, other)
    assert "weight" in str(caught.value) or "bias" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_failed_write_leaves_the_former_weights(tmp_path, monkeypatch):
    path = save_weights(tmp_path / "w.safetensors", nn.Linear(4, 4), {})
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError

    monkeypatch.setattr("SAMSpineLib.models.weights.save_file", fail)
    with pytest.raises(OSError):  # noqa: PT011
        save_weights(path, nn.Linear(4, 4), {})
    assert path.read_bytes() == before


def test_half_precision_hardly_changes_an_answer(tmp_path, tiny_network):
    image, prompt = torch.randn(1, 1, 24, 24, 24), torch.rand(1, 4, 24, 24, 24)
    with torch.inference_mode():
        before = torch.sigmoid(tiny_network.decode(tiny_network.encode(image), prompt)[0])
        load_weights(save_weights(tmp_path / "w.safetensors", tiny_network, {}), tiny_network)
        after = torch.sigmoid(tiny_network.decode(tiny_network.encode(image), prompt)[0])
    assert np.abs((before - after).numpy()).max() < 0.01
