"""Segments as crops of a volume: copies, so that another thread may work with them while the scene goes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from SAMSpineLib.labels import Label
from SAMSpineLib.mrml.layer import Layer, Mask, box_of, extent_in_layer, lattice_in_node, shifted
from SAMSpineLib.volume import Extent, Grid, Matrix, slices_of


@dataclass(frozen=True, eq=False)
class Crop:
    """A segment's voxels: `mask` (K, J, I) at an `extent` of the volume's indices, the smallest around them."""

    segment_id: str
    label: Label
    extent: Extent
    mask: Mask


def crops_of(node: Any, labels: Mapping[str, Label], grid: Grid) -> Iterator[Crop]:
    """Yield the segments of a segmentation node that have voxels in a volume.

    Args:
        node: the segmentation.
        labels: the structure of each segment by segment id.
        grid: the volume's lattice in the world.

    Raises:
        GeometryError: if the segmentation lies on another lattice than the volume.
    """
    lattice = lattice_in_node(node, grid)
    for segment_id, label in labels.items():
        layer = Layer.of(node, segment_id, lattice)
        inside = layer.voxels == layer.value
        if not inside.any():
            continue
        extent = _extent_in_volume(layer, lattice, shifted(layer.extent, box_of(inside)), grid)
        if extent is not None:
            mask = layer.mask(extent_in_layer(node, layer, lattice, extent))
            yield Crop(segment_id, label, extent, mask)


def _extent_in_volume(layer: Layer, lattice: Matrix, extent: Extent, grid: Grid) -> Extent | None:
    """Translate a layer's extent into the volume's indices, without what lies beyond the volume."""
    offset = np.array(layer.offset(lattice, (0, 0, 0, 0, 0, 0)) or (0, 0, 0))
    low = np.maximum(np.array(extent[::2]) - offset, 0).tolist()
    high = np.minimum(np.array(extent[1::2]) - offset, np.array(grid.shape[::-1]) - 1).tolist()
    if any(a > b for a, b in zip(low, high, strict=True)):
        return None
    return (low[0], high[0], low[1], high[1], low[2], high[2])


def label_map_of(crops: Iterable[Crop], grid: Grid) -> npt.NDArray[np.uint16]:
    """Return crops as one label map (K, J, I); where they overlap the later one counts."""
    labels = np.zeros(grid.shape, np.uint16)
    for one in crops:
        labels[slices_of(one.extent)][one.mask] = one.label.value
    return labels
