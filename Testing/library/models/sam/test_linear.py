"""On a CPU oneDNN computes the linear layers of a network, with the same result and the same parameters."""

from __future__ import annotations

from copy import deepcopy

import pytest

pytest.importorskip("sam2", reason="needs the extra 'sam'")

import torch
from torch import nn

from SAMSpineLib.models.sam.linear import OneDnnLinear, use_onednn


@pytest.fixture
def plain(small_sam2_network):
    """Give the network as its package builds it."""
    network = deepcopy(small_sam2_network)
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, OneDnnLinear):
                layer = nn.Linear(child.in_features, child.out_features, bias=child.bias is not None)
                layer.load_state_dict(child.state_dict())
                setattr(module, name, layer.eval())
    return network


def test_features_are_the_same_to_within_rounding_and_so_is_the_state_dict(plain):
    network, image = deepcopy(plain), torch.rand(1, 3, 128, 128, generator=torch.manual_seed(0))
    use_onednn(network)
    assert any(isinstance(one, OneDnnLinear) for one in network.modules())
    assert list(network.state_dict()) == list(plain.state_dict())
    with torch.inference_mode():
        found, expected = (one.forward_image(image)["backbone_fpn"] for one in (network, plain))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_onednn_is_asked_without_gradients_in_float32_and_only_then(monkeypatch):
    layer, asked = OneDnnLinear(nn.Linear(4, 3)), []
    there = torch.ops.mkldnn._linear_pointwise
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", lambda *words: asked.append(1) or there(*words))
    with torch.inference_mode():
        layer(torch.ones(2, 4))
        assert len(asked) == 1
        with torch.autocast("cpu", torch.bfloat16):
            layer(torch.ones(2, 4))
    layer(torch.ones(2, 4)).sum().backward()
    assert len(asked) == 1
    assert layer.weight.grad is not None


def test_a_torch_without_onednn_computes_as_it_always_does(monkeypatch, plain):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    use_onednn(plain)
    assert not any(isinstance(one, OneDnnLinear) for one in plain.modules())
