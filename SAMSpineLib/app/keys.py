"""The keys of the page: those of the Slicer panel, as a browser names them."""

from __future__ import annotations

from typing import NamedTuple


class Key(NamedTuple):
    """A key: `sequence` as a person reads it, `action` that it stands for, what it does."""

    sequence: str
    action: str
    description: str


KEYS = (
    Key("P", "positivePoint", "point inside the vertebra"),
    Key("N", "negativePoint", "point outside of it"),
    Key("X", "box", "box around it"),
    Key("D", "scribble", "scribble inside it"),
    Key("L", "lasso", "lasso around it"),
    Key("O", "otherMask", "the other masks of the last click, one after the other (SAM)"),
    Key("A", "follow", "follow the segment along the slices (SAM)"),
    Key("Ctrl+Z", "undo", "undo"),
    Key("Ctrl+Y", "redo", "redo"),
    Key(".", "nextVertebra", "next vertebra, towards the feet"),
    Key(",", "previousVertebra", "previous vertebra, towards the head"),
    Key("Shift+C", "clearPrompts", "clear the selected segment and its prompts"),
)
TOOLS = ("positivePoint", "negativePoint", "box", "scribble", "lasso")


def key_of(action: str) -> str:
    """Return the key of an action as a person reads it."""
    return next(key.sequence for key in KEYS if key.action == action)
