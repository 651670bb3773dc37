"""Segments of one slice, of which VTK makes no surface when they are empty."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer")

from SAMSpineLib.labels import spine_labels
from SAMSpineLib.mask_update import MaskUpdate
from SAMSpineLib.mrml.segments import ensure_segment, read_segment, write
from SAMSpineLib.volume import Volume, slices_of

L3 = spine_labels().by_name("L3")


def test_a_segment_of_one_slice_is_emptied_and_filled_again_without_a_complaint(
    a_segmentation: Any, a_volume: Volume, capfd: pytest.CaptureFixture[str]
) -> None:
    node, grid = a_segmentation, a_volume.grid
    segment_id, extent = ensure_segment(node, L3), (9, 9, 3, 14, 5, 12)
    full = np.ones((8, 12, 1), np.uint8)
    write(node, segment_id, MaskUpdate(L3.value, full, extent), grid)
    node.CreateClosedSurfaceRepresentation()
    for mask in (0 * full, full, 0 * full):
        write(node, segment_id, MaskUpdate(L3.value, mask, extent), grid)
        expected = np.zeros(a_volume.shape, np.uint8)
        expected[slices_of(extent)] = mask
        assert np.array_equal(read_segment(node, segment_id, grid), expected)
        surface = node.GetSegmentation().GetSegment(segment_id).GetRepresentation("Closed surface")
        assert (surface.GetNumberOfPoints() > 0) == bool(mask.any())
    said = capfd.readouterr()
    assert "ERR" not in said.out + said.err
