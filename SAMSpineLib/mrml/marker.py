"""A prompt as it is drawn."""

from __future__ import annotations

from dataclasses import dataclass

from SAMSpineLib.mrml.workbench import Kind, Workbench
from SAMSpineLib.prompts import Box, Lasso, Point, Prompt, Ras, Scribble

KINDS: dict[type, Kind] = {Point: "point", Box: "box", Scribble: "scribble", Lasso: "lasso"}


@dataclass(frozen=True)
class Marker:
    """A prompt as it is drawn: `places` in the world (RAS mm), `kind` tells what they are."""

    segment_id: str
    prompt: Prompt
    kind: Kind
    places: tuple[Ras, ...]
    positive: bool
    pending: bool = False


def marker_of(bench: Workbench, segment_id: str, prompt: Prompt, *, pending: bool) -> Marker:
    """Return how a prompt (no mask) of a segment is drawn."""
    positive = not isinstance(prompt, (Point, Scribble, Lasso)) or prompt.positive
    return Marker(segment_id, prompt, KINDS[type(prompt)], bench.places(prompt), positive, pending)
