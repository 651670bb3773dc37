"""Attributes that trame's widgets do not know by themselves: what screen readers, tooltips and scripts need."""

from __future__ import annotations


def plain(**attributes: str | tuple[str]) -> dict[str, list[str]]:
    """Return attributes for a widget: a text as it is, or an expression of the page in a tuple.

    Underscores become hyphens: `aria_label="Undo"`, `data_segment=("one.id",)`.
    """
    found = []
    for name, value in attributes.items():
        bound, text = (":", value[0]) if isinstance(value, tuple) else ("", value)
        found.append(f'{bound}{name.replace("_", "-")}="{text}"')
    return {"raw_attrs": found}
