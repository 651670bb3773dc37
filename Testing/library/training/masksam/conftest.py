"""Answers of queries at random, and stacks in which a few blocks are marked."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from SAMSpineLib.models.masksam.network import StackAnswer
from SAMSpineLib.models.masksam.prompt_generator import StackPrompts, boxes_of
from SAMSpineLib.training.masksam.matching import StackTruth


@pytest.fixture(scope="session")
def answered() -> Callable[..., StackAnswer]:
    """Give what makes an answer of some queries on some stacks of two slices, for three classes."""
    return _answered


@pytest.fixture(scope="session")
def marked() -> Callable[..., StackTruth]:
    """Give what makes a stack of two slices with some structures; the last one is in the first slice only."""
    return _marked


def _answered(stacks: int = 1, queries: int = 4, *, seed: int = 0, grad: bool = False) -> StackAnswer:
    noise = torch.Generator().manual_seed(seed)
    masks, first = (2 * torch.randn(stacks, queries, 2, 8, 8, generator=noise) for _ in range(2))
    kinds, raw = (
        torch.randn(stacks, queries, 4, generator=noise),
        torch.randn(stacks, queries, 2, 2, 2, generator=noise),
    )
    boxes = boxes_of(raw)
    for one in (masks, first, kinds, boxes):
        one.requires_grad_(grad)
    return StackAnswer(kinds, masks, StackPrompts(first, boxes, torch.zeros(stacks, queries, 2, 32)))


def _marked(*kinds: int, seed: int = 0) -> StackTruth:
    noise = torch.Generator().manual_seed(seed)
    shares = torch.zeros(len(kinds), 2, 8, 8)
    for share in shares:
        top, left = torch.randint(0, 5, (2,), generator=noise).tolist()
        share[:, top : top + 3, left : left + 2] = 1.0
        share[:, top + 3, left] = 0.25
    if kinds:
        shares[-1, 1] = 0
    return StackTruth(torch.tensor(kinds, dtype=torch.int64), shares)
