"""Clicks and boxes as people type them."""

from __future__ import annotations

import pytest

from SAMSpineLib.cli.prompt_text import read_click, read_prompts
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.prompts import Box, Point


@pytest.mark.parametrize(
    ("text", "name", "ras", "positive"),
    [
        ("L3:+:10,-20,30.5", "L3", (10.0, -20.0, 30.5), True),
        ("disc L3-L4:-:-1e1,0,0", "disc L3-L4", (-10.0, 0.0, 0.0), False),
        (" l3 : + : 10 , -20 , 30 ", "L3", (10.0, -20.0, 30.0), True),
        ("Whole spine:+:1,2,3", "spine", (1.0, 2.0, 3.0), True),
    ],
)
def test_a_click_is_a_label_a_sign_and_a_place(text: str, name: str, ras: tuple[float, ...], positive: bool) -> None:
    label, point = read_click(text, spine_labels())
    assert (label.name, point.ras, point.positive) == (name, ras, positive)


def test_prompts_are_gathered_by_label_boxes_first() -> None:
    orders = read_prompts(["L3:+:1,2,3", "L2:+:0,0,9", "L3:-:4,5,6"], ["L3:9,9,9:1,1,1"], spine_labels())
    assert {label.name: prompts for label, prompts in orders.items()} == {
        "L3": [Box((1, 1, 1), (9, 9, 9)), Point((1, 2, 3)), Point((4, 5, 6), positive=False)],
        "L2": [Point((0, 0, 9))],
    }
