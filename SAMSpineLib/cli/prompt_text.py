"""Prompts as people type them: `label:+:R,A,S` for a click, `label:R,A,S:R,A,S` for a box (RAS mm)."""

from __future__ import annotations

from collections.abc import Sequence

from SAMSpineLib.errors import PromptError
from SAMSpineLib.labels import Label, LabelTable
from SAMSpineLib.prompts import Box, Point, Prompt, Ras

_SIGNS = {"+": True, "-": False}


def read_prompts(clicks: Sequence[str], boxes: Sequence[str], table: LabelTable) -> dict[Label, list[Prompt]]:
    """Read clicks and boxes into the prompts of each label: labels as they come first, boxes before clicks.

    Raises:
        PromptError: if a text is malformed, or there is none.
        LabelError: if a label is unknown.
    """
    if not clicks and not boxes:
        msg = "There is nothing to segment: give at least one --click label:+:R,A,S or --box label:R,A,S:R,A,S"
        raise PromptError(msg)
    pairs: list[tuple[Label, Prompt]] = [
        *(read_box(text, table) for text in boxes),
        *(read_click(text, table) for text in clicks),
    ]
    orders: dict[Label, list[Prompt]] = {}
    for label, prompt in pairs:
        orders.setdefault(label, []).append(prompt)
    return orders


def read_click(text: str, table: LabelTable) -> tuple[Label, Point]:
    """Read `label:+:R,A,S` (inside) or `label:-:R,A,S` (outside).

    Raises:
        PromptError: if it is malformed; LabelError if the label is unknown.
    """
    parts = [part.strip() for part in text.rsplit(":", 2)]
    place = _place(parts[-1])
    if len(parts) != 3 or parts[1] not in _SIGNS or place is None:
        msg = f"The click '{text}' is malformed; expected label:+:R,A,S or label:-:R,A,S in mm, as in L3:+:10,-20,30.5"
        raise PromptError(msg)
    return table.by_name(parts[0]), Point(place, _SIGNS[parts[1]])


def read_box(text: str, table: LabelTable) -> tuple[Label, Box]:
    """Read `label:R,A,S:R,A,S`, two opposite corners.

    Raises:
        PromptError: if it is malformed; LabelError if the label is unknown.
    """
    parts = [part.strip() for part in text.rsplit(":", 2)]
    corners = [_place(part) for part in parts[1:]]
    if len(parts) != 3 or corners[0] is None or corners[1] is None:
        msg = f"The box '{text}' is malformed; expected label:R,A,S:R,A,S in mm, as in L3:-25,-60,10:25,10,50"
        raise PromptError(msg)
    return table.by_name(parts[0]), Box(corners[0], corners[1])


def _place(text: str) -> Ras | None:
    """Return three numbers separated by commas, None if it is anything else; prompts refuse NaN and infinity."""
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError:
        return None
    return (x, y, z)
