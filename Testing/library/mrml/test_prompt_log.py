"""Prompts as text for the scene file."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("slicer")

from SAMSpineLib.errors import PromptError
from SAMSpineLib.mrml.prompt_log import PromptsOfSegment, prompts_in, with_prompts
from SAMSpineLib.prompts import Box, Lasso, MaskPrompt, Point, Scribble
from SAMSpineLib.volume import Grid

EVERY = (
    Point((1.25, -2.5, 1e-3)),
    Point((0.1, 0.2, 0.3), positive=False),
    Box((0, 0, 0), (1, 2, 3)),
    Scribble(((0, 0, 0), (1, 1, 1)), positive=False),
    Lasso(((0, 0, 0), (1, 0, 0), (0, 1, 0))),
)


def test_every_prompt_comes_back_as_it_was() -> None:
    segments = (PromptsOfSegment("L3", EVERY, False), PromptsOfSegment("L4", EVERY[:1], True))
    assert prompts_in(with_prompts("", "node", segments), "node") == segments


def test_segmentations_do_not_disturb_one_another() -> None:
    one, other = PromptsOfSegment("L3", EVERY[:1], False), PromptsOfSegment("L3", EVERY[1:2], False)
    text = with_prompts(with_prompts("", "a", [one]), "b", [other])
    assert prompts_in(text, "a") == (one,)
    assert prompts_in(text, "b") == (other,)
    assert prompts_in(with_prompts(text, "a", []), "a") == ()
    assert with_prompts(with_prompts(text, "a", []), "b", []) == ""


def test_a_mask_is_left_out_and_its_segment_is_settled() -> None:
    mask = MaskPrompt(np.ones((2, 2, 2), bool), Grid((2, 2, 2), np.eye(4)))
    (found,) = prompts_in(with_prompts("", "a", [PromptsOfSegment("L3", (mask, EVERY[0]), False)]), "a")
    assert found == PromptsOfSegment("L3", EVERY[:1], True)


@pytest.mark.parametrize(
    "text",
    [
        "[1]", "{", '{"version": 2, "segmentations": {}}', '{"version": 1, "segmentations": 5}',
        json.dumps({"version": 1, "segmentations": {"a": [{"segment": "L3"}]}}),
        json.dumps({"version": 1, "segmentations": {"a": [{"segment": "L3", "settled": 0, "prompts": [{}]}]}}),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said_and_can_be_replaced(text: str) -> None:
    with pytest.raises(PromptError, match="cannot be read"):
        prompts_in(text, "a")
    segments = (PromptsOfSegment("L3", EVERY, False),)
    assert prompts_in(with_prompts(text, "a", segments), "a") == segments
