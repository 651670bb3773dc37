"""The module opens, closes and reloads as Slicer's own generic tests do it."""

from __future__ import annotations

from typing import Any


def test_the_panel_opens(host: Any) -> None:
    assert host.widget.panel is not None
