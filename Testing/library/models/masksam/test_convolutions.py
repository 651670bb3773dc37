"""Convolutions over stacks that are computed slice by slice are those of torch, and sound in bfloat16."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from SAMSpineLib.models.masksam.convolutions import Finer, Mixing, Surroundings

# Ours, and torch's own of the same weights.
PAIRS = {
    "surroundings": (lambda: Surroundings(4, 6), lambda: nn.Conv3d(4, 6, 3, padding=1)),
    "surroundings in groups": (lambda: Surroundings(4, 6, groups=2), lambda: nn.Conv3d(4, 6, 3, padding=1, groups=2)),
    "surroundings by channel": (lambda: Surroundings(4, 4, groups=4), lambda: nn.Conv3d(4, 4, 3, padding=1, groups=4)),
    "mixing": (lambda: Mixing(4, 6), lambda: nn.Conv3d(4, 6, 1)),
    "finer": (lambda: Finer(4, 6), lambda: nn.ConvTranspose3d(4, 6, (1, 2, 2), (1, 2, 2))),
}


@pytest.mark.parametrize("name", PAIRS)
def test_they_see_what_torch_sees_and_learn_what_torch_learns(name):
    torch.manual_seed(0)
    ours, plain = (make() for make in PAIRS[name])
    plain.load_state_dict(ours.state_dict())
    stacks = torch.randn(2, 4, 3, 5, 5)
    seen, wanted = ours(stacks), plain(stacks)
    torch.testing.assert_close(seen, wanted)
    seen.square().mean().backward()
    wanted.square().mean().backward()
    torch.testing.assert_close(ours.weight.grad, plain.weight.grad)


@pytest.mark.parametrize(
    ("make", "depth", "side"),
    [
        (lambda: Surroundings(24, 12), 2, 16),
        (lambda: Surroundings(24, 32), 6, 64),
        (lambda: Surroundings(24, 24, groups=24), 6, 32),
        (lambda: Mixing(24, 32), 6, 64),
        (lambda: Finer(24, 16), 6, 32),
    ],
)
def test_no_part_of_a_gradient_is_left_at_random_in_bfloat16(make, depth, side):
    """In memory that held no numbers before; torch's own fail this on some CPUs that compute in bfloat16."""
    torch.manual_seed(0)
    convolution = make()
    for _ in range(20 if side < 32 else 4):
        convolution.zero_grad()
        used = [torch.full((size,), torch.nan) for size in (1_000, 10_000, 100_000, 1_000_000)]
        del used
        with torch.autocast("cpu", dtype=torch.bfloat16):
            seen = convolution(torch.randn(1, 24, depth, side, side))
        seen.float().square().mean().backward()
        assert torch.isfinite(convolution.weight.grad).all()
