"""Boxes are boxes whatever is learnt, and a mask in which nothing is has no say in them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from SAMSpineLib.models.masksam.config import CONFIGS
from SAMSpineLib.models.masksam.prompt_generator import (
    Anchors,
    PromptGenerator,
    StackPrompts,
    boxes_of,
    fused_boxes,
    tight_boxes,
)

from .conftest import SMALL

VALUES = st.floats(-1e4, 1e4, width=32)


def is_valid(boxes: torch.Tensor) -> bool:
    x0, y0, x1, y1 = boxes.unbind(-1)
    return bool(((boxes >= 0) & (boxes <= 1)).all() and ((x0 <= x1) & (y0 <= y1)).all())


def prompts(masks: torch.Tensor, boxes: torch.Tensor) -> StackPrompts:
    return StackPrompts(masks[None], boxes[None], torch.zeros(1, *boxes.shape[:2], 4))


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, (2, 3, 2, 2), elements=VALUES), arrays(np.float32, (2, 3, 6, 5), elements=VALUES))
def test_any_values_are_boxes_within_the_image_alone_and_together_with_any_mask(raw, masks):
    learned = boxes_of(torch.from_numpy(raw))
    assert learned.shape == (2, 3, 4)
    assert is_valid(learned)
    assert is_valid(tight_boxes(torch.from_numpy(masks))[0])
    assert is_valid(fused_boxes(prompts(torch.from_numpy(masks), learned)))


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.integers(0, 7), st.integers(0, 7)), st.tuples(st.integers(0, 7), st.integers(0, 7)))
def test_the_box_of_a_mask_is_tight(one, other):
    (top, bottom), (left, right) = sorted((one[0], other[0])), sorted((one[1], other[1]))
    mask = torch.full((8, 8), -1.0)
    mask[top : bottom + 1, left : right + 1] = 1.0
    box, there = tight_boxes(mask)
    assert there
    torch.testing.assert_close(box, torch.tensor([left, top, right + 1, bottom + 1]) / 8)


def test_an_empty_mask_leaves_the_learnt_box_where_it_is_and_another_meets_it_halfway():
    learned = torch.tensor([[[0.5, 0.5, 1.0, 0.75]], [[0.5, 0.5, 1.0, 0.75]]])
    masks = torch.full((2, 1, 8, 8), -1.0)
    masks[1, 0, 2:6, 4:8] = 1.0
    fused = fused_boxes(prompts(masks, learned))[0]
    torch.testing.assert_close(fused[0], learned[0])
    torch.testing.assert_close(fused[1, 0], torch.tensor([0.5, 0.375, 1.0, 0.75]))


def test_a_learnt_box_is_moved_by_its_gradient():
    raw = torch.zeros(1, 1, 2, 2, requires_grad=True)
    (boxes_of(raw) - torch.tensor([0.1, 0.2, 0.9, 0.8])).abs().sum().backward()
    assert raw.grad.abs().min() > 0


@pytest.mark.parametrize("lean", [False, True])
def test_a_change_in_one_slice_reaches_the_prompts_of_those_beside_it(lean):
    torch.manual_seed(0)
    config = replace(SMALL, base=32, lean=lean)
    generator = PromptGenerator(config, [(6, 1), (5, 2)])
    embedding, taps = torch.randn(1, 32, 5, 4, 4), [torch.randn(1, 6, 5, 4, 4), torch.randn(1, 5, 5, 8, 8)]
    changed = embedding.clone()
    changed[:, :, 2] += 1
    with torch.inference_mode():
        before, after = (generator(one, taps) for one in (embedding, changed))
    assert before.masks.shape == (1, 4, 5, 16, 16)
    differs = (after.masks - before.masks).abs().amax(dim=(0, 1, 3, 4))
    assert (differs[1:4] > 1e-5).all()


def test_a_lean_generator_has_an_eighth_of_the_weights():
    config = replace(CONFIGS["masksam-small"], anchored=False)
    whole, lean = (PromptGenerator(replace(config, lean=lean), [(64, 1), (32, 2)]) for lean in (False, True))
    assert 8 * sum(one.numel() for one in lean.parameters()) < sum(one.numel() for one in whole.parameters())


def test_before_anything_is_learnt_queries_look_at_heights_of_their_own_from_top_to_bottom():
    anchors = Anchors(CONFIGS["masksam-small"], 8)
    for size in ((64, 64), (40, 128)):
        boxes, there = tight_boxes(anchors.at(size)[0, :, 0])
        assert there.all()
        middles = (boxes[:, 1] + boxes[:, 3]) / 2
        assert (middles.diff() > 0).all()
        torch.testing.assert_close(middles, (torch.arange(28) + 0.5) / 28, atol=0.03, rtol=0)
        assert ((boxes[:, 3] - boxes[:, 1]) < 0.2).all()
        assert (boxes[:, 0] < 0.1).all()
        assert (boxes[:, 2] > 0.9).all()


def test_a_name_is_read_from_within_the_mask_at_every_level():
    torch.manual_seed(0)
    anchors = Anchors(SMALL, 6 + 5)
    masks = torch.full((1, 4, 3, 16, 16), -30.0)
    masks[:, 1, :, 4:8, 8:12] = 30.0
    seen = [torch.randn(1, 6, 3, 4, 4), torch.randn(1, 5, 3, 16, 16)]
    with torch.inference_mode():
        before = anchors.named(masks, seen)
        for level, inside in enumerate(((slice(1, 2), slice(2, 3)), (slice(4, 8), slice(8, 12)))):
            for where, changes in ((inside, True), ((slice(0, 1), slice(0, 1)), False)):
                other = [one.clone() for one in seen]
                other[level][:, :, 1, *where] += 5
                differs = (anchors.named(masks, other) - before)[0, 1].abs().amax(dim=-1)
                assert bool(differs[1] > 1e-2) == changes
                assert float(differs[[0, 2]].max()) < 1e-5


def test_a_mask_that_is_nowhere_is_named_by_the_whole_slice():
    torch.manual_seed(0)
    anchors, seen = Anchors(SMALL, 5), torch.randn(1, 5, 2, 8, 8)
    with torch.inference_mode():
        named = anchors.named(torch.full((1, 4, 2, 8, 8), -1e4), [seen])
        torch.testing.assert_close(named[0, 0], anchors.name(seen[0].mean(dim=(2, 3)).T))
