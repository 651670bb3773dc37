"""The keys of the panel, said once: shortcuts, tooltips and help text are made from this table.

None is a key of the slice views (r t v g b f, arrows, brackets), nor one that the Segment Editor has for something else
(digits, q w z y i / * < >, Esc, space). Undo, redo, and full stop and comma for the next and previous segment are the
Segment Editor's too; it gives its keys back when it is left, as it is while this panel is open.
"""

from typing import NamedTuple


class Key(NamedTuple):
    """A key: the button of the .ui file it stands for, the sequence as Qt writes it, what it does."""

    button: str
    sequence: str
    description: str


KEYS = (
    Key("positivePointButton", "P", "point inside the vertebra"),
    Key("negativePointButton", "N", "point outside of it"),
    Key("boxButton", "X", "box around it"),
    Key("scribbleButton", "D", "scribble inside it"),
    Key("lassoButton", "L", "lasso around it"),
    Key("otherMaskButton", "O", "the other masks of the last click, one after the other (SAM)"),
    Key("followButton", "A", "follow the segment along the slices (SAM)"),
    Key("undoButton", "Ctrl+Z", "undo"),
    Key("redoButton", "Ctrl+Y", "redo"),
    Key("nextVertebraButton", ".", "next vertebra, towards the feet"),
    Key("previousVertebraButton", ",", "previous vertebra, towards the head"),
    Key("clearPromptsButton", "Shift+C", "clear the selected segment and its prompts"),
)


def keysAsHtml() -> str:
    """Return the table of keys for the module's help."""
    rows = "".join(f"<tr><td><b>{key.sequence}</b>&nbsp;</td><td>{key.description}</td></tr>" for key in KEYS)
    return f"<table>{rows}</table>"
