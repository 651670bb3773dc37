"""The .ui file and the code know the same widgets; every one explains itself."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

MODULE = Path(__file__).resolve().parents[2] / "SAMSpine"
ROOT = ElementTree.parse(MODULE / "Resources" / "UI" / "SAMSpine.ui").getroot()
WIDGETS = {widget.attrib["name"]: widget for widget in ROOT.iter("widget")}
BOUND = {name for name, widget in WIDGETS.items() if widget.find("property[@name='SlicerParameterName']") is not None}
# Nobody has to speak to a title, a text beside a field, or the root.
SILENT = {name for name in WIDGETS if name.endswith(("Section", "SelectorLabel", "EditLabel", "BoxLabel"))}
SILENT |= {"SAMSpine", "engineTitleLabel", "tokenFileLabel", "modelFolderTitleLabel", "selectedSegmentTitleLabel"}
SILENT |= {"teachSegmentTitleLabel"}


def used_in_code() -> set[str]:
    """Find every `ui.name` and `...ui.name`, and the buttons of the table of keys."""
    used = set()
    for path in MODULE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value).rpartition(".")[2] in {"ui", "_ui"}:
                used.add(node.attr)
    return used | {button for button, _, _ in keys()}


def keys() -> list[tuple[str, str, str]]:
    """Read the table of keys without importing it."""
    tree = ast.parse((MODULE / "SAMSpineSlicer" / "Keys.py").read_text(encoding="utf-8"))
    calls = [one for one in ast.walk(tree) if isinstance(one, ast.Call) and ast.unparse(one.func) == "Key"]
    return [tuple(ast.literal_eval(argument) for argument in call.args) for call in calls]


def test_the_code_names_no_widget_that_is_not_there() -> None:
    assert used_in_code() - set(WIDGETS) == set()


def test_no_widget_is_there_for_nothing() -> None:
    assert set(WIDGETS) - used_in_code() - BOUND - SILENT == set()


def test_names_are_unique_and_camel_case() -> None:
    names = [element.attrib["name"] for kind in ("widget", "layout", "spacer") for element in ROOT.iter(kind)]
    assert len(names) == len(set(names))
    assert [name for name in names if not re.fullmatch(r"[a-z][A-Za-z0-9]*", name)] == ["SAMSpine"]


@pytest.mark.parametrize(
    "name", sorted(set(WIDGETS) - {name for name in WIDGETS if name.endswith("Label")} - {"SAMSpine"})
)
def test_every_widget_explains_itself(name: str) -> None:
    assert len(WIDGETS[name].findtext("property[@name='toolTip']/string", "")) > 10


def test_every_key_is_said_in_the_tooltip_of_its_button() -> None:
    assert keys()
    for button, sequence, _ in keys():
        assert WIDGETS[button].findtext("property[@name='toolTip']/string", "").endswith(f"Key: {sequence}")


def test_no_key_is_taken_by_the_segment_editor_or_the_slice_views() -> None:
    taken = {*"1234567890QWZYIRTVGBF[]{}", "Esc", "Space", "Up", "Down", "Left", "Right"}
    sequences = [sequence for _, sequence, _ in keys()]
    assert taken & set(sequences) == set()
    assert len(sequences) == len(set(sequences))


def test_what_is_bound_is_a_parameter(host: Any) -> None:
    known = sys.modules["SAMSpineSlicer.ParameterNode"].ParameterNode.allParameters
    bound = [WIDGETS[name].findtext("property[@name='SlicerParameterName']/string") for name in BOUND]
    assert set(bound) - set(known) == set()
    assert len(bound) == len(set(bound))


def test_loading_finds_every_widget(host: Any) -> None:
    assert set(WIDGETS) - set(vars(host.ui)) == set()
