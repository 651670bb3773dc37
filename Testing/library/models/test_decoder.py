"""The decoder against its formulas, written down a second time in plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import erf

from SAMSpineLib.models.ct_sam3d.decoder import MaskDecoder, Spade


def _array(tensor):
    return tensor.detach().numpy().astype(np.float64)


def _conv(x, layer):
    """Return the 3x3x3 convolution of x (C, K, J, I) as a sum of shifted images."""
    weight, bias = _array(layer.weight), _array(layer.bias)
    k, j, i = x.shape[1:]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (1, 1)))
    out = np.zeros((len(bias), k, j, i)) + bias[:, None, None, None]
    for a, b, c in np.ndindex(3, 3, 3):
        out += np.tensordot(weight[:, :, a, b, c], padded[:, a : a + k, b : b + j, c : c + i], axes=1)
    return out


def _double(x, up):
    """Return transposed convolution of stride 2, layer norm over channels, GELU."""
    weight, bias = _array(up[0].weight), _array(up[0].bias)
    out = np.zeros((len(bias), *(2 * n for n in x.shape[1:])))
    for a, b, c in np.ndindex(2, 2, 2):
        out[:, a::2, b::2, c::2] = np.tensordot(weight[:, :, a, b, c].T, x, axes=1)
    out += bias[:, None, None, None]
    out = (out - out.mean(axis=0)) / np.sqrt(out.var(axis=0) + 1e-5)
    scale, shift = _array(up[1].norm.weight), _array(up[1].norm.bias)
    out = out * scale[:, None, None, None] + shift[:, None, None, None]
    return 0.5 * out * (1 + erf(out / np.sqrt(2)))


def _spade(x, prompt, layer):
    axes = (1, 2, 3)
    normal = (x - x.mean(axis=axes, keepdims=True)) / np.sqrt(x.var(axis=axes, keepdims=True) + 1e-5)
    hidden = np.maximum(_conv(prompt, layer.shared), 0)
    return normal * (1 + _conv(hidden, layer.gamma)) + _conv(hidden, layer.beta)


def _shrunk(prompt, n):
    size = prompt.shape[1] // n
    blocks = prompt.reshape(4, n, size, n, size, n, size)
    return np.stack([(blocks[c].max if c in (1, 2) else blocks[c].mean)(axis=(1, 3, 5)) for c in range(4)])


def _block(x, prompt, block):
    branch, small = x, _shrunk(prompt, x.shape[1])
    for spade, conv in zip(block.spades, block.convs, strict=True):
        branch = _spade(branch, small, spade)
        branch = _conv(np.where(branch > 0, branch, 0.2 * branch), conv)
    return x + branch


def _mlp(x, layers):
    for n, layer in enumerate(layers):
        x = _array(layer.weight) @ x + _array(layer.bias)
        x = np.maximum(x, 0) if n < len(layers) - 1 else x
    return x


def _published(pyramid, prompt, net):
    """Decode as the paper does: five blocks from the coarsest scale, three skips, the last doubling without a block."""
    x = pyramid[3]
    for n in range(5):
        x = _double(_block(x, prompt, net.blocks[n]), net.ups[n])
        if n < 3:
            x = np.concatenate([x, pyramid[2 - n]])
    return _conv(x, net.masks), _mlp(x.mean(axis=(1, 2, 3)), net.quality[::2])


def _with_full_size_skip(pyramid, prompt, net):
    x = _double(_block(pyramid[2], prompt, net.blocks[0]), net.ups[0])
    x = np.concatenate([x, pyramid[1]])
    x = _double(_block(x, prompt, net.blocks[1]), net.ups[1]) + pyramid[0] + _conv(prompt, net.detail)
    for layer in net.fuse[::2]:
        x = _conv(x, layer)
        x = np.where(x > 0, x, 0.1 * x)
    return _conv(x, net.masks), _mlp(x.mean(axis=(1, 2, 3)), net.quality[::2])


def _random(net, *shapes):
    """Give every parameter a value, scales and shifts too, and return tensors of the shapes."""
    rng = torch.Generator().manual_seed(5)
    for parameter in net.parameters():
        parameter.data = torch.randn(parameter.shape, generator=rng) * 0.3
    return [torch.randn(1, *shape, generator=rng) for shape in shapes]


def test_spade_is_instance_norm_times_one_plus_gamma_plus_beta():
    layer = Spade(5, 3)
    x, prompt = _random(layer, (5, 4, 5, 6), (4, 4, 5, 6))
    expected = _spade(_array(x)[0], _array(prompt)[0], layer)
    assert np.abs(_array(layer(x, prompt))[0] - expected).max() < 1e-4
    assert not list(layer.norm.parameters())


@pytest.mark.parametrize(
    ("arguments", "full", "sizes", "by_hand"),
    [
        (((4, 4, 4, 8), (3, 3, 3, 3, 3), 5), False, (16, 8, 4, 2), _published),
        (((4, 6, 8), (3, 2), 4), True, (16, 8, 4), _with_full_size_skip),
    ],
    ids=["as published", "with a skip at full size"],
)
def test_the_decoder_agrees_with_a_plain_recomputation_on_random_weights(arguments, full, sizes, by_hand):
    net = MaskDecoder(*arguments, full_size_skip=full)
    patch = 64 if not full else 16
    shapes = [(c, n, n, n) for c, n in zip(arguments[0], sizes, strict=True)]
    *pyramid, prompt = _random(net, *shapes, (4, patch, patch, patch))
    with torch.no_grad():
        logits, quality = net(pyramid, prompt)
    expected = by_hand([_array(p)[0] for p in pyramid], _array(prompt)[0], net)
    assert logits.shape == (1, 2, patch, patch, patch)
    scale = np.abs(expected[0]).max()
    assert np.abs(_array(logits)[0] - expected[0]).max() < 2e-4 * scale
    assert np.allclose(_array(quality)[0], expected[1], rtol=1e-3, atol=1e-4 * np.abs(expected[1]).max())


@pytest.mark.parametrize("channel", range(4), ids=["previous", "positive", "negative", "box"])
def test_every_prompt_channel_reaches_every_scale_of_the_decoder(channel):
    net = MaskDecoder((4, 4, 8), (3, 3), 4, full_size_skip=True)
    *pyramid, _ = _random(net, (4, 16, 16, 16), (4, 8, 8, 8), (8, 4, 4, 4), (1, 1, 1, 1))
    seen = []
    for block in net.blocks:
        for spade in block.spades:
            spade.register_forward_hook(lambda layer, given, result: seen.append(result))
    prompt = torch.zeros(1, 4, 16, 16, 16)
    net(pyramid, prompt)
    without, seen[:] = list(seen), []
    prompt[0, channel, 3:6, 9:12, 4:8] = 1
    net(pyramid, prompt)
    assert len(seen) == 4
    assert [result.shape[2] for result in seen] == [4, 4, 8, 8]
    assert all((a - b).abs().max() > 1e-3 for a, b in zip(seen, without, strict=True))
