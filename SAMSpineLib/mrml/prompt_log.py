"""Prompts of each segment as text for the scene file, in the words that go over the wire, too."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from SAMSpineLib.engine.service.wire import prompt_message, read_prompt
from SAMSpineLib.errors import PromptError, SAMSpineError
from SAMSpineLib.prompts import MaskPrompt, Prompt

VERSION = 1


@dataclass(frozen=True)
class PromptsOfSegment:
    """What was said of one segment.

    Attributes:
        segment_id: in its segmentation node.
        prompts: in their order, in the volume's own coordinates (RAS mm).
        settled: the prompts alone do not lead to the segment as it is: it was there before them, or autonomous mode
            began it. They are shown, and an engine goes on from the voxels.
    """

    segment_id: str
    prompts: tuple[Prompt, ...]
    settled: bool


def with_prompts(text: str, segmentation_id: str, segments: Iterable[PromptsOfSegment]) -> str:
    """Return a text in which the prompts of one segmentation are replaced; those of others stay.

    Masks are left out, for the segments hold what they have led to.
    """
    rows = []
    for one in segments:
        kept = [prompt for prompt in one.prompts if not isinstance(prompt, MaskPrompt)]
        if kept:
            settled = one.settled or len(kept) < len(one.prompts)
            rows.append({"segment": one.segment_id, "settled": settled, "prompts": [prompt_message(p) for p in kept]})
    try:
        others = _segmentations(text)
    except PromptError:
        others = {}
    found = {**others, segmentation_id: rows}
    found = {name: kept for name, kept in found.items() if kept}
    return json.dumps({"version": VERSION, "segmentations": found}) if found else ""


def prompts_in(text: str, segmentation_id: str) -> tuple[PromptsOfSegment, ...]:
    """Return the prompts of one segmentation in a text that `with_prompts` made.

    Raises:
        PromptError: if the text is none, or one of a later version.
    """
    try:
        return tuple(
            PromptsOfSegment(row["segment"], tuple(read_prompt(one) for one in row["prompts"]), bool(row["settled"]))
            for row in _segmentations(text).get(segmentation_id, ())
        )
    except (ValueError, KeyError, TypeError, AttributeError, SAMSpineError) as error:
        raise _unreadable(error) from error


def _segmentations(text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        message = json.loads(text)
        version, found = message["version"], message["segmentations"]
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(error) from error
    if version != VERSION or not isinstance(found, dict):
        msg = "it was saved by another version of SAMSpine"
        raise _unreadable(ValueError(msg))
    return found


def _unreadable(error: Exception) -> PromptError:
    if isinstance(error, PromptError) and str(error).startswith("The prompts of this scene"):
        return error
    return PromptError(f"The prompts of this scene cannot be read ({error}); the segments are as they were saved")
