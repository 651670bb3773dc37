"""Clicks in the slice views become segments: the whole way, from the mouse to the node, through a real engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

SECONDS = 60.0


def segment_voxels(volume: Any, node: Any, name: str) -> np.ndarray:
    from SAMSpineLib.mrml.segments import read_segment
    from SAMSpineLib.mrml.volumes import grid_of_node

    segment_id = node.GetSegmentation().GetSegmentIdBySegmentName(name)
    return read_segment(node, segment_id, grid_of_node(volume))


def test_a_click_on_l3_makes_a_segment(spine: Any) -> None:
    spine.choose("L3")
    spine.host.key("P")
    spine.host.click("Red", spine.place("L3"))
    spine.settle()
    assert spine.dice("L3") > 0.5
