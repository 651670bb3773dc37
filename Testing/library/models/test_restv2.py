"""ResTv2's attention against the formula of attention."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from SAMSpineLib.models.ct_sam3d.restv2 import EfficientAttention, PixelAttention


def _array(tensor):
    return tensor.detach().numpy().astype(np.float64)


def _reduced(x, reduce, reduction):
    """Return the depthwise convolution of kernel r + 1, stride r, and the layer norm over channels, voxel by voxel."""
    conv, norm = reduce[0], reduce[1].norm
    weight, bias, half = _array(conv.weight)[:, 0], _array(conv.bias), reduction // 2
    padded = np.pad(x, ((0, 0), *[(half, half)] * 3))
    size = (x.shape[1] + 2 * half - reduction - 1) // reduction + 1
    out = np.zeros((len(bias), size, size, size))
    for k, j, i in np.ndindex(size, size, size):
        a, b, c = k * reduction, j * reduction, i * reduction
        window = padded[:, a : a + reduction + 1, b : b + reduction + 1, c : c + reduction + 1]
        out[:, k, j, i] = (window * weight).sum(axis=(1, 2, 3)) + bias
    out = (out - out.mean(axis=0)) / np.sqrt(out.var(axis=0) + 1e-5)
    return out * _array(norm.weight)[:, None, None, None] + _array(norm.bias)[:, None, None, None]


def _linear(tokens, layer):
    return tokens @ _array(layer.weight).T + _array(layer.bias)


@pytest.mark.parametrize(("channels", "heads", "reduction", "size"), [(6, 1, 4, 8), (8, 2, 2, 4), (8, 4, 1, 3)])
def test_attention_is_a_softmax_of_scaled_products_with_keys_on_the_coarser_grid(channels, heads, reduction, size):
    torch.manual_seed(2)
    layer = EfficientAttention(channels, heads, reduction)
    x = torch.randn(1, channels, size, size, size)
    image = _array(x)[0]
    tokens = image.reshape(channels, -1).T
    coarse = _reduced(image, layer.reduce, reduction).reshape(channels, -1).T if reduction > 1 else tokens
    query, both = _linear(tokens, layer.query), _linear(coarse, layer.key_value)
    key, value, width = both[:, :channels], both[:, channels:], channels // heads
    joined = np.zeros_like(tokens)
    for head in range(heads):
        own = slice(head * width, (head + 1) * width)
        score = query[:, own] @ key[:, own].T / np.sqrt(width)
        weight = np.exp(score - score.max(axis=1, keepdims=True))
        joined[:, own] = (weight / weight.sum(axis=1, keepdims=True)) @ value[:, own]
    expected = _linear(joined, layer.project).T.reshape(image.shape)
    assert np.abs(_array(layer(x))[0] - expected).max() < 1e-5


def test_position_is_a_gate_between_nothing_and_everything():
    torch.manual_seed(2)
    layer, x = PixelAttention(4), torch.randn(1, 4, 5, 5, 5)
    gate = layer(x) / x
    assert ((gate > 0) & (gate < 1)).all()
    assert layer.conv.groups == 4
