"""Which segment is where."""

from __future__ import annotations

import numpy as np

from SAMSpineLib.mrml.editable import is_visible
from SAMSpineLib.mrml.layer import Layer, box_of, extent_in_layer, lattice_in_node
from SAMSpineLib.mrml.workbench import Workbench
from SAMSpineLib.prompts import Ras


def segment_at(bench: Workbench, place: Ras) -> str | None:
    """Return the visible segment at a place of the world (RAS mm), None if there is none."""
    grid = bench.grid
    voxel = grid.voxel_at(place)
    if voxel is None:
        return None
    k, j, i = voxel
    lattice, extent = lattice_in_node(bench.node, grid), (i, i, j, j, k, k)
    for segment_id in bench.node.GetSegmentation().GetSegmentIDs():
        layer = Layer.of(bench.node, segment_id, lattice)
        inside = layer.mask(extent_in_layer(bench.node, layer, lattice, extent)).any()
        if inside and is_visible(bench.node, segment_id):
            return str(segment_id)
    return None


def centre_of(bench: Workbench, segment_id: str) -> Ras | None:
    """Return the middle of the box around a segment in the world (RAS mm), None if it is empty."""
    grid = bench.grid
    lattice = lattice_in_node(bench.node, grid)
    layer = Layer.of(bench.node, segment_id, lattice)
    inside = layer.voxels == layer.value
    if not inside.any():
        return None
    offset = layer.offset(lattice, (0, 0, 0, 0, 0, 0)) or (0, 0, 0)
    k, j, i = ((part.start + part.stop - 1) / 2 for part in box_of(inside))
    r, a, s = grid.to_ras(np.array([i, j, k]) + layer.start - offset).tolist()
    return (r, a, s)
