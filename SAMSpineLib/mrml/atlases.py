"""A segmentation of the scene as an atlas of the user's."""

from __future__ import annotations

import numpy as np

from SAMSpineLib.engine.shelves import add_atlas
from SAMSpineLib.errors import LabelError
from SAMSpineLib.mrml.layer import Layer, lattice_in_node
from SAMSpineLib.mrml.segment_labels import labels_of
from SAMSpineLib.mrml.segments import read_segment
from SAMSpineLib.mrml.workbench import Workbench


def add_segmentation(bench: Workbench) -> str:
    """Add the vertebrae of a segmentation, with their image, to the user's atlases; return a line that says so.

    Raises:
        SAMSpineError: if there is no vertebra in it, or the atlas cannot be written.
    """
    known = {label.value for label in bench.table}
    labels, grid = np.zeros(bench.volume.shape, np.uint16), bench.grid
    lattice = lattice_in_node(bench.node, grid)
    for segment_id, label in labels_of(bench.node, bench.table).items():
        if label.value in known and Layer.of(bench.node, segment_id, lattice).voxels.size:
            labels[read_segment(bench.node, segment_id, grid) != 0] = label.value
    if not labels.any():
        msg = "There is nothing to make an atlas of: segment some vertebrae first"
        raise LabelError(msg)
    folder = add_atlas(bench.volume.name, labels, bench.volume)
    return f"Added as an atlas to {folder}"
