"""Adapters look one slice to either side, whatever the depth, and begin with nothing."""

from __future__ import annotations

import pytest
import torch

from SAMSpineLib.models.masksam.depth_adapters import DepthConvolution, DepthTokens, EncoderDepth

KINDS = [(DepthConvolution, (10, 6, 6, 16)), (DepthTokens, (10, 7, 16))]


def shaken(adapter: torch.nn.Module) -> torch.nn.Module:
    with torch.no_grad():
        for weight in adapter.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return adapter


@pytest.mark.parametrize(("kind", "shape"), KINDS)
def test_an_adapter_begins_with_nothing(kind, shape):
    assert torch.equal(kind(16, 4)(torch.randn(shape), 5), torch.zeros(shape))


@pytest.mark.parametrize(("kind", "shape"), KINDS)
def test_a_slice_is_seen_by_itself_and_those_beside_it_and_not_across_the_end_of_a_stack(kind, shape):
    torch.manual_seed(0)
    adapter, slices = shaken(kind(16, 4)), torch.randn(shape)
    other = slices.clone()
    other[4] += 1.0  # the last of the first of two stacks
    with torch.inference_mode():
        change = (adapter(slices, 5) - adapter(other, 5)).abs().flatten(1).amax(dim=1)
    assert (change > 1e-6).nonzero().flatten().tolist() == [3, 4]


def test_what_is_seen_around_lies_beside_it_in_the_slice_too():
    torch.manual_seed(0)
    adapter, slices = shaken(DepthConvolution(16, 4)), torch.randn(3, 6, 6, 16)
    other = slices.clone()
    other[1, 3, 2] += 1.0
    with torch.inference_mode():
        changed = (adapter(slices, 3) - adapter(other, 3)).abs().amax(dim=-1) > 1e-6
    wanted = torch.zeros(3, 6, 6, dtype=torch.bool)
    wanted[:, 2:5, 1:4] = True
    assert torch.equal(changed, wanted)


@pytest.mark.parametrize("depth", [1, 3, 6])
def test_the_places_of_a_stack_are_stretched_over_its_depth(depth):
    adapters = EncoderDepth((8,), 4, 3)
    with torch.no_grad():
        adapters.code.copy_(torch.tensor([0.0, 1.0, 2.0]).expand(1, 8, 3))
    with torch.inference_mode():
        placed = adapters.at(depth).placed(torch.zeros(2 * depth, 2, 2, 8))[:, 0, 0, 0].view(2, depth)
    assert torch.equal(placed[0], placed[1])
    assert (placed.diff(dim=1) >= 0).all()
    assert float(placed.mean()) == pytest.approx(1.0)
