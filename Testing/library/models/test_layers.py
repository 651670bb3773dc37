"""The layers that encoder and decoder share."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from SAMSpineLib.models.ct_sam3d.layers import Conv3d


@pytest.mark.parametrize(("stride", "bias", "size"), [(1, True, 12), (2, False, 13), (1, True, 30)])
def test_a_convolution_says_in_use_what_torch_says(stride, bias, size):
    torch.manual_seed(2)
    layer = Conv3d(4, 6, 3, stride=stride, padding=1, bias=bias)
    x = torch.randn(1, 4, size, size, size)
    expected = F.conv3d(x, layer.weight, layer.bias, stride=stride, padding=1)
    with torch.inference_mode():
        found = layer(x)
    assert found.shape == expected.shape
    assert torch.allclose(found, expected, atol=1e-5)


def test_a_convolution_still_learns():
    layer = Conv3d(1, 2, 3, padding=1)
    layer(torch.ones(1, 1, 4, 4, 4)).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.abs().min() > 0
