"""Another name for one vertebra moves the chain; voxels stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer")

from SAMSpineLib.errors import LabelError
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.mrml.renumbering import chain_of, relabel, renumbered_from
from SAMSpineLib.mrml.segment_labels import add_custom_segment, terminology_of
from SAMSpineLib.mrml.segments import ensure_segment, read_segment
from SAMSpineLib.volume import Volume

T = spine_labels()


@pytest.mark.parametrize("with_surfaces", [False, True])
def test_the_whole_chain_follows_and_no_voxel_moves(
    three_vertebrae: Any, a_volume: Volume, with_surfaces: bool
) -> None:
    node, segmentation = three_vertebrae, three_vertebrae.GetSegmentation()
    if with_surfaces:
        node.CreateClosedSurfaceRepresentation()
    ids = [one for one, _ in chain_of(node)]
    before = [read_segment(node, one, a_volume.grid) for one in ids]
    changed = renumbered_from(node, ids[1], "L3")
    relabel(node, changed)
    assert [changed[one].name for one in ids] == ["L2", "L3", "L4"]
    for one, name, voxels in zip(ids, ("L2", "L3", "L4"), before, strict=True):
        segment, label = segmentation.GetSegment(one), T.by_name(name)
        assert segment.GetName() == name
        assert terminology_of(segment) == label.terminology
        assert np.allclose(segment.GetColor(), np.array(label.colour) / 255)
        assert segment.GetLabelValue() == label.value
        assert np.array_equal(read_segment(node, one, a_volume.grid), voxels)
        assert (segment.GetRepresentation("Closed surface") is not None) is with_surfaces


def test_what_is_no_vertebra_is_refused_and_nothing_changes(three_vertebrae: Any) -> None:
    screw = add_custom_segment(three_vertebrae, "screw")
    with pytest.raises(LabelError, match="'screw' is no vertebra"):
        renumbered_from(three_vertebrae, screw, "L3")
    l3 = ensure_segment(three_vertebrae, T.by_name("L3"))
    with pytest.raises(LabelError):
        renumbered_from(three_vertebrae, l3, "spinal canal")
    assert [label.name for _, label in chain_of(three_vertebrae)] == ["L3", "L4", "L5"]
